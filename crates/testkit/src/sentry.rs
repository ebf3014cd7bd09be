//! Watches logs for what must never stand in them: names, passwords, tokens, message texts, session descriptions,
//! addresses of peers.
//!
//! A test plants words (a patient's name, a password), lets the program do its work at the chattiest level, and hands
//! the log to [`Sentry::check`]. What was planted is found in any disguise that logging gives it (another case,
//! escapes, base64, bytes as numbers); what has a tell-tale shape is found without being planted. [`Capture`] collects
//! what this process logs; for other processes the log is their standard error.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter, fmt::format::FmtSpan};

/// Beginnings and pieces that only session descriptions, candidates, tokens and password hashes have.
const SHAPES: &[(&str, &str)] = &[
    ("a session description", "v=0"),
    ("a session description", "m=audio"),
    ("a session description", "m=video"),
    ("a session description", "a=fingerprint"),
    ("ICE credentials", "ice-ufrag"),
    ("ICE credentials", "ice-pwd"),
    ("a candidate", "candidate:"),
    ("a candidate", "typ host"),
    ("a candidate", "typ srflx"),
    ("a candidate", "typ relay"),
    ("an access token", "bearer "),
    ("a password's hash", "$argon2"),
];

/// Random text of this length is a key or a payload.
const KEY_LENGTH: usize = 40;

/// What must not stand in a log.
#[derive(Clone, Debug, Default)]
pub struct Sentry {
    planted: Vec<(String, Vec<String>)>,
    permitted: Vec<IpAddr>,
}

impl Sentry {
    /// A sentry that knows shapes only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forbids `text`, and says `what` when it is found.
    ///
    /// # Panics
    /// When `text` is so short that it is found in innocent words.
    #[must_use]
    pub fn never(mut self, what: &str, text: &str) -> Self {
        assert!(text.len() >= 5, "{what} is too short to be told from innocent words");
        self.planted.push((what.to_owned(), disguises(text)));
        self
    }

    /// Permits an address: that of a server, which its administrator may read.
    #[must_use]
    pub fn permits(mut self, address: IpAddr) -> Self {
        self.permitted.push(address);
        self
    }

    /// What is wrong with `log`: each finding with the line it stands in.
    #[must_use]
    pub fn objections(&self, log: &str) -> Vec<String> {
        log.lines()
            .flat_map(|line| self.line(line).into_iter().map(move |what| format!("{what}: {line}")))
            .collect()
    }

    /// Lets a clean log pass.
    ///
    /// # Panics
    /// When anything forbidden stands in `log`.
    pub fn check(&self, whose: &str, log: &str) {
        let objections = self.objections(log);
        assert!(objections.is_empty(), "{whose} holds what no log may hold:\n{}", objections.join("\n"));
    }

    fn line(&self, line: &str) -> Vec<String> {
        let lower = line.to_lowercase();
        let planted = self.planted.iter().filter(|(_, disguises)| {
            disguises.iter().any(|text| line.contains(text.as_str()) || lower.contains(text.as_str()))
        });
        let shapes = SHAPES.iter().filter(|(_, shape)| lower.contains(shape));
        planted
            .map(|(what, _)| what.clone())
            .chain(shapes.map(|(what, _)| (*what).to_owned()))
            .chain(self.holds_address(line).then(|| "an address".to_owned()))
            .chain(holds_key(line).then(|| "a key or a sealed payload".to_owned()))
            .collect()
    }

    fn holds_address(&self, line: &str) -> bool {
        line.split(|c: char| {
            !c.is_ascii_alphanumeric() && !matches!(c, '.' | ':' | '[' | ']' | '_' | '%' | '-')
        })
        .filter_map(address)
        .any(|found| !self.permitted.contains(&found))
    }
}

/// An address, alone or with a port.
fn address(word: &str) -> Option<IpAddr> {
    let word = word.trim_matches(|c| matches!(c, '.' | '-')).trim_end_matches(':');
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    // `::` also stands between the parts of a Rust path.
    let meant = |address: &IpAddr| address.is_ipv4() || bare.chars().any(|c| c.is_ascii_digit());
    let parsed = bare.parse().ok().or_else(|| Some(word.parse::<SocketAddr>().ok()?.ip()));
    parsed.filter(meant)
}

/// A run of mixed letters and digits as long as a key is.
fn holds_key(line: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).any(|word| {
        let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
        word.len() >= KEY_LENGTH
            && has(u8::is_ascii_uppercase)
            && has(u8::is_ascii_lowercase)
            && has(u8::is_ascii_digit)
    })
}

