//! The little we read in session descriptions ourselves: fingerprints, and refusing what is hostile before the stack's
//! parser sees it.

use sha2::{Digest, Sha256, Sha384, Sha512};

use super::candidate::{self, Verdict};
use super::error::PeerError;

/// Longest description accepted, bytes. A browser's with every codec is 10 KiB.
const LONGEST: usize = 64 * 1024;
/// Most lines and longest line accepted.
const MOST_LINES: usize = 2_000;
const LONGEST_LINE: usize = 4_096;
/// Most media sections: audio, video, data, and room for an older peer's extras.
const MOST_SECTIONS: usize = 8;

/// The line types that descriptions of peer connections consist of (RFC 8829 §5.2.1). The stack's parser knows more of
/// SDP, and stumbles over some of it.
const LINE_TYPES: [&str; 8] = ["v", "o", "s", "t", "c", "b", "m", "a"];

/// A certificate's digest (RFC 8122 §5).
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint {
    /// `sha-256`, `sha-384` or `sha-512`.
    algorithm: String,
    /// Lower-case hexadecimal bytes joined by colons.
    value: String,
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} fingerprint>", self.algorithm)
    }
}

impl Fingerprint {
    /// The digest of a DER certificate; `None` for an algorithm too weak or unknown.
    pub(super) fn of(algorithm: &str, der: &[u8]) -> Option<Self> {
        let digest = match algorithm {
            "sha-256" => Sha256::digest(der).to_vec(),
            "sha-384" => Sha384::digest(der).to_vec(),
            "sha-512" => Sha512::digest(der).to_vec(),
            _ => return None,
        };
        let value: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { algorithm: algorithm.to_owned(), value: value.join(":") })
    }
}

/// Refuses a description that is no SDP at all, or larger than any honest one.
pub(super) fn check(sdp: &str) -> Result<(), PeerError> {
    if sdp.len() > LONGEST {
        return Err(PeerError::BadDescription("it is too long"));
    }
    if sdp.lines().next() != Some("v=0") {
        return Err(PeerError::BadDescription("it does not begin as SDP does"));
    }
    let mut sections = 0;
    for (number, line) in sdp.lines().enumerate() {
        if number >= MOST_LINES || line.len() > LONGEST_LINE {
            return Err(PeerError::BadDescription("it has too many or too long lines"));
        }
        let known = line.split_once('=').is_some_and(|(kind, _)| LINE_TYPES.contains(&kind));
        if !known || line.chars().any(char::is_control) {
            return Err(PeerError::BadDescription("it has a line of a kind that is not used here"));
        }
        sections += usize::from(line.starts_with("m="));
    }
    if sections == 0 || sections > MOST_SECTIONS {
        return Err(PeerError::BadDescription("it has no media sections or too many"));
    }
    let fingerprints = fingerprints(sdp);
    if fingerprints.is_empty() {
        return Err(PeerError::BadDescription("it names no certificate of a sound kind"));
    }
    Ok(())
}

/// The description without the candidates that this side cannot use or should not try.
pub(super) fn without_unusable_candidates(sdp: &str) -> String {
    let usable = |line: &&str| {
        line.trim_end()
            .strip_prefix("a=candidate:")
            .is_none_or(|candidate| matches!(candidate::judge(candidate), Ok(Verdict::Use)))
    };
    sdp.split_inclusive('\n').filter(usable).collect()
}

/// Every fingerprint of a sound algorithm that the description names, at session or media level.
pub(super) fn fingerprints(sdp: &str) -> Vec<Fingerprint> {
    sdp.lines()
        .filter_map(|line| line.trim_end().strip_prefix("a=fingerprint:"))
        .filter_map(|rest| rest.split_once(' '))
        .map(|(algorithm, value)| Fingerprint {
            algorithm: algorithm.trim().to_ascii_lowercase(),
            value: value.trim().to_ascii_lowercase(),
        })
        .filter(|fingerprint| matches!(fingerprint.algorithm.as_str(), "sha-256" | "sha-384" | "sha-512"))
        .collect()
}

/// A part in the DTLS handshake, as an answer names it (RFC 4145 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Sends the first flight: the client.
    Active,
    /// Waits for it: the server.
    Passive,
}

impl Role {
    /// The other side's part.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Active => Self::Passive,
            Self::Passive => Self::Active,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

/// The part that whoever made this answer takes.
pub(super) fn role(answer: &str) -> Option<Role> {
    let word = answer.lines().find_map(|line| line.trim_end().strip_prefix("a=setup:"))?;
    [Role::Active, Role::Passive].into_iter().find(|role| role.word() == word)
}

/// The answer with another part.
pub(super) fn with_role(answer: &str, role: Role) -> String {
    let line = |line: &str| match line.strip_prefix("a=setup:") {
        Some(rest) => format!("a=setup:{}{}", role.word(), &rest[rest.trim_end().len()..]),
        None => line.to_owned(),
    };
    answer.split_inclusive('\n').map(line).collect()
}

/// The identification tag of the first media section, which carries everything under BUNDLE.
pub(super) fn first_mid(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.trim_end().strip_prefix("a=mid:"))
}

/// Whether the certificate shown is one that the description names. With several algorithms the strongest named one
/// decides (RFC 8122 §5): a match in a weaker one alone is not enough.
pub(super) fn names(sdp: &str, der: &[u8]) -> bool {
    let named = fingerprints(sdp);
    ["sha-512", "sha-384", "sha-256"]
        .into_iter()
        .find(|algorithm| named.iter().any(|fingerprint| fingerprint.algorithm == *algorithm))
        .and_then(|algorithm| Fingerprint::of(algorithm, der))
        .is_some_and(|seen| named.contains(&seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(lines: &[&str]) -> String {
        let mut all = vec!["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111"];
        all.extend(lines);
        all.join("\r\n")
    }

    #[test]
    fn a_certificate_matches_only_by_the_strongest_algorithm_named() {
        let der = b"certificate";
        let good = Fingerprint::of("sha-256", der).unwrap().value.to_uppercase();
        let strong = Fingerprint::of("sha-512", b"another").unwrap().value;
        let line = format!("a=fingerprint:SHA-256 {good}");
        assert!(names(&description(&[&line]), der));
        assert!(!names(&description(&[&line]), b"another"));
        assert!(!names(&description(&[&line, &format!("a=fingerprint:sha-512 {strong}")]), der));
        assert!(!names(&description(&["a=fingerprint:md5 00:11"]), der));
    }

    #[test]
    fn a_part_in_the_handshake_is_read_and_replaced_in_every_section() {
        let answer =
            description(&["a=setup:active", "a=mid:0", "m=video 9 UDP/TLS/RTP/SAVPF 102", "a=setup:active"]);
        assert_eq!(role(&answer), Some(Role::Active));
        let passive = with_role(&answer, Role::Passive);
        assert_eq!(passive, answer.replace("active", "passive"));
        assert_eq!(role(&passive), Some(Role::Passive));
        assert_eq!(role("a=setup:actpass"), None);
    }

    #[test]
    fn a_description_without_a_sound_fingerprint_is_refused() {
        assert!(check(&description(&["a=fingerprint:sha-1 00:11"])).is_err());
        assert!(check(&description(&["a=fingerprint:sha-256 00:11"])).is_ok());
    }
}
