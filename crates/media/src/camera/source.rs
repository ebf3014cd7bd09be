//! What a camera is to the supervisor: something that is opened on the capture thread and then asked for one
//! picture after another. Implemented by nokhwa's devices, films, the pattern, and fakes in tests.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::CameraTrouble;
use crate::frame::I420;

/// Makes sources, again and again while a camera comes and goes.
pub(super) trait Opener: Send + Sync {
    /// Opens the source, on the thread that will use it.
    fn open(&self) -> Result<Box<dyn Source>, CameraTrouble>;

    /// Whether it is worth trying again after a trouble. A device can come back; a bad file stays bad.
    fn may_come_back(&self) -> bool;
}

/// An open camera. It stays on its thread, so it need not be `Send`.
pub(super) trait Source {
    /// Blocks until the next picture is there. `None` when `stop` was set meanwhile.
    fn next_frame(&mut self, stop: &Stop) -> Result<Option<Capture>, CameraTrouble>;
}

/// A picture as its source gives it.
pub(super) struct Capture {
    pub(super) image: I420,
    pub(super) captured_at: Instant,
}

/// A flag that can be waited for.
#[derive(Default)]
pub(super) struct Stop {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(super) fn set(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    pub(super) fn is_set(&self) -> bool {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the deadline or until the flag is set; answers whether it is set.
    pub(super) fn wait_until(&self, deadline: Instant) -> bool {
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
