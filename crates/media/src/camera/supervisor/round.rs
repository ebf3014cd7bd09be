//! Which camera to open next: the chosen one, then the others, each once, and then all over again after a pause.

use crate::camera::CameraTrouble;

/// What has been tried since pictures last came.
pub(super) struct Round {
    chosen: Option<String>,
    tried: Vec<String>,
    /// What the first of them failed with: the chosen one, where it is there.
    cause: Option<CameraTrouble>,
    /// Whether any camera was ever listed: what is missing now was unplugged.
    seen: bool,
}

/// The camera to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) name: String,
    /// What is wrong with the chosen one, or the first, in whose place it comes.
    pub(super) in_place: Option<CameraTrouble>,
}

impl Round {
    pub(super) fn new(chosen: Option<String>) -> Self {
        Self { chosen, tried: Vec::new(), cause: None, seen: false }
    }

    /// The next one of `list`, but none of the `stuck` ones, whose drivers have not returned yet.
    pub(super) fn next(&mut self, list: &[String], stuck: &[&str]) -> Option<Next> {
        self.seen |= !list.is_empty();
        let is_chosen = |name: &&String| self.chosen.as_ref() == Some(*name);
        let mut ordered: Vec<&String> = list.iter().collect();
        ordered.sort_by_key(|name| !is_chosen(name));
        if self.cause.is_none() {
            self.cause = self.missing(list, stuck);
        }
        let free = |name: &&&String| !self.tried.contains(name) && !stuck.contains(&name.as_str());
        let name = ordered.iter().find(free).map(|name| (*name).clone())?;
        let in_place = self.cause.filter(|_| self.chosen.as_ref() != Some(&name));
        Some(Next { name, in_place })
    }

    /// What is wrong before anything is tried.
    fn missing(&self, list: &[String], stuck: &[&str]) -> Option<CameraTrouble> {
        let chosen = self.chosen.as_ref().or(list.first());
        match chosen {
            _ if list.is_empty() => {
                Some(if self.seen { CameraTrouble::Unplugged } else { CameraTrouble::NoneFound })
            }
            Some(name) if stuck.contains(&name.as_str()) => Some(CameraTrouble::Stalled),
            Some(name) if !list.contains(name) => Some(CameraTrouble::Unplugged),
            _ => None,
        }
    }

    /// One of them gives no pictures.
    pub(super) fn failed(&mut self, name: String, trouble: CameraTrouble) {
        self.cause.get_or_insert(trouble);
        self.tried.push(name);
    }

    /// All have been tried: says what to tell, and begins again.
    pub(super) fn over(&mut self) -> CameraTrouble {
        self.tried.clear();
        self.cause.take().unwrap_or(CameraTrouble::Failed)
    }

    /// Pictures came, or there is a better one: what was tried may work by now.
    pub(super) fn over_for_good(&mut self) {
        self.tried.clear();
        self.cause = None;
    }
}

#[cfg(test)]
mod tests {
    use CameraTrouble::{InUse, NoneFound, Stalled, Unplugged};

    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn next(name: &str, in_place: Option<CameraTrouble>) -> Option<Next> {
        Some(Next { name: name.to_owned(), in_place })
    }

    #[test]
    fn the_chosen_one_comes_first_and_the_others_in_its_place() {
        let list = names(&["Lid", "Desk", "Dock"]);
        let mut round = Round::new(Some("Desk".to_owned()));
        assert_eq!(round.next(&list, &[]), next("Desk", None));
        round.failed("Desk".to_owned(), InUse);
        assert_eq!(round.next(&list, &[]), next("Lid", Some(InUse)));
        round.failed("Lid".to_owned(), Stalled);
        assert_eq!(round.next(&list, &["Dock"]), None, "one that is stuck can't be opened");
        assert_eq!(round.over(), InUse, "what is wrong with the chosen one");
        assert_eq!(round.next(&list, &[]), next("Desk", None));
    }

    #[test]
    fn a_chosen_one_that_is_not_there_is_unplugged_and_the_first_stands_in() {
        let mut round = Round::new(Some("Dock".to_owned()));
        assert_eq!(round.next(&names(&["Lid"]), &[]), next("Lid", Some(Unplugged)));
    }

    #[test]
    fn without_a_choice_the_first_that_is_there_is_as_good_as_any() {
        let mut round = Round::new(None);
        assert_eq!(round.next(&[], &[]), None);
        assert_eq!(round.over(), NoneFound);
        assert_eq!(round.next(&names(&["Lid"]), &[]), next("Lid", None));
        round.over_for_good();
        assert_eq!(round.next(&[], &[]), None);
        assert_eq!(round.over(), Unplugged, "there was one");
    }

    #[test]
    fn one_whose_driver_has_not_returned_is_stalled_until_it_has() {
        let list = names(&["Lid"]);
        let mut round = Round::new(None);
        assert_eq!(round.next(&list, &["Lid"]), None);
        assert_eq!(round.over(), Stalled);
        assert_eq!(round.next(&list, &[]), next("Lid", None));
    }
}
