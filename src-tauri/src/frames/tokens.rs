//! One-time tokens: who holds one may open one stream, once, soon.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bedside_session::StreamKind;

/// How long a token waits to be used.
const LIFETIME: Duration = Duration::from_secs(10);
/// How many wait at most; the oldest gives way.
const MOST: usize = 16;

struct Issued {
    token: String,
    stream: StreamKind,
    at: Instant,
}

/// The tokens that have not been used yet.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<VecDeque<Issued>>);

impl Tokens {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Issued>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fresh token for a stream: 32 random bytes, in hexadecimal.
    pub(crate) fn issue(&self, stream: StreamKind, now: Instant) -> String {
        let bytes: [u8; 32] = rand::random();
        let token = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        let mut waiting = self.waiting();
        if waiting.len() >= MOST {
            waiting.pop_front();
        }
        waiting.push_back(Issued { token: token.clone(), stream, at: now });
        token
    }

    /// Uses a token up: the stream it was for, or `None` when it is unknown, used or too old.
    pub(crate) fn redeem(&self, token: &str, now: Instant) -> Option<StreamKind> {
        let mut waiting = self.waiting();
        waiting.retain(|issued| now.saturating_duration_since(issued.at) < LIFETIME);
        let found = waiting.iter().position(|issued| issued.token == token)?;
        waiting.remove(found).map(|issued| issued.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_its_stream_once() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue(StreamKind::SelfView, now);
        assert_eq!(token.len(), 64);
        assert_eq!(tokens.redeem(&token, now), Some(StreamKind::SelfView));
        assert_eq!(tokens.redeem(&token, now), None);
        assert_eq!(tokens.redeem("", now), None);
    }

    #[test]
    fn a_token_is_of_no_use_later() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue(StreamKind::Remote, now);
        assert_eq!(tokens.redeem(&token, now + LIFETIME), None);
    }

    #[test]
    fn unused_tokens_do_not_pile_up() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let first = tokens.issue(StreamKind::Remote, now);
        for _ in 0..MOST {
            tokens.issue(StreamKind::Remote, now);
        }
        assert_eq!(tokens.redeem(&first, now), None);
    }
}
