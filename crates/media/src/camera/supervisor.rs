//! Runs one camera: a capture thread that may block for ever in a driver, and a watchdog thread that does not. A silent
//! camera is reported and its thread left behind (it can't be stopped from outside); it is opened anew once that thread
//! has returned. Meanwhile, and whenever else the chosen camera gives no pictures, another one stands in.

mod round;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::source::{CameraSystem, Capture, Stop};
use super::{CameraEvent, CameraSink, CameraTrouble, CaptureFormat};
use crate::frame::VideoFrame;
use crate::stamp::{self, Stamp};

use round::Round;

/// What is to be opened.
#[derive(Clone)]
pub(super) struct Wanted {
    /// Which cameras there are.
    pub(super) system: Arc<dyn CameraSystem>,
    /// The one that was chosen; without, the first that works.
    pub(super) chosen: Option<String>,
    /// In which format.
    pub(super) format: CaptureFormat,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From opening to the first picture. Webcams need up to 3 s to wake.
    pub(super) first_frame: Duration,
    /// Between two pictures.
    pub(super) frame: Duration,
    /// Between two attempts to open a camera in trouble, and between two looks whether the chosen one is back.
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
    pub(super) fn start(wanted: Wanted, stamp: bool, patience: Patience, sink: CameraSink) -> Self {
        let shared = Arc::new(Shared {
            stop: Stop::default(),
            outlet: Mutex::new(Outlet {
                sink: Some(sink),
                session: 0,
                told: None,
                begins: None,
                any_frame: false,
                counter: 0,
            }),
            watch: Mutex::new(Watch::default()),
            changed: Condvar::new(),
            stamp,
        });
        let watched = Arc::clone(&shared);
        let watchdog = thread::Builder::new()
            .name("camera-watch".into())
            .spawn(move || watch(&watched, &wanted, patience))
            .inspect_err(|error| {
                tracing::error!(%error, "no thread for the camera");
                shared.tell(CameraTrouble::Failed);
            })
            .ok();
        Self { shared, watchdog }
    }

    /// Tells the camera to stop and does not wait until it has. No event comes after this returns.
    pub(super) fn silence(&self) {
        self.shared.stop.set();
        lock(&self.shared.outlet).sink = None;
    }

