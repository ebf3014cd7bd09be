//! Passwords: which are acceptable, and their Argon2id hashes (RFC 9106).
//!
//! Length over composition rules, and nothing that everybody guesses first (NIST SP 800-63B §5.1.1.2). Hashing
//! runs on blocking threads, a few at a time: it takes tens of milliseconds and tens of megabytes.

use std::sync::{Arc, OnceLock};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use bedside_protocol::Secret;
use tokio::sync::Semaphore;

use crate::{config::PasswordCost, fault::Fault};

/// The shortest acceptable password, in characters.
pub const MIN_CHARS: usize = 10;
/// The longest, in bytes: hashing must not become a way to burn the server's time.
pub const MAX_BYTES: usize = 1024;
/// The most hashes at once.
const AT_ONCE: usize = 2;

/// Why a password is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Choose a longer one; three unrelated words are easy to remember.
    #[error("a password needs at least {MIN_CHARS} characters; three unrelated words work well")]
    TooShort,
    /// Choose a shorter one.
    #[error("a password may have at most {MAX_BYTES} bytes")]
    TooLong,
    /// It is among those that are tried first.
    #[error("this password is among those that everybody tries first; please choose another")]
    Common,
    /// It is the login or the name, or contains little else.
    #[error("a password must not be made of the login or the name")]
    Personal,
}

/// The beginnings and stems of the passwords found most often in leaked lists, lower case, ten characters or
/// longer once repeated or padded with digits as people do.
const COMMON: &[&str] = &[
    "password",
    "passwort",
    "passw0rd",
    "p@ssword",
    "p@ssw0rd",
    "qwerty",
    "qwertyuiop",
    "qwertz",
    "azerty",
    "asdfgh",
    "asdfghjkl",
    "zxcvbn",
    "zxcvbnm",
    "1q2w3e4r",
    "1qaz2wsx",
    "qazwsx",
    "letmein",
    "welcome",
    "iloveyou",
    "admin",
    "administrator",
    "abc",
    "abcd",
    "abcdef",
    "abcdefghij",
    "monkey",
    "dragon",
    "football",
    "baseball",
    "sunshine",
    "princess",
    "superman",
    "batman",
    "michael",
    "trustno",
    "master",
    "shadow",
    "hello",
    "freedom",
    "whatever",
    "starwars",
    "login",
    "secret",
    "changeme",
    "default",
    "test",
    "testtest",
    "user",
    "guest",
    "doctor",
    "patient",
    "nurse",
    "clinic",
    "hospital",
    "medicine",
    "telemedicine",
    "bedside",
    "health",
    "healthcare",
    "spring",
    "summer",
    "autumn",
    "winter",
    "january",
    "monday",
];

/// Says whether `password` may be chosen by the holder of `login`, called `name`.
///
/// # Errors
/// What is wrong with it, in words for the person choosing.
pub fn check(password: &str, login: &str, name: &str) -> Result<(), WeakPassword> {
    if password.chars().count() < MIN_CHARS {
        return Err(WeakPassword::TooShort);
    }
    if password.len() > MAX_BYTES {
        return Err(WeakPassword::TooLong);
    }
    let lower = password.to_lowercase();
    // What is left without the digits and signs that people put round a common word.
    let core = lower.trim_matches(|c: char| !c.is_alphabetic());
    let repeats = |stem: &str| !stem.is_empty() && !core.is_empty() && core.replace(stem, "").is_empty();
    if core.chars().count() < 3 || is_run(&lower) || COMMON.iter().any(|stem| *stem == lower || repeats(stem))
    {
        return Err(WeakPassword::Common);
    }
    let personal = std::iter::once(login).chain(name.split_whitespace()).map(str::to_lowercase);
    if personal.filter(|part| part.chars().count() >= 3).any(|part| repeats(&part)) {
        return Err(WeakPassword::Personal);
    }
    Ok(())
}

/// `1234567890`, `abcdefghij`, `aaaaaaaaaa`: every character is the one before, or its neighbour.
fn is_run(text: &str) -> bool {
    let codes: Vec<u32> = text.chars().map(u32::from).collect();
    codes.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 1)
}

