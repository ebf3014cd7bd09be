//! What two engines tell each other directly during a call, over the data channel.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::peer::PeerError;

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
        /// The picture is on, and nothing is sent of it: the line has no room for more than the voice.
        #[serde(default)]
        picture_paused: bool,
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

/// Says the newest state each time that one is put there, one after the other: an older one never arrives last. Ends with
/// whoever puts them there.
pub(super) async fn say<S>(mut states: watch::Receiver<Control>, send: impl Fn(Bytes) -> S)
where
    S: Future<Output = Result<(), PeerError>>,
{
    while states.changed().await.is_ok() {
        let state = *states.borrow_and_update();
        if let Err(error) = send(state.to_bytes().into()).await {
            tracing::debug!(%error, "the other side was not told of a switch");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn state(muted: bool, camera_on: bool, picture_paused: bool) -> Control {
        Control::State { muted, camera_on, picture_paused }
    }

    #[tokio::test]
    async fn of_states_that_come_while_one_is_being_said_the_newest_is_said_last() {
        let (states, seen) = watch::channel(state(false, false, false));
        let (begun, mut said) = tokio::sync::mpsc::unbounded_channel();
        let (go, may) = watch::channel(false);
        let saying = tokio::spawn(say(seen, move |message| {
            begun.send(Control::read(&message)).unwrap();
            let mut may = may.clone();
            async move {
                may.wait_for(|may| *may).await.unwrap();
                Ok(())
            }
        }));
        states.send_replace(state(true, false, false));
        assert_eq!(said.recv().await.unwrap(), Some(state(true, false, false)));
        states.send_replace(state(false, false, false));
        states.send_replace(state(true, true, false));
        assert!(said.try_recv().is_err(), "two are on their way at once");
        go.send_replace(true);
        assert_eq!(said.recv().await.unwrap(), Some(state(true, true, false)));
        drop(states);
        saying.await.unwrap();
        assert!(said.recv().await.is_none());
    }

    #[test]
    fn an_older_engine_says_nothing_of_a_pause() {
        let said = br#"{"type":"state","muted":false,"camera_on":true}"#;
        assert_eq!(Control::read(said), Some(state(false, true, false)));
    }

    #[test]
    fn a_state_survives_the_way_and_anything_else_is_passed_over() {
        let state = state(true, true, true);
        assert_eq!(Control::read(&state.to_bytes()), Some(state));
        assert_eq!(Control::read(b"{\"type\":\"later\"}"), None);
        assert_eq!(Control::read(&vec![b' '; MAX_BYTES + 1]), None);
    }
}
