//! Cameras: real ones by nokhwa, and two that need no hardware (a moving test pattern, a film), all behind
//! one handle. A camera runs on a thread of its own under a watchdog; whatever happens to it (none there,
//! not allowed, in use, pulled out, silent) is told as an event, another one of the machine takes over where there is
//! one, and it is tried again until it comes back or the handle is dropped. Knows nothing of who looks at the pictures,
//! and never queues any.

mod film;
mod native;
mod pace;
mod pattern;
mod source;
mod supervisor;

use std::path::PathBuf;
use std::sync::Arc;

pub use film::{Film, FilmError};
pub use pattern::Pattern;
pub use source::{CameraSource, CameraSystem, Cameras, Capture, Stop};

use crate::frame::VideoFrame;
use supervisor::{Patience, Supervisor, Wanted};

/// Which camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraId {
    /// The first device of this machine that works.
    Default,
    /// A device of this machine, by the name that [`Cameras::list`] gives it.
    Native(String),
    /// The moving test pattern, stamped (see [`crate::stamp`]).
    Pattern,
    /// A YUV4MPEG2 file with 4:2:0 pictures, played for ever at its own frame rate.
    Film(PathBuf),
}

/// What is wished of a camera; it gives what it has that is nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureFormat {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
}

impl Default for CaptureFormat {
    fn default() -> Self {
        Self { width: 1280, height: 720, fps: 30 }
    }
}

/// What to do to the pictures on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// Burn frame counter and time into the corner. The pattern is always stamped.
    pub stamp: bool,
}

/// What a camera reports.
#[derive(Clone, Debug)]
pub enum CameraEvent {
    /// A picture.
    Frame(VideoFrame),
    /// The camera that was chosen gives pictures from now on: what was wrong is over. Comes before its first one.
    Using {
        /// Its name.
        name: String,
    },
    /// Why the camera that was chosen gives none; told once per change.
    Trouble {
        /// What is wrong.
        trouble: CameraTrouble,
        /// The name of the one whose pictures come in its place.
        replaced_by: Option<String>,
    },
}

/// Why there are no pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CameraTrouble {
    /// This machine has no camera: go on with audio only.
    #[error("no camera was found")]
    NoneFound,
    /// The system does not let us: show how to allow it.
    #[error("the system does not allow the use of the camera")]
    PermissionDenied,
    /// Another program holds it: ask to close that.
    #[error("another program uses the camera")]
    InUse,
    /// The chosen camera is not (or no longer) there: fall over to another.
    #[error("the camera was unplugged")]
    Unplugged,
    /// It is there and open but gives no pictures.
    #[error("the camera gives no pictures")]
    Stalled,
    /// It can't be used: no format we know, a bad film file, a driver error.
    #[error("the camera failed")]
    Failed,
}

/// Receives a camera's events, on the camera's threads. It must be quick (hand over and return) and must not
/// drop the [`Camera`] it serves.
pub type CameraSink = Box<dyn FnMut(CameraEvent) + Send>;

/// A camera in use. Dropping it stops it; no event comes after that.
pub struct Camera {
    id: CameraId,
    supervisor: Supervisor,
}

impl Camera {
    /// Starts a camera, of `cameras` if it is no virtual one, and returns at once; pictures and troubles come to `sink`.
    #[must_use]
    pub fn open(
        id: CameraId,
        cameras: &Cameras,
        format: CaptureFormat,
        options: SourceOptions,
        sink: CameraSink,
    ) -> Self {
        let stamp = options.stamp || id == CameraId::Pattern;
        let (system, chosen): (Arc<dyn CameraSystem>, _) = match &id {
            CameraId::Default => (cameras.system(), None),
            CameraId::Native(name) => (cameras.system(), Some(name.clone())),
            CameraId::Pattern => (Arc::new(pattern::PatternCamera), None),
            CameraId::Film(path) => (Arc::new(film::FilmCamera::new(path.clone())), None),
        };
        let wanted = Wanted { system, chosen, format };
        Self { supervisor: Supervisor::start(wanted, stamp, Patience::default(), sink), id }
    }

    /// Tells it to stop and does not wait: no picture or trouble comes after this returns. The device itself is free once
    /// this is dropped, which may take half a second.
    pub fn silence(&self) {
        self.supervisor.silence();
    }

    /// Which camera this is.
    #[must_use]
    pub fn id(&self) -> &CameraId {
        &self.id
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.supervisor.stop();
    }
}

impl std::fmt::Debug for Camera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Camera").field("id", &self.id).finish_non_exhaustive()
    }
}
