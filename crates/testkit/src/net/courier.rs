//! The thread that hands over each datagram when its time has come.

use std::{
    sync::{Arc, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::Shared;

/// With nothing on its way.
const IDLE: Duration = Duration::from_secs(3600);

/// Dropping it ends the thread.
pub(super) struct Courier {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Courier {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let seen = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("courier".to_owned()).spawn(move || run(&seen));
        Self { shared: Arc::clone(shared), thread: Some(thread.expect("a thread")) }
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.shared.world().closed = true;
        self.shared.news.notify_all();
        if let Some(thread) = self.thread.take() {
            // It panics only when a test already has.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared) {
    let mut world = shared.world();
    while !world.closed {
        let now = Instant::now();
        let readers = world.deliver(now);
        if !readers.is_empty() {
            // Whoever is woken wants the lock at once.
            drop(world);
            readers.into_iter().for_each(std::task::Waker::wake);
            world = shared.world();
            continue;
        }
        let wait = world.next_due().map_or(IDLE, |due| due.saturating_duration_since(now));
        world = shared.news.wait_timeout(world, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}
