//! Cameras: real ones by nokhwa, and two that need no hardware (a moving test pattern, a film), all behind
//! one handle. A camera runs on a thread of its own under a watchdog; whatever happens to it (none there,
//! not allowed, in use, pulled out, silent) is told as an event, and it is tried again until it comes back or
//! the handle is dropped. Knows nothing of who looks at the pictures, and never queues any.

mod film;
mod native;
mod pace;
mod pattern;
mod source;
mod supervisor;

use std::path::PathBuf;
use std::sync::Arc;

pub use film::{Film, FilmError};
pub use native::list;
pub use pattern::Pattern;

use crate::frame::VideoFrame;
use source::Opener;
use supervisor::{Patience, Supervisor};

/// Which camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraId {
    /// A device of this machine, by the name that [`list`] gives it.
    Native(String),
    /// The moving test pattern, stamped (see [`crate::stamp`]).
    Pattern,
    /// A YUV4MPEG2 file with 4:2:0 pictures, played for ever at its own frame rate.
    Film(PathBuf),
}

/// One camera that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraInfo {
    /// What to open it by.
    pub id: CameraId,
    /// What to call it in front of people.
    pub name: String,
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
    /// A picture. The first one after a trouble means that the trouble is over.
    Frame(VideoFrame),
    /// Why there are no pictures; told once per change.
    Trouble(CameraTrouble),
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
    /// Starts a camera and returns at once; pictures and troubles come to `sink`.
    #[must_use]
    pub fn open(id: CameraId, format: CaptureFormat, options: SourceOptions, sink: CameraSink) -> Self {
        let stamp = options.stamp || id == CameraId::Pattern;
        let opener: Arc<dyn Opener> = match &id {
            CameraId::Native(name) => Arc::new(native::NativeOpener::new(name.clone(), format)),
            CameraId::Pattern => Arc::new(pattern::PatternOpener::new(format)),
            CameraId::Film(path) => Arc::new(film::FilmOpener::new(path.clone())),
        };
        Self { supervisor: Supervisor::start(opener, stamp, Patience::default(), sink), id }
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
