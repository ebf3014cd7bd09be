//! What two engines tell each other directly during a call, over the data channel.

use serde::{Deserialize, Serialize};

/// Larger messages are refused before they are parsed, bytes.
const MAX_BYTES: usize = 4096;

/// How this side's microphone and camera stand. Sent when the channel opens and at every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Control {
    /// The whole state, so that a lost or repeated message does no harm.
    State {
        /// Microphone off.
        muted: bool,
        /// Picture on.
        camera_on: bool,
    },
}

impl Control {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).unwrap_or_default()
    }

    /// What a message says; `None` for what this build does not know.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        if message.len() > MAX_BYTES {
            return None;
        }
        serde_json::from_slice(message).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_the_way_and_anything_else_is_passed_over() {
        let state = Control::State { muted: true, camera_on: false };
        assert_eq!(Control::read(&state.to_bytes()), Some(state));
        assert_eq!(Control::read(b"{\"type\":\"later\"}"), None);
        assert_eq!(Control::read(&vec![b' '; MAX_BYTES + 1]), None);
    }
}
