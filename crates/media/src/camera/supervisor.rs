//! Runs one camera: a capture thread that may block for ever in a driver, and a watchdog thread that does
//! not. A silent camera is reported and its thread left behind (it can't be stopped from outside); it is
//! opened anew once that thread has returned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::source::{Capture, Opener, Stop};
use super::{CameraEvent, CameraSink, CameraTrouble};
use crate::frame::VideoFrame;
use crate::stamp::{self, Stamp};

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From opening to the first picture. Webcams need up to 3 s to wake.
    pub(super) first_frame: Duration,
    /// Between two pictures.
    pub(super) frame: Duration,
    /// Between two attempts to open a camera in trouble.
    pub(super) retry: Duration,
    /// For the capture thread to return when the camera is dropped.
    pub(super) farewell: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_frame: Duration::from_secs(6),
            frame: Duration::from_secs(2),
            retry: Duration::from_secs(1),
            farewell: Duration::from_millis(500),
        }
    }
}

/// The two threads of a camera.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    watchdog: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts the watchdog, which starts the capture thread.
    pub(super) fn start(opener: Arc<dyn Opener>, stamp: bool, patience: Patience, sink: CameraSink) -> Self {
        let shared = Arc::new(Shared {
            stop: Stop::default(),
            outlet: Mutex::new(Outlet { sink: Some(sink), session: 0, told: None, counter: 0 }),
            watch: Mutex::new(Watch::default()),
            changed: Condvar::new(),
            stamp,
        });
        let watched = Arc::clone(&shared);
        let watchdog = thread::Builder::new()
            .name("camera-watch".into())
            .spawn(move || watch(&watched, &opener, patience))
            .inspect_err(|error| {
                tracing::error!(%error, "no thread for the camera");
                shared.tell(0, CameraTrouble::Failed);
            })
            .ok();
        Self { shared, watchdog }
    }

    /// Stops the camera. No event comes after this returns.
    pub(super) fn stop(&mut self) {
        self.shared.stop.set();
        lock(&self.shared.outlet).sink = None;
        // Under the lock, so that the watchdog is either before its look at the flag or asleep.
        let watch = lock(&self.shared.watch);
        self.shared.changed.notify_all();
        drop(watch);
        if let Some(watchdog) = self.watchdog.take()
            && watchdog.join().is_err()
        {
            tracing::error!("the camera's watchdog panicked");
        }
    }
}

struct Shared {
    stop: Stop,
    outlet: Mutex<Outlet>,
    watch: Mutex<Watch>,
    changed: Condvar,
    stamp: bool,
}

/// Where events go. Only the session that is current may speak; an abandoned capture thread may not.
struct Outlet {
    sink: Option<CameraSink>,
    session: u64,
    told: Option<CameraTrouble>,
    counter: u32,
}

/// What the watchdog knows of the capture thread.
#[derive(Default)]
struct Watch {
    session: u64,
    waiting_since: Option<Instant>,
    any_frame: bool,
    ended: Option<Result<(), CameraTrouble>>,
}

impl Shared {
    fn tell(&self, session: u64, trouble: CameraTrouble) {
        let mut outlet = lock(&self.outlet);
        if outlet.session == session && outlet.told != Some(trouble) {
            outlet.told = Some(trouble);
            tracing::info!(%trouble, "camera");
            if let Some(sink) = &mut outlet.sink {
                sink(CameraEvent::Trouble(trouble));
            }
        }
    }

    /// Hands a picture on; answers whether the session may go on.
    fn deliver(&self, session: u64, mut capture: Capture) -> bool {
        let mut outlet = lock(&self.outlet);
        if outlet.session != session {
            return false;
        }
        if self.stamp {
            let age_us = u64::try_from(capture.captured_at.elapsed().as_micros()).unwrap_or(0);
            let time_us = stamp::now_us().saturating_sub(age_us);
            stamp::burn(&mut capture.image, Stamp { counter: outlet.counter, time_us });
        }
        outlet.counter = outlet.counter.wrapping_add(1);
        outlet.told = None;
        if let Some(sink) = &mut outlet.sink {
            let image = Arc::new(capture.image);
            sink(CameraEvent::Frame(VideoFrame { image, captured_at: capture.captured_at }));
        }
        true
    }

