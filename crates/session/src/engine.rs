//! The client engine: what the window and the headless client drive.
//!
//! One task ([`actor`]) owns all state. It takes [`Command`]s, what the server says and what the media reports, and
//! publishes a whole [`Snapshot`] whenever something changed. Nothing outside this module changes a call.

mod account;
mod actor;
mod calling;
mod feeds;
mod notices;
mod presence;
mod view;

use std::{path::PathBuf, sync::Arc};

use bedside_media::{
    audio::{InputId, OutputId},
    camera::{CameraId, Cameras},
    frame::VideoFrame,
};
use bedside_ui_contract::{Command, Levels, MessagePage, SearchHit, Snapshot, StatsSample, Update};
use tokio::{
    runtime::Handle,
    sync::{broadcast, mpsc, oneshot, watch},
};

use crate::{
    idle::IdleOptions, peer::NetworkOptions, profile::ProfileError, secrets::SecretStore, tap::MediaTap,
};

/// How many seconds of statistics a slow reader may lag behind.
const STATS_BACKLOG: usize = 16;

/// What an engine is started with.
pub struct EngineConfig {
    /// Where the profile lives.
    pub profile: PathBuf,
    /// Where secrets are kept.
    pub secrets: Arc<dyn SecretStore>,
    /// Devices that take the place of the chosen ones: for machines without hardware, kiosks and tests.
    pub sources: Sources,
    /// How the peer connection reaches the network.
    pub network: NetworkOptions,
    /// Looks at media as it passes: for recording and measuring without a window.
    pub tap: Option<Arc<dyn MediaTap>>,
    /// How others learn that nobody is at this computer; they never do where it is absent.
    pub idle: Option<IdleOptions>,
    /// Where calls run: [`call_thread`], or with everything else.
    pub calls: Handle,
    /// Drives jitter; nothing secret.
    pub seed: u64,
}

/// Devices given by whoever starts the engine. They are listed before those of the machine and the first is used;
/// where a list is empty the person's choice counts.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Video in.
    pub cameras: Vec<CameraId>,
    /// The cameras of the machine.
    pub machine: Cameras,
    /// Burn frame counter and time stamp into the picture, so that the other side can measure its age.
    pub stamp: bool,
    /// Sound in.
    pub microphones: Vec<InputId>,
    /// Sound out.
    pub speakers: Vec<OutputId>,
}

/// Which picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// The other person.
    Remote,
    /// Oneself.
    SelfView,
}

/// The newest picture of a stream, or none.
pub type Frames = watch::Receiver<Option<VideoFrame>>;

/// What a handle asks of the task.
enum Ask {
    /// Do something; the effect shows in a snapshot.
    Command(Command),
    /// A stretch of a list.
    Messages { conversation_id: String, from: u32, count: u32, answer: oneshot::Sender<MessagePage> },
    /// Take leave of everybody.
    Close(oneshot::Sender<()>),
    /// Messages that hold a text.
    Search { text: String, conversation_id: Option<String>, answer: oneshot::Sender<Vec<SearchHit>> },
}

/// A thread for calls, for as long as the process runs: packets wait for nothing else that the program does, such as writing
/// to a slow disk, and what passes between the tasks of a call wakes no other thread.
///
/// # Errors
/// When the system has no threads left.
pub fn call_thread() -> std::io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("call".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

/// A running engine. Dropping the last clone stops it.
#[derive(Clone)]
pub struct Engine {
    asks: mpsc::UnboundedSender<Ask>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    levels: watch::Receiver<Levels>,
    stats: broadcast::Sender<StatsSample>,
    remote: Frames,
    self_view: Frames,
}

impl Engine {
    /// Starts the engine on the current tokio runtime. It restores the last sign-in by itself.
    ///
    /// # Errors
    /// When the profile folder can't be used.
    pub fn start(config: EngineConfig) -> Result<Self, ProfileError> {
        let (asks, inbox) = mpsc::unbounded_channel();
        let (snapshot_tx, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let (levels_tx, levels) = watch::channel(Levels::default());
        let (stats, _) = broadcast::channel(STATS_BACKLOG);
        let (remote_tx, remote) = watch::channel(None);
        let outlets = actor::Outlets {
            snapshots: snapshot_tx,
            levels: levels_tx,
            stats: stats.clone(),
            remote: remote_tx,
        };
        let self_view = actor::spawn(config, inbox, outlets)?;
        Ok(Self { asks, snapshots, levels, stats, remote, self_view })
    }

    /// Asks for something; the effect shows in a later snapshot.
    pub fn dispatch(&self, command: Command) {
        // The actor lives as long as a handle does; a failure means the process is ending.
        let _ = self.asks.send(Ask::Command(command));
    }

    /// Leaves the call, if there is one, closes the devices and leaves the server: others need not wait until this device is
    /// given up. What was said, read and recorded is on the disk then. For the end of the program; takes a few seconds at
    /// most.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let _ = self.asks.send(Ask::Close(done));
        let _ = closed.await;
    }

    /// A stretch of a conversation's list, by place; empty for a conversation that is not there.
    pub async fn messages(&self, conversation_id: String, from: u32, count: u32) -> MessagePage {
        let (answer, answered) = oneshot::channel();
        let _ = self.asks.send(Ask::Messages { conversation_id, from, count, answer });
        answered.await.unwrap_or_default()
    }

    /// Messages that hold a text, newest first, in one conversation or in all.
    pub async fn search(&self, text: String, conversation_id: Option<String>) -> Vec<SearchHit> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asks.send(Ask::Search { text, conversation_id, answer });
        answered.await.unwrap_or_default()
    }

    /// The newest snapshot and every later one (older ones may be skipped).
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// The seconds of the call, from now on.
    #[must_use]
    pub fn stats(&self) -> broadcast::Receiver<StatsSample> {
        self.stats.subscribe()
    }

    /// Everything the window is told, in one stream.
    #[must_use]
    pub fn updates(&self) -> Updates {
        let mut snapshots = self.snapshots.clone();
        snapshots.mark_changed();
        Updates { snapshots, levels: self.levels.clone(), stats: self.stats.subscribe() }
    }

    /// The pictures of a stream, newest only.
    #[must_use]
    pub fn frames(&self, kind: StreamKind) -> Frames {
        match kind {
            StreamKind::Remote => self.remote.clone(),
            StreamKind::SelfView => self.self_view.clone(),
        }
    }
}

/// What the window is told, one by one.
pub struct Updates {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    levels: watch::Receiver<Levels>,
    stats: broadcast::Receiver<StatsSample>,
}

impl Updates {
    /// The next update; `None` once the engine has stopped.
    pub async fn next(&mut self) -> Option<Update> {
        loop {
            tokio::select! {
                changed = self.snapshots.changed() => {
                    changed.ok()?;
                    let snapshot = self.snapshots.borrow_and_update().as_ref().clone();
                    return Some(Update::Snapshot(Box::new(snapshot)));
                }
                changed = self.levels.changed() => {
                    changed.ok()?;
                    return Some(Update::Levels(*self.levels.borrow_and_update()));
                }
                sample = self.stats.recv() => match sample {
                    Ok(sample) => return Some(Update::Stats(Box::new(sample))),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
            }
        }
    }
}
