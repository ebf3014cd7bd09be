//! Live pictures for the web view.
//!
//! A loopback WebSocket per stream carries them ([`FrameServer`]); where the web view may not open one, Tauri's
//! own channel does ([`ChannelHub`]); on a Linux without a GPU they are painted under the page and never enter it
//! ([`underlay`]). Each is a [`Carrier`] for the same pump: the newest picture, scaled to the size it is shown at,
//! never more than two under way. Nothing here knows about calls.

mod ages;
mod channel;
mod pace;
mod pump;
mod socket;
mod tokens;
#[cfg(target_os = "linux")]
pub(crate) mod underlay;
mod wire;

use std::sync::Arc;

use bedside_media::frame::I420;
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

/// A picture on its way to the screen.
pub(crate) struct Picture {
    /// Grows by one with each that is sent.
    sequence: u32,
    /// Since the stream was opened, microseconds.
    captured_us: u64,
    image: Arc<I420>,
}

/// A way to the screen.
pub(crate) trait Carrier: Send {
    /// Sends a picture; false when nobody shows it any more.
    fn send(&mut self, picture: Picture) -> impl Future<Output = bool> + Send;

    /// What the other side says next; `None` when it is gone. Nothing is lost when the future is dropped.
    fn feedback(&mut self) -> impl Future<Output = Option<Feedback>> + Send;
}
