//! Keeps one side's device right: opens what was chosen, falls over to the
//! next when it breaks, comes back when it is there again.
//!
//! It is told the time and asks a [`Backend`], so its decisions are tested
//! without a sound system. Device lists are polled once a second, because no
//! sound system tells of every change.

mod wanted;

use std::any::Any;
use std::time::{Duration, Instant};

use super::backend::{Backend, DeviceEntry, Heartbeat, OpenDevice};
use super::device::Endpoint;
use super::watchdog::Watchdog;
use super::{AudioEvent, AudioTrouble, Side};

pub(crate) use wanted::Wanted;

/// How often device lists are read.
const SCAN_EVERY: Duration = Duration::from_secs(1);

/// A device that could not be opened is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A second stall within this time counts against the device.
const STALL_MEMORY: Duration = Duration::from_secs(20);

/// What the keeper wants done.
pub(crate) enum Action {
    /// Use this from now on.
    Install(Endpoint),
    /// Tell the application.
    Tell(AudioEvent),
}

/// A device in use.
struct Current {
    entry: DeviceEntry,
    heartbeat: Heartbeat,
    broken: std::sync::mpsc::Receiver<AudioTrouble>,
    watchdog: Watchdog,
    /// Held for its `Drop`, which closes the device.
    _guard: Box<dyn Any + Send>,
}

/// One side's device keeper.
pub(crate) struct Keeper {
    side: Side,
    wanted: Wanted,
    current: Option<Current>,
    /// A virtual device's thread and the like.
    _virtual: Option<Box<dyn Any + Send>>,
    /// Devices not to try before a time.
    resting: Vec<(String, Instant)>,
    last_stall: Option<(String, Instant)>,
    /// The refusal last told, so that it is told once.
    told: Option<(String, AudioTrouble)>,
    next_scan: Instant,
}

impl Keeper {
    /// A keeper that has not chosen yet: call [`Keeper::choose`].
    pub(crate) fn new(side: Side, now: Instant) -> Self {
        Self {
            side,
            wanted: Wanted::nothing(side),
            current: None,
            _virtual: None,
            resting: Vec::new(),
            last_stall: None,
            told: None,
            next_scan: now,
        }
    }

    /// Takes another choice; it takes effect at once.
    pub(crate) fn choose(
        &mut self,
        wanted: Wanted,
        now: Instant,
        backend: &mut dyn Backend,
        act: &mut dyn FnMut(Action),
    ) {
        self.wanted = wanted;
        self.resting.clear();
        self.told = None;
        if self.wanted.is_native() {
            // Ends only once nothing plays into it or reads from it: a file waits for its last block.
            let former = self._virtual.take();
            self.scan(None, now, backend, act);
            if self.current.is_none() {
                act(Action::Install(self.wanted.fallback(self.side)));
            }
            drop(former);
        } else {
            self.install_virtual(act);
        }
    }

    /// Looks after the device: call every 250 ms or so.
    pub(crate) fn tick(&mut self, now: Instant, backend: &mut dyn Backend, act: &mut dyn FnMut(Action)) {
        if !self.wanted.is_native() {
            return;
        }
        let broken = self.broken(now);
        if broken.is_some() || now >= self.next_scan {
            self.scan(broken, now, backend, act);
        }
    }

    /// What is wrong with the device in use, if anything.
    fn broken(&mut self, now: Instant) -> Option<AudioTrouble> {
        let current = self.current.as_mut()?;
        if let Ok(trouble) = current.broken.try_recv() {
            let id = current.entry.id.clone();
            self.rest(id, now + SCAN_EVERY);
            return Some(trouble);
        }
        if !current.watchdog.stalled(now, current.heartbeat.count()) {
            return None;
        }
        let id = current.entry.id.clone();
        let before = self.last_stall.replace((id.clone(), now));
        let again =
            before.is_some_and(|(other, at)| other == id && now.saturating_duration_since(at) < STALL_MEMORY);
        if again {
            self.rest(id, now + STALL_MEMORY);
        }
        Some(AudioTrouble::Stalled)
    }

    fn rest(&mut self, id: String, until: Instant) {
        self.resting.retain(|(known, _)| *known != id);
        self.resting.push((id, until));
    }

