//! The person that a command line names.

use bedside_ui_contract::snapshot::PersonView;

/// Why a name stands for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// Nobody who may be called has it.
    #[error("nobody you may call has this name")]
    Nobody,
    /// Several have it.
    #[error("several people you may call have this name: write more of it")]
    Several,
}

/// The one person whose name has `part` in it, in capitals or not.
///
/// # Errors
/// When there is none, or more than one.
pub fn find_person<'a>(people: &'a [PersonView], part: &str) -> Result<&'a PersonView, Unclear> {
    let part = part.to_lowercase();
    let mut found = people.iter().filter(|person| person.name.to_lowercase().contains(&part));
    match (found.next(), found.next()) {
        (Some(person), None) => Ok(person),
        (None, _) => Err(Unclear::Nobody),
        (Some(_), Some(_)) => Err(Unclear::Several),
    }
}

#[cfg(test)]
mod tests {
    use bedside_protocol::{PresenceStatus, Role};

    use super::*;

    fn person(name: &str) -> PersonView {
        PersonView {
            user_id: name.to_owned(),
            name: name.to_owned(),
            role: Role::Patient,
            specialty: None,
            status: PresenceStatus::Online,
            last_seen: None,
            device_type: None,
        }
    }

    #[test]
    fn a_part_of_a_name_is_enough_where_one_person_has_it() {
        let people = ["Ana Ruiz", "Ana Lund", "Amara Osei"].map(person);
        let found = |part| find_person(&people, part).map(|person| person.name.as_str());
        assert_eq!(found("osei"), Ok("Amara Osei"));
        assert_eq!(found("ANA L"), Ok("Ana Lund"));
        assert_eq!(found("ana"), Err(Unclear::Several));
        assert_eq!(found("Maria"), Err(Unclear::Nobody));
    }
}