    fn note(&self, session: u64, change: impl FnOnce(&mut Watch)) {
        let mut watch = lock(&self.watch);
        if watch.session == session {
            change(&mut watch);
            self.changed.notify_all();
        }
    }

    /// As `note`, without waking the watchdog 60 times a second: it looks when its limit has passed.
    fn note_quietly(&self, session: u64, change: impl FnOnce(&mut Watch)) {
        let mut watch = lock(&self.watch);
        if watch.session == session {
            change(&mut watch);
        }
    }
}

/// The watchdog: sessions of the capture thread, one after another.
fn watch(shared: &Arc<Shared>, opener: &Arc<dyn Opener>, patience: Patience) {
    let mut left_behind: Option<JoinHandle<()>> = None;
    let mut session = 0;
    while !shared.stop.is_set() {
        if left_behind.as_ref().is_none_or(JoinHandle::is_finished) {
            session += 1;
            let (thread, outcome) = run_session(shared, opener, session, patience);
            left_behind = thread;
            match outcome {
                Ok(()) => break,
                Err(trouble) => shared.tell(session, trouble),
            }
            if !opener.may_come_back() {
                break;
            }
        }
        shared.stop.wait_until(Instant::now() + patience.retry);
    }
}

/// One session: from opening the camera to its trouble, or to the end (`Ok`). Gives back the capture thread
/// if that did not return.
fn run_session(
    shared: &Arc<Shared>,
    opener: &Arc<dyn Opener>,
    session: u64,
    patience: Patience,
) -> (Option<JoinHandle<()>>, Result<(), CameraTrouble>) {
    lock(&shared.outlet).session = session;
    *lock(&shared.watch) = Watch { session, waiting_since: Some(Instant::now()), ..Watch::default() };
    let (theirs, opener) = (Arc::clone(shared), Arc::clone(opener));
    let thread = thread::Builder::new().name("camera-capture".into()).spawn(move || {
        // A driver binding that panics (some do when a device disappears) must not take the call with it.
        let outcome = catch_unwind(AssertUnwindSafe(|| capture(&theirs, opener.as_ref(), session)));
        let outcome = outcome.unwrap_or(Err(CameraTrouble::Failed));
        theirs.note(session, |watch| watch.ended = Some(outcome));
    });
    let Ok(thread) = thread else {
        return (None, Err(CameraTrouble::Failed));
    };
    let outcome = supervise(shared, patience);
    if !thread.is_finished() && outcome == Err(CameraTrouble::Stalled) {
        return (Some(thread), outcome);
    }
    let deadline = Instant::now() + patience.farewell;
    let mut watch = lock(&shared.watch);
    while watch.ended.is_none() && Instant::now() < deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        watch = shared.changed.wait_timeout(watch, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    if watch.ended.is_none() {
        return (Some(thread), outcome);
    }
    drop(watch);
    if thread.join().is_err() {
        tracing::error!("the capture thread panicked");
    }
    (None, outcome)
}

/// Waits until the capture thread ends, is silent for too long, or everything is to stop.
fn supervise(shared: &Shared, patience: Patience) -> Result<(), CameraTrouble> {
    let mut watch = lock(&shared.watch);
    loop {
        if shared.stop.is_set() {
            return Ok(());
        }
        if let Some(outcome) = watch.ended {
            return outcome;
        }
        let limit = if watch.any_frame { patience.frame } else { patience.first_frame };
        let waited = watch.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
        if waited >= limit {
            return Err(CameraTrouble::Stalled);
        }
        watch = shared.changed.wait_timeout(watch, limit - waited).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// The capture thread.
fn capture(shared: &Shared, opener: &dyn Opener, session: u64) -> Result<(), CameraTrouble> {
    let mut source = opener.open()?;
    while let Some(capture) = source.next_frame(&shared.stop)? {
        // While the sink works, the source is not to blame.
        shared.note_quietly(session, |watch| {
            watch.waiting_since = None;
            watch.any_frame = true;
        });
        if !shared.deliver(session, capture) || shared.stop.is_set() {
            return Ok(());
        }
        shared.note_quietly(session, |watch| watch.waiting_since = Some(Instant::now()));
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