    /// Compares what is in use with what should be, and changes it.
    fn scan(
        &mut self,
        mut cause: Option<AudioTrouble>,
        now: Instant,
        backend: &mut dyn Backend,
        act: &mut dyn FnMut(Action),
    ) {
        self.next_scan = now + SCAN_EVERY;
        self.resting.retain(|(_, until)| *until > now);
        let list = backend.devices(self.side);
        if cause.is_none() && self.current_is_gone(&list) {
            cause = Some(AudioTrouble::Unplugged);
        }
        let had = self.current.is_some();
        if cause.is_some() {
            self.current = None;
        }
        let refused = self.open_best(&list, now, backend, act);
        let replaced_by = self.current.as_ref().map(|current| current.entry.name.clone());
        if let Some(trouble) = cause {
            self.tell(trouble, replaced_by.clone(), act);
        }
        match refused {
            Some((id, trouble)) if self.told != Some((id.clone(), trouble)) => {
                self.told = Some((id, trouble));
                self.tell(trouble, replaced_by, act);
            }
            None if list.is_empty() && self.current.is_none() => {
                let nothing = (String::new(), AudioTrouble::NoneFound);
                if self.told.as_ref() != Some(&nothing) {
                    self.told = Some(nothing);
                    self.tell(AudioTrouble::NoneFound, None, act);
                }
            }
            _ => {}
        }
        if had && self.current.is_none() {
            act(Action::Install(self.wanted.fallback(self.side)));
        }
    }

    fn current_is_gone(&self, list: &[DeviceEntry]) -> bool {
        self.current.as_ref().is_some_and(|current| list.iter().all(|entry| entry.id != current.entry.id))
    }

    /// Opens the best device there is unless it is in use; returns the first refusal.
    fn open_best(
        &mut self,
        list: &[DeviceEntry],
        now: Instant,
        backend: &mut dyn Backend,
        act: &mut dyn FnMut(Action),
    ) -> Option<(String, AudioTrouble)> {
        let mut refused = None;
        for entry in self.wanted.candidates(list) {
            if self.is_current(&entry.id) {
                break;
            }
            if self.resting.iter().any(|(id, _)| *id == entry.id) {
                continue;
            }
            match backend.open(self.side, &entry.id) {
                Ok(device) => {
                    self.use_device(entry.clone(), device, now, act);
                    break;
                }
                Err(trouble) => {
                    self.rest(entry.id.clone(), now + RETRY_AFTER);
                    refused.get_or_insert((entry.id.clone(), trouble));
                }
            }
        }
        refused
    }

    fn is_current(&self, id: &str) -> bool {
        self.current.as_ref().is_some_and(|current| current.entry.id == id)
    }

    fn use_device(
        &mut self,
        entry: DeviceEntry,
        device: OpenDevice,
        now: Instant,
        act: &mut dyn FnMut(Action),
    ) {
        if self.told.as_ref().is_some_and(|(id, _)| *id == entry.id || id.is_empty()) {
            self.told = None;
        }
        act(Action::Install(device.endpoint));
        act(Action::Tell(AudioEvent::Using { side: self.side, name: entry.name.clone() }));
        self.current = Some(Current {
            entry,
            heartbeat: device.heartbeat,
            broken: device.broken,
            watchdog: Watchdog::new(now),
            _guard: device.guard,
        });
    }

    fn install_virtual(&mut self, act: &mut dyn FnMut(Action)) {
        match self.wanted.build() {
            Ok(built) => {
                act(Action::Install(built.endpoint));
                act(Action::Tell(AudioEvent::Using { side: self.side, name: built.name }));
                self._virtual = built.guard;
            }
            Err(trouble) => {
                act(Action::Install(self.wanted.fallback(self.side)));
                self._virtual = None;
                self.tell(trouble, None, act);
            }
        }
        self.current = None;
    }

    fn tell(&self, trouble: AudioTrouble, replaced_by: Option<String>, act: &mut dyn FnMut(Action)) {
        act(Action::Tell(AudioEvent::Trouble { side: self.side, trouble, replaced_by }));
    }
}

#[cfg(test)]
#[path = "keeper/tests.rs"]
mod tests;
