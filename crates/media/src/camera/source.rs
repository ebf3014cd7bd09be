//! What cameras are to the supervisor: names that are listed, and something that is opened by its name on the capture
//! thread and then asked for one picture after another. Implemented by this machine's devices, films, the pattern, and
//! fakes in tests.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::{CameraTrouble, CaptureFormat};
use crate::frame::I420;

/// Cameras that come and go.
pub trait CameraSystem: Send + Sync {
    /// The names of those that are there now, in the system's order. May take a while.
    fn list(&self) -> Vec<String>;

    /// Opens one of them in the nearest format that it has, on the thread that will use it.
    ///
    /// # Errors
    /// Why it can't be used.
    fn open(&self, name: &str, wish: CaptureFormat) -> Result<Box<dyn CameraSource>, CameraTrouble>;

    /// Whether it is worth trying again after a trouble. A device can come back; a bad file stays bad.
    fn may_come_back(&self) -> bool {
        true
    }
}

/// An open camera. It stays on its thread, so it need not be `Send`.
pub trait CameraSource {
    /// Blocks until the next picture is there. `None` when `stop` was set meanwhile.
    ///
    /// # Errors
    /// Why there is none.
    fn next_frame(&mut self, stop: &Stop) -> Result<Option<Capture>, CameraTrouble>;
}

/// The cameras of a machine: its own by default, others where tests bring some.
#[derive(Clone)]
pub struct Cameras(Arc<dyn CameraSystem>);

impl Cameras {
    /// The names of those that are there now, in the system's order.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.0.list()
    }

    pub(super) fn system(&self) -> Arc<dyn CameraSystem> {
        Arc::clone(&self.0)
    }
}

impl Default for Cameras {
    fn default() -> Self {
        Self::from(super::native::NativeCameras)
    }
}

impl<S: CameraSystem + 'static> From<S> for Cameras {
    fn from(system: S) -> Self {
        Self(Arc::new(system))
    }
}

impl fmt::Debug for Cameras {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cameras").finish_non_exhaustive()
    }
}

/// A picture as its source gives it.
pub struct Capture {
    /// The picture.
    pub image: I420,
    /// When it was taken.
    pub captured_at: Instant,
}

/// A flag that can be waited for.
#[derive(Debug, Default)]
pub struct Stop {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Sets it, for good.
    pub fn set(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether it is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the deadline or until the flag is set; answers whether it is set.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        while !*set {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            set = self.changed.wait_timeout(set, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
