//! A short code that people compare aloud to know that nobody stands between them.
//!
//! It is computed from the identities of all members, so that two people see the same code exactly when they see the
//! same keys. As in Discord's DAVE protocol (<https://daveprotocol.com/#verification-fingerprint>: fingerprints of
//! version, key and user id, sorted, joined, and hashed slowly with scrypt, N = 16384, r = 8, p = 2) a slow hash stands
//! between keys and code. Here it is Argon2id with RFC 9106's second recommended parameters (64 MiB, 3 passes, 4 lanes),
//! which costs an attacker more memory and is used for passphrases anyway.
//!
//! How hard is it to force? Somebody in the middle must show both sides the same code while each sees another key. Both
//! keys are theirs to choose, so a collision is enough: half the code's 81.9 bits (7 emoji of 64, 12 digits), or 2⁴¹
//! slow hashes. At 0.1 s each that is some 7,000 years of one processor core, and 64 MiB, for this one pair of people:
//! users and devices are part of what is hashed, so nothing of the work serves for another pair. Fewer emoji or digits
//! must not be compared.

use crate::{
    at_rest::{self, RecordError},
    identity::PublicIdentity,
};

/// Emoji in a code.
pub const EMOJI: usize = 7;
/// Groups of four digits in a code.
pub const DIGIT_GROUPS: usize = 3;
/// Not secret: it keeps these hashes apart from all others.
const SALT: &[u8] = b"Bedside 1 check code";
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// One picture of a code, and the key under which its name is found in the message catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emoji {
    /// What to show.
    pub symbol: &'static str,
    /// What it is called, in English; to be translated and read aloud.
    pub name: &'static str,
}

/// A code as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckCode {
    /// Seven pictures, in order.
    pub emoji: [Emoji; EMOJI],
    /// Three numbers of four digits (0 to 9999), in order.
    pub digits: [u16; DIGIT_GROUPS],
}

impl CheckCode {
    /// The code of these people's devices: the same in whatever order, for the same set only.
    ///
    /// Takes about 0.1 s and 64 MiB; compute it when the set changes, not when it is shown.
    ///
    /// # Errors
    /// When the memory for the hash is not to be had.
    pub fn of(members: &[PublicIdentity]) -> Result<Self, RecordError> {
        let mut prints: Vec<[u8; 32]> = members.iter().map(PublicIdentity::fingerprint).collect();
        prints.sort_unstable();
        prints.dedup();
        let mut hash = [0; 32];
        at_rest::slow_hash(MEMORY_KIB, PASSES, LANES, prints.as_flattened(), SALT, &mut hash)?;
        Ok(Self::shown(&hash))
    }

    /// Six bits choose a picture; eight bytes modulo 10⁴ make four digits (bias below 2⁻⁵⁰).
    fn shown(hash: &[u8; 32]) -> Self {
        let mut emoji = [TABLE[0]; EMOJI];
        for (place, byte) in emoji.iter_mut().zip(hash) {
            *place = TABLE[usize::from(byte & 63)];
        }
        let mut digits = [0; DIGIT_GROUPS];
        let (numbers, _) = hash[8..].as_chunks::<8>();
        for (place, bytes) in digits.iter_mut().zip(numbers) {
            *place = u16::try_from(u64::from_be_bytes(*bytes) % 10_000).unwrap_or_default();
        }
        Self { emoji, digits }
    }
}

impl std::fmt::Display for CheckCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for emoji in self.emoji {
            write!(f, "{} ", emoji.symbol)?;
        }
        let [a, b, c] = self.digits;
        write!(f, "{a:04} {b:04} {c:04}")
    }
}

macro_rules! table {
    ($($symbol:literal $name:literal)*) => { [$(Emoji { symbol: $symbol, name: $name }),*] };
}

