//! What transfers are called, and what they tell.

use std::path::PathBuf;

use bedside_protocol::{CallId, ConversationId, EntryId};
use bedside_ui_contract::chat::TransferFailure;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::SharedFile;
#[cfg(doc)]
use super::Transfers;

/// A transfer, on this computer and, in a call, between the two of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransferId(pub Uuid);

impl TransferId {
    /// A random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl std::fmt::Display for TransferId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for TransferId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// What transfers tell the engine.
#[derive(Clone, Debug)]
pub enum TransferEvent {
    /// [`Transfers::views`] has something new; told at most five times a second while bytes flow.
    Changed,
    /// A file is on the server: send the message, then say [`Transfers::settled`]. Told again after a restart until
    /// that is said; the message's id is the same each time.
    Uploaded {
        /// Which.
        transfer: TransferId,
        /// Where it is shared.
        conversation_id: ConversationId,
        /// The message's id.
        message_id: EntryId,
        /// What the message says.
        file: SharedFile,
    },
    /// A file can be had from this computer for as long as the call lasts: send the message. Where the call ends
    /// before the other side has it or has declined it, [`TransferEvent::Uploaded`] follows with the same message id
    /// and another source.
    Offered {
        /// Which.
        transfer: TransferId,
        /// Where it is shared.
        conversation_id: ConversationId,
        /// The call.
        call_id: CallId,
        /// The message's id.
        message_id: EntryId,
        /// What the message says.
        file: SharedFile,
    },
    /// The other side has the whole file that it was offered.
    Delivered {
        /// Which.
        transfer: TransferId,
        /// The message it belongs to.
        message_id: EntryId,
    },
    /// A file is here, whole and checked.
    Saved {
        /// Which.
        transfer: TransferId,
        /// Where it was shared.
        conversation_id: ConversationId,
        /// The message it belongs to.
        message_id: EntryId,
        /// Where it is.
        path: PathBuf,
    },
    /// A transfer stopped for good, unless the person wants it again.
    Failed {
        /// Which.
        transfer: TransferId,
        /// The file's name.
        name: String,
        /// Why.
        reason: TransferFailure,
    },
}
