//! Notices when nobody has touched the computer for a while, and when somebody does again.
//!
//! What counts is the whole computer, not the app's window alone. A call counts as well: who talks is there, without
//! touching anything. Where the system can't tell, nobody is ever idle.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// Who has touched nothing for this long is idle: longer than reading a letter takes, shorter than a round of the ward.
pub const IDLE_AFTER: Duration = Duration::from_secs(5 * 60);

/// How often it is looked whether somebody is back.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The system does not tell when there was input last. The words are its own, for the log.
#[derive(Debug, thiserror::Error)]
#[error("the time of the last input can't be had here: {0}")]
pub struct Untold(pub String);

/// Tells when somebody touched the computer last.
pub trait InputClock: Send + Sync {
    /// How long ago keyboard or pointer were used last, in whichever program. May block for a moment.
    ///
    /// # Errors
    /// Where the system does not tell.
    fn since_input(&self) -> Result<Duration, Untold>;
}

/// When somebody counts as idle.
#[derive(Clone)]
pub struct IdleOptions {
    /// What tells of input.
    pub clock: Arc<dyn InputClock>,
    /// How long without input; [`IDLE_AFTER`] as a rule.
    pub after: Duration,
}

/// Whether somebody is idle, as it changes.
pub(crate) struct Idleness {
    idle: watch::Receiver<bool>,
    in_call: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Idleness {
    /// Starts watching. Without options nobody is ever idle.
    pub(crate) fn watch(options: Option<IdleOptions>) -> Self {
        let (tell, idle) = watch::channel(false);
        let (in_call, calls) = watch::channel(false);
        let task = options.map(|options| tokio::spawn(look(options, calls, tell)));
        Self { idle, in_call, task }
    }

    /// Whether the person takes part in a call.
    pub(crate) fn in_call(&self, so: bool) {
        self.in_call.send_if_modified(|was| std::mem::replace(was, so) != so);
    }

    /// Returns with the next change; never, where the system does not tell.
    pub(crate) async fn changed(&mut self) -> bool {
        if self.idle.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        *self.idle.borrow_and_update()
    }
}

impl Drop for Idleness {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Looks as seldom as it can: not before somebody could have become idle, and then until they are back.
async fn look(options: IdleOptions, mut in_call: watch::Receiver<bool>, tell: watch::Sender<bool>) {
    let tell = |idle| tell.send_if_modified(|was| std::mem::replace(was, idle) != idle);
    // Whoever starts the app, or has just talked, is there.
    let mut there_at = Instant::now();
    let mut untold = false;
    loop {
        if *in_call.borrow_and_update() {
            tell(false);
            if in_call.wait_for(|in_call| !in_call).await.is_err() {
                return;
            }
            there_at = Instant::now();
        }
        let pause = match since_input(&options.clock).await {
            Ok(since) => {
                let left = options.after.saturating_sub(since.min(there_at.elapsed()));
                tell(left.is_zero());
                left.max(LOOK_EVERY)
            }
            Err(error) => {
                if !std::mem::replace(&mut untold, true) {
                    tracing::info!(%error, "others don't see when nobody is at this computer");
                }
                tell(false);
                options.after
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            changed = in_call.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

async fn since_input(clock: &Arc<dyn InputClock>) -> Result<Duration, Untold> {
    let clock = clock.clone();
    let asked = tokio::task::spawn_blocking(move || clock.since_input()).await;
    asked.unwrap_or_else(|error| Err(Untold(error.to_string())))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A computer that is touched when the test says so; `None` where the system does not tell.
    struct Computer(Mutex<Option<Instant>>);

    impl Computer {
        fn new() -> Arc<Self> {
            Arc::new(Self(Mutex::new(Some(Instant::now()))))
        }

        fn touch(&self) {
            *self.0.lock().unwrap() = Some(Instant::now());
        }

        fn watched(self: &Arc<Self>) -> Idleness {
            Idleness::watch(Some(IdleOptions { clock: self.clone(), after: IDLE_AFTER }))
        }
    }

    impl InputClock for Computer {
        fn since_input(&self) -> Result<Duration, Untold> {
            let touched = *self.0.lock().unwrap();
            touched.map(|at| at.elapsed()).ok_or_else(|| Untold("no display".into()))
        }
    }

    /// How long it takes until it changes, and to what; nothing within the hour.
    async fn next(idleness: &mut Idleness) -> Option<(Duration, bool)> {
        let began = Instant::now();
        let changed = tokio::time::timeout(60 * MINUTE, idleness.changed()).await.ok()?;
        Some((began.elapsed(), changed))
    }

    /// `changed` came `wanted` after it was waited for, or within the second in which it is looked.
    fn assert_came(changed: Option<(Duration, bool)>, wanted: Duration, idle: bool) {
        let (after, is_idle) = changed.expect("a change");
        assert_eq!(is_idle, idle);
        assert!(after >= wanted && after <= wanted + LOOK_EVERY, "{after:?} instead of {wanted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_touches_nothing_for_five_minutes_is_idle_until_the_next_touch() {
        let computer = Computer::new();
        let mut idleness = computer.watched();
        sleep(4 * MINUTE).await;
        computer.touch();
        assert_came(next(&mut idleness).await, 5 * MINUTE, true);
        sleep(30 * MINUTE).await;
        computer.touch();
        assert_came(next(&mut idleness).await, Duration::ZERO, false);
        assert_came(next(&mut idleness).await, 5 * MINUTE - LOOK_EVERY, true);
    }

    #[tokio::test(start_paused = true)]
    async fn who_talks_is_there_and_counts_as_having_touched_the_computer_when_the_call_ends() {
        let computer = Computer::new();
        let mut idleness = computer.watched();
        sleep(4 * MINUTE).await;
        idleness.in_call(true);
        assert_eq!(next(&mut idleness).await, None, "an hour's call");
        idleness.in_call(false);
        assert_came(next(&mut idleness).await, 5 * MINUTE, true);
        idleness.in_call(true);
        assert_came(next(&mut idleness).await, Duration::ZERO, false);
    }

    #[tokio::test(start_paused = true)]
    async fn who_starts_the_app_is_there_however_long_the_computer_was_left_alone() {
        let computer = Computer::new();
        sleep(60 * MINUTE).await;
        let mut idleness = computer.watched();
        assert_came(next(&mut idleness).await, 5 * MINUTE, true);
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_system_does_not_tell_nobody_is_idle() {
        let computer = Computer::new();
        let mut idleness = computer.watched();
        assert_came(next(&mut idleness).await, 5 * MINUTE, true);
        *computer.0.lock().unwrap() = None;
        assert_came(next(&mut idleness).await, Duration::ZERO, false);
        assert_eq!(next(&mut idleness).await, None);
        let mut nothing = Idleness::watch(None);
        assert_eq!(next(&mut nothing).await, None);
    }
}
