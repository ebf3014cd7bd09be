//! What members of a conversation tell each other: the content of an MLS application message, as JSON.
//!
//! The server sees none of it, and nothing here is believed beyond who signed it: texts have a limit, times are the
//! writer's own, and what refers to another message is looked up.

use bedside_e2ee::mls::MAX_BODY_BYTES;
use bedside_protocol::{CallId, Timestamp, conversation::EntryKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{signal::SignalBody, transfer::SharedFile};

/// The longest text of a message, characters.
pub const MAX_TEXT_CHARS: usize = 8_000;
/// The same as it is sealed, bytes: what is around a text in its body has room beside it.
const MAX_TEXT_BYTES: usize = MAX_BODY_BYTES - 512;
/// The most messages that a receipt names as delivered, and as read.
pub(crate) const MOST_IN_A_RECEIPT: u32 = 256;
/// The longest name of a group, characters.
const MAX_TITLE_CHARS: usize = 80;

/// What is said.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A message.
    Text {
        /// What.
        text: String,
        /// The message that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Uuid>,
        /// The call it was written in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
        /// By the writer's clock.
        sent_at: Timestamp,
    },
    /// A file.
    File {
        /// What it is and where.
        file: Box<SharedFile>,
        /// The call it was sent in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
        /// By the writer's clock.
        sent_at: Timestamp,
    },
    /// One's own message says something else now.
    Edit {
        /// Which.
        message: Uuid,
        /// What.
        text: String,
    },
    /// One's own message is gone.
    Delete {
        /// Which.
        message: Uuid,
    },
    /// Which messages came here, each said once; what was withheld from this device, or said before it joined, is none.
    Receipt {
        /// Those that arrived on this device.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        delivered: Vec<Uuid>,
        /// Those that were seen on it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        read: Vec<Uuid>,
    },
    /// The group's name.
    Title {
        /// The name.
        title: String,
        /// By the writer's clock.
        sent_at: Timestamp,
    },
    /// From engine to engine, for a call.
    Signal {
        /// Which call.
        call: CallId,
        /// What.
        signal: SignalBody,
    },
}

impl Body {
    /// What the server is told that it is.
    pub(crate) const fn kind(&self) -> EntryKind {
        match self {
            Body::Text { .. }
            | Body::File { .. }
            | Body::Edit { .. }
            | Body::Delete { .. }
            | Body::Title { .. } => EntryKind::Message,
            Body::Receipt { read, .. } => {
                if read.is_empty() {
                    EntryKind::Delivered
                } else {
                    EntryKind::Read
                }
            }
            Body::Signal { signal, .. } => match signal {
                SignalBody::Offer { .. } => EntryKind::Offer,
                SignalBody::Answer { .. } => EntryKind::Answer,
                SignalBody::Candidates { .. } | SignalBody::RestartIce => EntryKind::Ice,
            },
        }
    }

    /// The call it belongs to, as the server is told.
    pub(crate) const fn call(&self) -> Option<CallId> {
        match self {
            Body::Text { call, .. } | Body::File { call, .. } => *call,
            Body::Signal { call, .. } => Some(*call),
            Body::Edit { .. } | Body::Delete { .. } | Body::Receipt { .. } | Body::Title { .. } => None,
        }
    }

    /// The bytes to seal.
    pub(crate) fn write(&self) -> Zeroizing<Vec<u8>> {
        // As long as any may be: a buffer that has to grow leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BODY_BYTES));
        if serde_json::to_writer(&mut *bytes, self).is_err() {
            bytes.clear();
        }
        bytes
    }

    /// What was sealed, if it is something that an honest member says.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_BODY_BYTES {
            return None;
        }
        let body: Self = serde_json::from_slice(bytes).ok()?;
        match &body {
            Body::Text { text, .. } | Body::Edit { text, .. } if !fits(text, MAX_TEXT_CHARS) => None,
            Body::Title { title, .. } if !fits(title, MAX_TITLE_CHARS) => None,
            _ => Some(body),
        }
    }
}

/// Whether a text says something and is not too long.
pub(crate) fn fits(text: &str, most: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= most
}

/// Whether a text can be sent in one message: in characters, and in bytes as it is sealed, where some take six.
pub(crate) fn text_fits(text: &str) -> bool {
    let written = serde_json::to_string(text).map_or(usize::MAX, |written| written.len());
    fits(text, MAX_TEXT_CHARS) && written <= MAX_TEXT_BYTES
}

impl std::fmt::Debug for Body {
    /// The kind only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Body::Text { .. } => "text",
            Body::File { .. } => "file",
            Body::Edit { .. } => "edit",
            Body::Delete { .. } => "delete",
            Body::Receipt { .. } => "receipt",
            Body::Title { .. } => "title",
            Body::Signal { signal, .. } => return signal.fmt(f),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_that_fits_can_be_sealed_whatever_its_characters() {
        for character in ["a", "\u{1}", "\"", "\u{1F600}"] {
            let mut lengths = (1..=MAX_TEXT_CHARS).rev().map(|count| format!("a{}", character.repeat(count)));
            let text = lengths.find(|text| text_fits(text)).unwrap();
            let (reply_to, call) = (Some(Uuid::max()), Some(CallId::random()));
            let body = Body::Text { text, reply_to, call, sent_at: Timestamp(i64::MAX) };
            assert!(body.write().len() <= MAX_BODY_BYTES);
        }
        assert!(text_fits(&"\u{1F600}".repeat(8_000)) && !text_fits(&"\u{1}".repeat(8_000)));
    }

    #[test]
    fn what_was_written_is_read() {
        let body = Body::Text { text: "hello".into(), reply_to: None, call: None, sent_at: Timestamp(7) };
        let again = Body::read(&body.write());
        assert!(matches!(again, Some(Body::Text { text, .. }) if text == "hello"));
    }

    #[test]
    fn a_text_beyond_the_limit_or_of_nothing_is_not_read() {
        let text = |text: String| Body::Edit { message: Uuid::nil(), text }.write();
        assert!(Body::read(&text("x".repeat(MAX_TEXT_CHARS + 1))).is_none());
        assert!(Body::read(&text(" \n".into())).is_none());
        assert!(Body::read(&text("x".repeat(MAX_TEXT_CHARS))).is_some());
    }

    #[test]
    fn printing_shows_no_content() {
        let body =
            Body::Text { text: "penicillin".into(), reply_to: None, call: None, sent_at: Timestamp(7) };
        assert_eq!(format!("{body:?}"), "text");
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Body::read(&bytes);
        }
    }
}