    /// Stops the camera.
    pub(super) fn stop(&mut self) {
        self.silence();
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
    /// The trouble that was told last and is not over, and who stands in.
    told: Option<(CameraTrouble, Option<String>)>,
    /// What to tell with the session's first picture.
    begins: Option<Begins>,
    /// Whether the session has given a picture.
    any_frame: bool,
    counter: u32,
}

/// Whose pictures begin.
struct Begins {
    name: String,
    /// What is wrong with the chosen camera, where this is another one.
    in_place: Option<CameraTrouble>,
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
    /// Says that there are no pictures, for the watchdog.
    fn tell(&self, trouble: CameraTrouble) {
        lock(&self.outlet).trouble(trouble, None);
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
        outlet.begin();
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

impl Outlet {
    fn trouble(&mut self, trouble: CameraTrouble, replaced_by: Option<String>) {
        let told = Some((trouble, replaced_by));
        if self.told == told {
            return;
        }
        self.told.clone_from(&told);
        tracing::info!(%trouble, replaced = told.as_ref().is_some_and(|(_, by)| by.is_some()), "camera");
        if let (Some(sink), Some((trouble, replaced_by))) = (&mut self.sink, told) {
            sink(CameraEvent::Trouble { trouble, replaced_by });
        }
    }

    /// Says whose picture is about to come, if it is the session's first.
    fn begin(&mut self) {
        self.any_frame = true;
        match self.begins.take() {
            None => {}
            Some(Begins { name, in_place: Some(trouble) }) => self.trouble(trouble, Some(name)),
            Some(Begins { name, in_place: None }) => {
                self.told = None;
                if let Some(sink) = &mut self.sink {
                    sink(CameraEvent::Using { name });
                }
            }
        }
    }
}

/// The watchdog: sessions of the capture thread, one after another.
fn watch(shared: &Arc<Shared>, wanted: &Wanted, patience: Patience) {
    let mut left_behind: Vec<(String, JoinHandle<()>)> = Vec::new();
    let mut round = Round::new(wanted.chosen.clone());
    let mut session = 0;
    while !shared.stop.is_set() {
        left_behind.retain(|(_, thread)| !thread.is_finished());
        let stuck: Vec<&str> = left_behind.iter().map(|(name, _)| name.as_str()).collect();
        let Some(next) = round.next(&wanted.system.list(), &stuck) else {
            shared.tell(round.over());
            if !wanted.system.may_come_back() {
                break;
            }
            shared.stop.wait_until(Instant::now() + patience.retry);
            continue;
        };
        session += 1;
        let name = next.name.clone();
        let (thread, outcome) = run_session(shared, wanted, session, next, patience);
        left_behind.extend(thread.map(|thread| (name.clone(), thread)));
        match outcome {
            Ok(Ended::Stopped) => break,
            Ok(Ended::ForTheChosen) => round.over_for_good(),
            Err(trouble) => {
                if lock(&shared.outlet).any_frame {
                    // It worked, so whatever was tried before may work by now.
                    round.over_for_good();
                    shared.tell(trouble);
                }
                round.failed(name, trouble);
            }
        }
    }
}

/// Why a session ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Everything is to stop.
    Stopped,
    /// It was that of a stand-in, and the chosen camera is there again.
    ForTheChosen,
}

/// One session: from opening the camera to its trouble, or to the end (`Ok`). Gives back the capture thread
/// if that did not return.
fn run_session(
    shared: &Arc<Shared>,
    wanted: &Wanted,
    session: u64,
    next: round::Next,
    patience: Patience,
) -> (Option<JoinHandle<()>>, Result<Ended, CameraTrouble>) {
    let mut outlet = lock(&shared.outlet);
    outlet.session = session;
    outlet.any_frame = false;
    outlet.begins = Some(Begins { name: next.name.clone(), in_place: next.in_place });
    drop(outlet);
    *lock(&shared.watch) = Watch { session, waiting_since: Some(Instant::now()), ..Watch::default() };
    let mut absence = wanted.chosen.as_deref().filter(|_| next.in_place.is_some()).map(Absence::of);
    let (theirs, wants) = (Arc::clone(shared), wanted.clone());
    let thread = thread::Builder::new().name("camera-capture".into()).spawn(move || {
        // A driver binding that panics (some do when a device disappears) must not take the call with it.
        let outcome = catch_unwind(AssertUnwindSafe(|| capture(&theirs, &wants, &next.name, session)));
        let outcome = outcome.unwrap_or(Err(CameraTrouble::Failed));
        theirs.note(session, |watch| watch.ended = Some(outcome));
    });
    let Ok(thread) = thread else {
        return (None, Err(CameraTrouble::Failed));
    };
    let outcome = supervise(shared, patience, || {
        absence.as_mut().is_some_and(|absence| absence.is_over(&wanted.system.list()))
    });
    if outcome == Ok(Ended::ForTheChosen) {
        // The stand-in's thread hears of it when it delivers its next picture.
        lock(&shared.outlet).session = 0;
    }
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

/// A chosen camera that gave way to another. It is taken again once it was unplugged and plugged in: one that another
/// program uses, say, would only interrupt the other's pictures.
struct Absence {
    name: String,
    was_gone: bool,
}

impl Absence {
    fn of(name: &str) -> Self {
        Self { name: name.to_owned(), was_gone: false }
    }

    /// Whether it has come back, by what is listed now.
    fn is_over(&mut self, list: &[String]) -> bool {
        let there = list.contains(&self.name);
        self.was_gone |= !there;
        there && self.was_gone
    }
}

/// Waits until the capture thread ends, is silent for too long, the chosen camera `is_back`, or everything is to stop.
fn supervise(
    shared: &Shared,
    patience: Patience,
    mut is_back: impl FnMut() -> bool,
) -> Result<Ended, CameraTrouble> {
    let mut look = Instant::now();
    let mut watch = lock(&shared.watch);
    loop {
        if shared.stop.is_set() {
            return Ok(Ended::Stopped);
        }
        if let Some(outcome) = watch.ended {
            return outcome.map(|()| Ended::Stopped);
        }
        if Instant::now() >= look {
            drop(watch);
            if is_back() {
                return Ok(Ended::ForTheChosen);
            }
            look = Instant::now() + patience.retry;
            watch = lock(&shared.watch);
            continue;
        }
        let limit = if watch.any_frame { patience.frame } else { patience.first_frame };
        let waited = watch.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
        if waited >= limit {
            return Err(CameraTrouble::Stalled);
        }
        let pause = (limit - waited).min(look.saturating_duration_since(Instant::now()));
        watch = shared.changed.wait_timeout(watch, pause).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// The capture thread.
fn capture(shared: &Shared, wanted: &Wanted, name: &str, session: u64) -> Result<(), CameraTrouble> {
    let mut source = wanted.system.open(name, wanted.format)?;
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
