//! What the device keeper needs from a sound system, so that its decisions
//! can be tested without one.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use super::device::Endpoint;
use super::{AudioTrouble, Side};

/// A device in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceEntry {
    /// Stable over replugging.
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    /// The system's default points here.
    pub(crate) is_default: bool,
}

/// Counts a device's callbacks; the watchdog reads it.
#[derive(Clone, Default)]
pub(crate) struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// Called in the device callback.
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Callbacks so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A device that is running.
pub(crate) struct OpenDevice {
    /// What the engine reads from or writes to.
    pub(crate) endpoint: Endpoint,
    /// Beats with every callback.
    pub(crate) heartbeat: Heartbeat,
    /// Says when the sound system reports the device broken.
    pub(crate) broken: Receiver<AudioTrouble>,
    /// Keeps the device running; dropping it closes the device.
    pub(crate) guard: Box<dyn Any + Send>,
}

/// A sound system.
pub(crate) trait Backend: Send {
    /// Lists the devices of a side, default first.
    fn devices(&mut self, side: Side) -> Vec<DeviceEntry>;
    /// Opens and starts a device.
    fn open(&mut self, side: Side, id: &str) -> Result<OpenDevice, AudioTrouble>;
}
