//! A sample clinic to look at: two doctors and two patients with made-up passwords.

use bedside_protocol::{Pii, Role, Secret};
use serde::Serialize;

use crate::accounts::{AccountError, Accounts, NewUser};

/// Somebody of the sample clinic, as printed.
#[derive(Clone, Debug, Serialize)]
pub struct DemoUser {
    /// The account.
    pub id: String,
    /// What they sign in with.
    pub login: &'static str,
    /// What others see.
    pub name: &'static str,
    /// What they may do.
    pub role: &'static str,
    /// Made up a moment ago.
    pub password: String,
}

/// The sample clinic, as printed.
#[derive(Clone, Debug, Serialize)]
pub struct DemoClinic {
    /// Two clinicians, then two patients.
    pub users: Vec<DemoUser>,
}

const PEOPLE: [(&str, &str, Role, Option<&str>); 4] = [
    ("amara.osei", "Dr Amara Osei", Role::Clinician, Some("Cardiology")),
    ("henrik.lind", "Dr Henrik Lind", Role::Clinician, Some("General medicine")),
    ("ana.ruiz", "Ana Ruiz", Role::Patient, None),
    ("tom.becker", "Tom Becker", Role::Patient, None),
];

/// Each patient knows both doctors; the patients do not know each other.
const RELATIONS: [(&str, &str); 4] = [
    ("amara.osei", "ana.ruiz"),
    ("amara.osei", "tom.becker"),
    ("henrik.lind", "ana.ruiz"),
    ("henrik.lind", "tom.becker"),
];

/// Makes the people and their relations. Those who exist get new passwords.
///
/// # Errors
/// The database failed.
pub async fn create(accounts: &Accounts) -> Result<DemoClinic, AccountError> {
    let mut users = Vec::new();
    for (login, name, role, specialty) in PEOPLE {
        let password = make_password();
        let user = NewUser {
            login: login.into(),
            name: Pii::from(name),
            role,
            specialty: specialty.map(str::to_owned),
            password: Secret::new(password.clone()),
        };
        let id = match accounts.add(user).await {
            Err(AccountError::LoginTaken) => {
                accounts.set_password(login, Secret::new(password.clone())).await?;
                accounts.find(login).await?.id
            }
            made => made?,
        };
        users.push(DemoUser { id: id.to_string(), login, name, role: role.as_str(), password });
    }
    for (one, other) in RELATIONS {
        accounts.add_contact(one, other).await?;
    }
    Ok(DemoClinic { users })
}

/// Four syllable words of 20 random bits each: 80 bits that can be read aloud and typed.
#[must_use]
pub fn make_password() -> String {
    const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
    const VOWELS: &[u8; 4] = b"aiou";
    let word = |bits: u32| -> String {
        let pick = |set: &[u8], shift: u32| char::from(set[(bits >> shift) as usize % set.len()]);
        [
            (&CONSONANTS[..], 0),
            (&VOWELS[..], 4),
            (&CONSONANTS[..], 6),
            (&VOWELS[..], 10),
            (&CONSONANTS[..], 12),
            (&CONSONANTS[..], 16),
        ]
        .into_iter()
        .map(|(set, shift)| pick(set, shift))
        .collect()
    };
    (0..4).map(|_| word(rand::random())).collect::<Vec<_>>().join("-")
}