/// Sixty-four pictures that are told apart at a glance and by their names, also over a bad line: the list that Matrix
/// settled on for the same purpose (Matrix specification, "SAS method: emoji").
pub const TABLE: [Emoji; 64] = table! {
    "🐶" "dog" "🐱" "cat" "🦁" "lion" "🐎" "horse" "🦄" "unicorn" "🐷" "pig" "🐘" "elephant" "🐰" "rabbit"
    "🐼" "panda" "🐓" "rooster" "🐧" "penguin" "🐢" "turtle" "🐟" "fish" "🐙" "octopus" "🦋" "butterfly" "🌷" "flower"
    "🌳" "tree" "🌵" "cactus" "🍄" "mushroom" "🌏" "globe" "🌙" "moon" "☁️" "cloud" "🔥" "fire" "🍌" "banana"
    "🍎" "apple" "🍓" "strawberry" "🌽" "corn" "🍕" "pizza" "🎂" "cake" "❤️" "heart" "😀" "smiley" "🤖" "robot"
    "🎩" "hat" "👓" "glasses" "🔧" "spanner" "🎅" "santa" "👍" "thumbs up" "☂️" "umbrella" "⌛" "hourglass" "⏰" "clock"
    "🎁" "gift" "💡" "light bulb" "📕" "book" "✏️" "pencil" "📎" "paperclip" "✂️" "scissors" "🔒" "lock" "🔑" "key"
    "🔨" "hammer" "☎️" "telephone" "🏁" "flag" "🚂" "train" "🚲" "bicycle" "✈️" "aeroplane" "🚀" "rocket" "🏆" "trophy"
    "⚽" "ball" "🎸" "guitar" "🎺" "trumpet" "🔔" "bell" "⚓" "anchor" "🎧" "headphones" "📁" "folder" "📌" "pin"
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bedside_protocol::{DeviceId, UserId};
    use uuid::Uuid;

    use super::*;

    fn identity(number: u8) -> PublicIdentity {
        PublicIdentity {
            user: UserId(Uuid::from_bytes([number; 16])),
            device: DeviceId(Uuid::from_bytes([number; 16])),
            key: [number; 32],
        }
    }

    #[test]
    fn everybody_sees_the_same_code_whatever_the_order() {
        let (ana, ben, chi) = (identity(1), identity(2), identity(3));
        let code = CheckCode::of(&[ana, ben, chi]).unwrap();
        assert_eq!(code, CheckCode::of(&[chi, ana, ben]).unwrap());
        assert_eq!(code, CheckCode::of(&[ana, ana, ben, chi]).unwrap());
    }

    #[test]
    fn one_other_key_or_one_more_device_changes_the_code() {
        let (ana, ben) = (identity(1), identity(2));
        let code = CheckCode::of(&[ana, ben]).unwrap();
        let middle = PublicIdentity { key: [9; 32], ..ben };
        assert_ne!(code, CheckCode::of(&[ana, middle]).unwrap());
        assert_ne!(code, CheckCode::of(&[ana, ben, identity(3)]).unwrap());
        let other_user = PublicIdentity { user: UserId(Uuid::from_bytes([9; 16])), ..ben };
        assert_ne!(code, CheckCode::of(&[ana, other_user]).unwrap());
    }

    #[test]
    fn the_code_of_these_two_stays_what_it_is() {
        // A change here would make every code that people wrote down wrong. Computed by argon2-cffi and hashlib.
        let code = CheckCode::of(&[identity(1), identity(2)]).unwrap();
        assert_eq!(code.to_string(), "🚲 ❤️ 👓 🍕 🦄 ☎️ 🐘 8328 1847 5658");
    }

    #[test]
    fn pictures_and_names_are_all_different() {
        assert_eq!(TABLE.iter().map(|emoji| emoji.symbol).collect::<HashSet<_>>().len(), 64);
        assert_eq!(TABLE.iter().map(|emoji| emoji.name).collect::<HashSet<_>>().len(), 64);
    }

    #[test]
    fn every_part_of_the_hash_that_should_count_counts() {
        let of = CheckCode::shown;
        let zero = of(&[0; 32]);
        for byte in (0..EMOJI).chain(8..32) {
            let mut hash = [0; 32];
            hash[byte] = 1;
            assert_ne!(of(&hash), zero, "byte {byte} is not shown");
        }
    }
}
