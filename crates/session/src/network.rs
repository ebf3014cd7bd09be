//! Notices when the machine's addresses change: a cable pulled, another Wi-Fi, a lid opened.

use std::time::Duration;

use futures_util::StreamExt;
use if_watch::{IfEvent, tokio::IfWatcher};
use tokio::{sync::watch, task::JoinHandle};

/// Several changes within this time are one: an interface that comes up gets its addresses one by one.
const SETTLE: Duration = Duration::from_millis(200);

/// Watches the addresses of this machine.
pub struct Watcher {
    changes: watch::Receiver<u64>,
    task: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts watching `told`, or the system. Where neither tells, nothing is ever reported.
    #[must_use]
    pub fn start(told: Option<watch::Receiver<u64>>) -> Self {
        if let Some(changes) = told {
            return Self { changes, task: None };
        }
        let (count, changes) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut watcher = match IfWatcher::new() {
                Ok(watcher) => watcher,
                Err(error) => {
                    tracing::warn!(%error, "changes of the network can't be watched");
                    return;
                }
            };
            // The addresses that are there at the start are reported first.
            let started = tokio::time::Instant::now();
            while let Some(event) = watcher.next().await {
                let Ok(event) = event else { continue };
                if started.elapsed() < SETTLE || is_loopback(&event) {
                    continue;
                }
                while let Ok(Some(_)) = tokio::time::timeout(SETTLE, watcher.next()).await {}
                count.send_modify(|count| *count += 1);
            }
        });
        Self { changes, task: Some(task) }
    }

    /// Returns after the next change; never, where the system does not tell.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn is_loopback(event: &IfEvent) -> bool {
    match event {
        IfEvent::Up(net) | IfEvent::Down(net) => net.addr().is_loopback(),
    }
}