/// Hashes and verifies. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Passwords {
    cost: PasswordCost,
    permits: Arc<Semaphore>,
    dummy: Arc<OnceLock<String>>,
}

impl Passwords {
    /// With the given cost for new hashes; old ones carry their own.
    #[must_use]
    pub fn new(cost: PasswordCost) -> Self {
        Self { cost, permits: Arc::new(Semaphore::new(AT_ONCE)), dummy: Arc::default() }
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// The configured cost is out of Argon2's range, or no thread was left.
    pub async fn hash(&self, password: Secret) -> Result<String, Fault> {
        let cost = self.cost;
        self.on_a_thread(move || hash(&password, cost)).await?
    }

    /// Whether `password` is the one behind `phc`. Without one (no such account) it takes as long and says no.
    ///
    /// # Errors
    /// As [`Passwords::hash`].
    pub async fn verify(&self, password: Secret, phc: Option<String>) -> Result<bool, Fault> {
        let (cost, dummy) = (self.cost, Arc::clone(&self.dummy));
        self.on_a_thread(move || {
            let exists = phc.is_some();
            let phc = match phc {
                Some(phc) => phc,
                None => match dummy.get() {
                    Some(phc) => phc.clone(),
                    None => dummy
                        .get_or_init(|| hash(&super::token::generate(), cost).unwrap_or_default())
                        .clone(),
                },
            };
            let parsed =
                PasswordHash::new(&phc).map_err(|_| Fault::Internal("a password hash is damaged"))?;
            let right = Argon2::default().verify_password(password.expose().as_bytes(), &parsed).is_ok();
            Ok(right && exists)
        })
        .await?
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| Fault::Internal("no permit to hash"))?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(|_| Fault::Internal("a password could not be hashed"))
    }
}

fn hash(password: &Secret, cost: PasswordCost) -> Result<String, Fault> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, None)
        .map_err(|_| Fault::Internal("the cost of password hashes is out of range"))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.expose().as_bytes())
        .map(|hash: PasswordHash| hash.to_string())
        .map_err(|_| Fault::Internal("a password could not be hashed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_uncommon_passwords_are_accepted_whatever_they_are_made_of() {
        for good in ["correct horse battery", "tulip-anvil-9", "Übermäßig lang", "qwertyelephant"] {
            assert_eq!(check(good, "ana", "Ana Ruiz"), Ok(()), "{good}");
        }
    }

    #[test]
    fn short_common_and_personal_passwords_are_refused_with_the_reason() {
        for (bad, why) in [
            ("tulip-9", WeakPassword::TooShort),
            ("Password123!", WeakPassword::Common),
            ("qwertyuiop", WeakPassword::Common),
            ("1234567890", WeakPassword::Common),
            ("aaaaaaaaaaaa", WeakPassword::Common),
            ("2026-11-20-10", WeakPassword::Common),
            ("testtesttest", WeakPassword::Common),
            ("ana.ruiz2026", WeakPassword::Personal),
            ("RuizRuiz2026", WeakPassword::Personal),
        ] {
            assert_eq!(check(bad, "ana.ruiz", "Ana Ruiz"), Err(why), "{bad}");
        }
        assert_eq!(check(&"x9 ".repeat(400), "ana", ""), Err(WeakPassword::TooLong));
    }

    #[tokio::test]
    async fn only_the_right_password_opens_and_an_unknown_account_never_does() {
        let passwords = Passwords::new(PasswordCost { memory_kib: 64, passes: 1 });
        let secret = |text: &str| Secret::new(text.to_owned());
        let phc = passwords.hash(secret("tulip anvil nine")).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
        assert!(passwords.verify(secret("tulip anvil nine"), Some(phc.clone())).await.unwrap());
        assert!(!passwords.verify(secret("tulip anvil ten"), Some(phc)).await.unwrap());
        assert!(!passwords.verify(secret("tulip anvil nine"), None).await.unwrap());
    }
}
