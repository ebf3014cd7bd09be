//! Live pictures for the web view.
//!
//! A loopback WebSocket per stream carries them ([`FrameServer`]); where the web view may not open one, Tauri's
//! own channel does ([`ChannelHub`]). Both are a [`Carrier`] for the same pump: the newest picture, scaled to the
//! size it is shown at, never more than two under way. Nothing here knows about calls.

mod ages;
mod channel;
mod pace;
mod pump;
mod socket;
mod tokens;
mod wire;

use bedside_session::{Engine, Frames, StreamKind};

pub use ages::DrawnAges;
pub use channel::ChannelHub;
pub use pace::MAX_IN_FLIGHT;
pub use socket::FrameServer;
pub use wire::{Feedback, HEADER_BYTES};

/// Where pictures come from.
pub trait FrameSource: Send + Sync + 'static {
    /// The newest picture of a stream and every later one.
    fn frames(&self, stream: StreamKind) -> Frames;
}

impl FrameSource for Engine {
    fn frames(&self, stream: StreamKind) -> Frames {
        Engine::frames(self, stream)
    }
}

/// A way to a web view.
pub(crate) trait Carrier: Send {
    /// Sends a frame message; false when the web view is gone.
    fn send(&mut self, message: Vec<u8>) -> impl Future<Output = bool> + Send;

    /// What the web view says next; `None` when it is gone. Nothing is lost when the future is dropped.
    fn feedback(&mut self) -> impl Future<Output = Option<Feedback>> + Send;
}
