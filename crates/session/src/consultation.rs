//! The media of one call: peer connection, pictures out and in, sound out and in, and how well it goes.
//!
//! A [`Consultation`] is started when a call is placed or answered and dropped when it is over. Its task drives the
//! peer connection; pictures are encoded and decoded on named threads; sound runs on the studio's audio thread through
//! the [`AudioPort`] that starting returns. It knows nothing of the server: signals go out as reports.

mod connecting;
mod controls;
mod driver;
mod lips;
mod meter;
mod negotiation;
mod reports;
mod sealing;
mod sound;
mod steering;
mod summary;
mod video_in;
mod video_out;
mod viewing;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bedside_e2ee::sframe::EpochSecret;
use bedside_media::frame::VideoFrame;
use bedside_protocol::{CallId, call::Side, quality::QualityMetrics, rest::IceServer};
use bedside_ui_contract::StatsSample;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
};

use self::sealing::Sealing;
use self::video_in::Screen;
use crate::{peer::NetworkOptions, signal::SignalBody, studio::AudioPort, tap::MediaTap, transfer::FileLink};

/// What a consultation is started with.
pub struct ConsultationConfig {
    /// The call.
    pub call_id: CallId,
    /// The caller offers.
    pub side: Side,
    /// STUN and TURN.
    pub ice_servers: Vec<IceServer>,
    /// How to reach the network.
    pub network: NetworkOptions,
    /// The microphone starts off.
    pub muted: bool,
    /// The camera starts on.
    pub camera_on: bool,
    /// The camera's newest picture.
    pub camera: watch::Receiver<Option<VideoFrame>>,
    /// Where the other person's picture goes.
    pub remote: watch::Sender<Option<VideoFrame>>,
    /// Looks at media as it passes.
    pub tap: Option<Arc<dyn MediaTap>>,
    /// Seal each frame once more, if the other side wants that too.
    pub seal_frames: bool,
    /// Where it runs.
    pub runtime: Handle,
}

/// What a consultation tells the engine.
#[derive(Debug)]
pub struct ConsultationEvent {
    /// Of which call.
    pub call_id: CallId,
    /// What.
    pub report: Report,
}

/// See [`ConsultationEvent`].
pub enum Report {
    /// To be sent to the other engine.
    Signal(SignalBody),
    /// Media from the other side began to arrive, or has stopped.
    Flowing(bool),
    /// The other side switched its microphone or camera.
    PeerControls {
        /// Microphone off.
        muted: bool,
        /// Picture on.
        camera_on: bool,
        /// It is on, and nothing is sent of it for lack of room.
        picture_paused: bool,
    },
    /// The picture we send is paused to keep the sound clear, or back.
    VideoPaused(bool),
    /// A second went by.
    Second {
        /// For the window.
        sample: Box<StatsSample>,
        /// For the server.
        metrics: Box<QualityMetrics>,
    },
    /// The channel for files is open: for [`crate::transfer::Transfers::attach`].
    Files(FileLink),
    /// No connection could be established, or it is not with whom it should be.
    Failed {
        /// The other side's certificate is not the one that its description names.
        forged: bool,
    },
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Report::Signal(_) => "signal",
            Report::Flowing(true) => "flowing",
            Report::Flowing(false) => "not flowing",
            Report::PeerControls { .. } => "peer controls",
            Report::VideoPaused(_) => "video paused",
            Report::Second { .. } => "second",
            Report::Files(_) => "files",
            Report::Failed { .. } => "failed",
        })
    }
}

/// What the frames of a call are sealed with in one epoch of the conversation's group.
#[derive(Clone, Debug)]
pub struct FrameKeys {
    /// The epoch's secret for this call.
    pub secret: EpochSecret,
    /// Where this device is in the group.
    pub leaf: u32,
    /// Where the other person's devices are: nobody else's frames are played.
    pub senders: Vec<u32>,
}

/// What the engine asks of a consultation.
enum Ask {
    Offer,
    Signal(SignalBody),
    Muted(bool),
    Camera(bool),
    NetworkChanged,
    FrameKeys(FrameKeys),
}

/// A running consultation. Dropping it ends the media at once.
pub struct Consultation {
    asks: mpsc::UnboundedSender<Ask>,
    heard: Arc<LastHeard>,
    sealing: Arc<Sealing>,
    screen: Arc<Screen>,
    /// Ends by itself when `asks` is dropped, and closes the peer connection in order.
    _task: JoinHandle<()>,
}

impl Consultation {
    /// Starts the media; the caller's side gathers candidates at once and offers when told to.
    pub fn start(
        config: ConsultationConfig,
        events: mpsc::UnboundedSender<ConsultationEvent>,
    ) -> (Self, Box<dyn AudioPort>) {
        let (asks, inbox) = mpsc::unbounded_channel();
        let heard = Arc::new(LastHeard::default());
        let sealing = Arc::new(Sealing::new(config.seal_frames));
        let screen = Arc::new(Screen::new(config.remote.clone()));
        let (task, port) =
            driver::start(config, inbox, events, heard.clone(), sealing.clone(), screen.clone());
        (Self { asks, heard, sealing, screen, _task: task }, port)
    }

    /// The callee has answered: the caller's offer may go.
    pub fn offer(&self) {
        self.ask(Ask::Offer);
    }

    /// A signal from the other engine.
    pub fn signal(&self, body: SignalBody) {
        self.ask(Ask::Signal(body));
    }

    /// Microphone off or on.
    pub fn set_muted(&self, muted: bool) {
        self.ask(Ask::Muted(muted));
    }

    /// Picture on or off.
    pub fn set_camera(&self, on: bool) {
        self.ask(Ask::Camera(on));
    }

    /// The conversation's group has these keys for frames of this call.
    pub fn frame_keys(&self, keys: FrameKeys) {
        self.ask(Ask::FrameKeys(keys));
    }

    /// Whether both sides seal each frame once more.
    #[must_use]
    pub fn frames_sealed(&self) -> bool {
        self.sealing.is_active()
    }

    /// The machine's addresses changed.
    pub fn network_changed(&self) {
        self.ask(Ask::NetworkChanged);
    }

    /// For how long nothing has come from the other side; `None` while it comes or before it ever came.
    #[must_use]
    pub fn lost_for(&self) -> Option<Duration> {
        self.heard.silence().filter(|silence| *silence > driver::LOST_AFTER)
    }

    fn ask(&self, ask: Ask) {
        // The task ends before its handle only when the connection could not be set up, which it has reported.
        let _ = self.asks.send(ask);
    }
}

impl Drop for Consultation {
    fn drop(&mut self) {
        self.screen.go_dark();
    }
}

/// When media last came from the other side, shared across threads.
#[derive(Debug, Default)]
struct LastHeard {
    origin: std::sync::OnceLock<Instant>,
    /// Microseconds after `origin`.
    last: AtomicU64,
}

impl LastHeard {
    fn now(&self, at: Instant) {
        let origin = *self.origin.get_or_init(|| at);
        let micros = at.saturating_duration_since(origin).as_micros();
        self.last.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn silence(&self) -> Option<Duration> {
        let origin = *self.origin.get()?;
        let last = origin + Duration::from_micros(self.last.load(Ordering::Relaxed));
        Some(Instant::now().saturating_duration_since(last))
    }
}

/// What the fuzz targets reach of this module. Not part of any ordinary build.
#[cfg(fuzzing)]
pub mod fuzzing {
    /// A message of the other engine on the data channel.
    pub fn control(message: &[u8]) {
        let _ = super::controls::Control::read(message);
    }
}
