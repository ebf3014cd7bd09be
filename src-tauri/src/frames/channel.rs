//! Frames over Tauri's own channel, where a policy keeps the web view from loopback sockets.
//!
//! Costs ten times the processor of a socket, so it is only ever the second choice.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use bedside_session::StreamKind;
use tauri::ipc::{Channel, InvokeResponseBody};
use tokio::sync::mpsc;

use super::{Carrier, Feedback, FrameSource, Picture, pump::pump, wire};

/// Feedback that waits to be taken in; more means that something is wrong and is dropped.
const BACKLOG: usize = 16;

/// The open channels.
pub struct ChannelHub {
    source: Arc<dyn FrameSource>,
    next: AtomicU32,
    open: Mutex<HashMap<u32, mpsc::Sender<Feedback>>>,
}

impl ChannelHub {
    /// A hub without channels.
    #[must_use]
    pub fn new(source: Arc<dyn FrameSource>) -> Self {
        Self { source, next: AtomicU32::new(1), open: Mutex::default() }
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<u32, mpsc::Sender<Feedback>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a stream into `channel` until it is closed; gives the number for [`Self::feedback`].
    pub(crate) fn open(&self, stream: StreamKind, channel: Channel<InvokeResponseBody>) -> u32 {
        tracing::info!("the page has no socket: pictures take the slower way");
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (said, hears) = mpsc::channel(BACKLOG);
        let mut channels = self.channels();
        channels.retain(|_, open| !open.is_closed());
        channels.insert(id, said);
        tauri::async_runtime::spawn(pump(
            self.source.frames(stream),
            ChannelCarrier { channel, hears },
            None,
        ));
        id
    }

    /// Passes on what the web view said about channel `id`.
    pub(crate) fn feedback(&self, id: u32, message: &[u8]) {
        if let (Some(channel), Some(feedback)) = (self.channels().get(&id), Feedback::parse(message)) {
            // A full backlog belongs to a window that floods us.
            let _ = channel.try_send(feedback);
        }
    }

    /// Ends channel `id`.
    pub(crate) fn close(&self, id: u32) {
        self.channels().remove(&id);
    }
}

struct ChannelCarrier {
    channel: Channel<InvokeResponseBody>,
    hears: mpsc::Receiver<Feedback>,
}

impl Carrier for ChannelCarrier {
    async fn send(&mut self, picture: Picture) -> bool {
        self.channel.send(InvokeResponseBody::Raw(wire::message(&picture))).is_ok()
    }

    async fn feedback(&mut self) -> Option<Feedback> {
        self.hears.recv().await
    }
}