/// The forms in which `text` may reach a log; those that have a case are lower case.
fn disguises(text: &str) -> Vec<String> {
    let numbers = text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>();
    let percent: String = text
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    let plain = [
        text.to_owned(),
        text.escape_debug().to_string(),
        text.escape_default().to_string(),
        percent.replace("%20", "+"),
        percent,
        numbers.join(", "),
        numbers.join(","),
    ];
    let mut all: Vec<String> = plain.iter().map(|form| form.to_lowercase()).collect();
    // Wherever it begins within something longer that is encoded; a few letters alone would prove nothing.
    all.extend((0..3).map(|before| base64_inside(text, before)).filter(|form| form.len() >= 8));
    all.dedup();
    all
}

/// What base64 shows of `text` for certain when `before` bytes (mod 3) stand in front of it and others behind.
fn base64_inside(text: &str, before: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = &text.as_bytes()[(3 - before) % 3..];
    whole
        .chunks_exact(3)
        .flat_map(|three| {
            let word = three.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|shift| char::from(DIGITS[word >> shift & 63]))
        })
        .collect()
}

/// What this process has logged since the first capture began, from Bedside's own crates, at every level.
#[derive(Clone)]
pub struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    /// Listens to the whole process, or joins the capture that does so already.
    ///
    /// # Panics
    /// When somebody else listens.
    #[must_use]
    pub fn start() -> Self {
        static RUNNING: OnceLock<Capture> = OnceLock::new();
        RUNNING
            .get_or_init(|| {
                let capture = Self(Arc::default());
                tracing_subscriber::fmt()
                    // Targets are matched by their beginning.
                    .with_env_filter(EnvFilter::new("off,bedside=trace"))
                    .with_span_events(FmtSpan::NEW)
                    .with_ansi(false)
                    .with_writer(capture.clone())
                    .init();
                capture
            })
            .clone()
    }

    /// The log so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Capture {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentry() -> Sentry {
        Sentry::new().never("the patient's name", "Žofie Ruiz")
    }

    #[test]
    fn a_planted_name_is_found_in_every_disguise() {
        for line in [
            "name=%C5%BDofie%20Ruiz",
            "name=%C5%BDofie+Ruiz",
            "\\u{17d}ofie ruiz",
            "ŽOFIE RUIZ calls",
            "[197, 189, 111, 102, 105, 101, 32, 82, 117, 105, 122]",
        ] {
            assert_eq!(sentry().objections(line).len(), 1, "{line}");
        }
        for before in ["", "a", "ab"] {
            let payload = base64_whole(format!("{before}Žofie Ruiz says").as_bytes());
            assert!(!sentry().objections(&payload).is_empty(), "{payload}");
        }
    }

    fn base64_whole(bytes: &[u8]) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.encode(bytes)
    }

    #[test]
    fn descriptions_candidates_tokens_and_addresses_are_known_by_their_shape() {
        for line in [
            "offer v=0\\r\\no=- 0 0",
            "a=candidate:1 1 udp 2130706431",
            "sending to 192.0.2.7:50000",
            "sending to [2001:db8::7]:50000,",
            "from 10.0.0.4.",
            "peer=fe80::1",
            "authorization: Bearer abc",
            "$argon2id$v=19$m=19456",
            "token 3q2-7wAbCdEfGhIjKlMnOpQrStUvWxYz0123456789_",
        ] {
            assert!(!Sentry::new().objections(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn an_ordinary_log_passes() {
        let log = "2026-11-21T11:42:14.123456Z  INFO bedside_session::engine::actor: command=sign_in\n\
                   listening on 127.0.0.1:8080 version 0.21.1\n\
                   call 0193f1b2-7c1e-7c3a-9d1e-2f6f6f1f2a3b is connected after 54 ms\n";
        let sentry = sentry().permits(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(sentry.objections(log), Vec::<String>::new());
    }

    #[test]
    #[should_panic(expected = "the patient's name: Žofie Ruiz calls")]
    fn a_finding_fails_the_test_and_shows_its_line() {
        sentry().check("the log", "nothing here\nŽofie Ruiz calls\n");
    }

    #[test]
    fn the_capture_hears_our_own_crates_at_every_level() {
        let capture = Capture::start();
        tracing::trace!(target: "bedside_anything::deep", number = 7, "barely worth a word");
        tracing::error!(target: "somebody_else", "a foreign word");
        let text = capture.text();
        assert!(text.contains("barely worth a word") && !text.contains("a foreign word"), "{text}");
    }
}
