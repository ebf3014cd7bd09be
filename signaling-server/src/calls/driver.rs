//! The one task that owns the exchange: runs what it is asked in order, lets deadlines fire, and carries out what
//! follows: store first, then tell.
//!
//! An answer is released only after everything that follows from the act has been stored and handed to the hub,
//! so that a client which has its answer can rely on it. Jobs are not dropped when the asker goes away.

use std::time::Duration;

use bedside_call::{
    CallLimits, Exchange,
    exchange::{Output, Recipient},
};
use bedside_protocol::{Timestamp, call::CallRecord};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::history::History;
use crate::{clock, config, fault::Fault, hub::Hub, presence::PresenceService};

/// What is to be done with the exchange; gives what is to be done once its outputs are carried out.
type Job = Box<dyn FnOnce(&mut Exchange, Timestamp) -> Release + Send>;
type Release = Box<dyn FnOnce() + Send>;

/// Handle on the task.
pub(super) struct Driver {
    /// Unbounded, yet short: every socket and every request waits for its own job, and a device comes or goes
    /// no faster than its socket.
    jobs: mpsc::UnboundedSender<Job>,
    stop: CancellationToken,
    task: TaskTracker,
}

impl Driver {
    pub(super) fn start(
        limits: config::CallLimits,
        live: Vec<CallRecord>,
        history: History,
        hub: Hub,
        presence: PresenceService,
    ) -> Self {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (stop, task) = (CancellationToken::new(), TaskTracker::new());
        let clock = Clock::now();
        let mut exchange = Exchange::new(limits_of(&limits));
        exchange.restore(clock.read(), live);
        let worker = Worker { exchange, clock, history, hub, presence };
        task.spawn(worker.run(inbox, stop.clone()));
        task.close();
        Self { jobs, stop, task }
    }

    /// Does something with the exchange and waits until what follows from it is carried out.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Exchange, Timestamp) -> R + Send + 'static,
    ) -> Result<R, Fault> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |exchange, now| {
            let result = work(exchange, now);
            Box::new(move || {
                // An asker that has gone away needs no answer.
                let _ = answer.send(result);
            })
        });
        let stopping = || Fault::from(bedside_protocol::ErrorCode::ShuttingDown);
        self.jobs.send(job).map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }

    /// Tells the exchange of a fact, without waiting.
    pub(super) fn note(&self, work: impl FnOnce(&mut Exchange, Timestamp) + Send + 'static) {
        let job: Job = Box::new(move |exchange, now| {
            work(exchange, now);
            Box::new(|| {})
        });
        // After the stop nobody keeps book any more.
        let _ = self.jobs.send(job);
    }

    /// Ends the task; what was asked before is still done.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Waits for the end of the task.
    pub(super) async fn ended(&self) {
        self.task.wait().await;
    }
}

struct Worker {
    exchange: Exchange,
    clock: Clock,
    history: History,
    hub: Hub,
    presence: PresenceService,
}

impl Worker {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Job>, stop: CancellationToken) {
        self.carry_out().await;
        loop {
            let deadline = self.exchange.poll_timeout().map(|at| self.clock.instant_of(at));
            tokio::select! {
                biased;
                job = inbox.recv() => {
                    let Some(job) = job else { return };
                    self.perform(job).await;
                }
                () = stop.cancelled() => {
                    inbox.close();
                    while let Some(job) = inbox.recv().await {
                        self.perform(job).await;
                    }
                    return;
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.exchange.handle_timeout(self.clock.read());
                    self.carry_out().await;
                }
            }
        }
    }

    async fn perform(&mut self, job: Job) {
        if self.exchange.live() == 0 {
            // Nothing hangs on the difference now: follow a wall clock that has been set.
            self.clock = Clock::now();
        }
        let release = job(&mut self.exchange, self.clock.read());
        self.carry_out().await;
        release();
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.exchange.poll_output() {
            match output {
                Output::Persist(record) => {
                    if record.phase.is_final() {
                        tracing::info!(call = %record.call_id, phase = %record.phase,
                            reason = record.end_reason.map(|reason| reason.as_str()), "call over");
                    }
                    // A call that can't be stored goes on; the fault is logged where it is turned into words.
                    if let Err(fault) = self.history.store(&record).await {
                        fault.log();
                    }
                }
                Output::Send { to: Recipient::User(user), event } => self.hub.send_to_user(user, &event),
                Output::Send { to: Recipient::Device(to), event } => {
                    self.hub.send_to_device(to.user, to.device, &event);
                }
                Output::Presence { user, call } => self.presence.set_call(user, call),
            }
        }
    }
}

/// Wall time that never jumps while calls are live: an anchor and what has elapsed since.
#[derive(Clone, Copy)]
struct Clock {
    anchor: Timestamp,
    since: Instant,
}

impl Clock {
    fn now() -> Self {
        Self { anchor: clock::now(), since: Instant::now() }
    }

    fn read(&self) -> Timestamp {
        self.anchor.plus_millis(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When [`Clock::read`] will have reached `at`.
    fn instant_of(&self, at: Timestamp) -> Instant {
        // A year is as good as never and cannot overflow an instant.
        const NEVER_MS: u64 = 365 * 24 * 3_600_000;
        self.since + Duration::from_millis(at.millis_since(self.anchor).min(NEVER_MS))
    }
}

/// The limits as the machine takes them.
pub(super) fn limits_of(limits: &config::CallLimits) -> CallLimits {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let grace_ms = millis(limits.reconnect_grace);
    CallLimits {
        ring_ms: millis(limits.ring_timeout),
        connect_ms: millis(limits.connect_timeout),
        grace_ms,
        // Four times as long while both devices are there and trying.
        reconnect_ms: grace_ms.saturating_mul(4),
        max_duration_ms: millis(limits.max_duration),
        expiry_warning_ms: millis(limits.expiry_warning),
        extension_ms: millis(limits.extension),
        max_extended_ms: millis(limits.max_extended),
        ..CallLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_elapsed_time_and_knows_its_deadlines() {
        let clock = Clock::now();
        let start = clock.read();
        let due = clock.instant_of(start.plus_millis(60_000));
        tokio::time::sleep_until(due).await;
        assert_eq!(clock.read().millis_since(start), 60_000);
        clock.instant_of(Timestamp(i64::MAX));
        assert!(clock.instant_of(Timestamp(0)) <= Instant::now());
    }
}
