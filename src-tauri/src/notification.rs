//! The system's notification of a call: shown while it rings elsewhere than in front, withdrawn when it rings no more.
//!
//! One thread shows and withdraws, in the order in which it was asked: the system may take its time to show a
//! notification, and until then there is nothing to withdraw. What is shown is withdrawn when it is dropped.

use std::sync::mpsc;

use serde::Deserialize;

#[cfg(target_os = "linux")]
#[path = "notification/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "notification/macos.rs"]
mod system;
#[cfg(windows)]
#[path = "notification/windows.rs"]
mod system;

/// What is said. The words come from the front end's catalogue.
#[derive(Deserialize)]
pub(crate) struct Words {
    /// "Dr Osei is calling".
    pub(crate) title: String,
    /// "Video call".
    pub(crate) body: String,
}

/// The one notification that the app may show.
pub(crate) struct Notification(mpsc::Sender<Option<Words>>);

impl Notification {
    /// Nothing is shown yet. `identifier` is what the system knows the app by.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn new(identifier: &str) -> std::io::Result<Self> {
        let (wishes, wished) = mpsc::channel::<Option<Words>>();
        let identifier = identifier.to_owned();
        std::thread::Builder::new().name("notification".to_owned()).spawn(move || {
            let mut shown = None;
            for wish in wished {
                drop(shown.take());
                shown = wish.and_then(|words| {
                    system::Shown::new(&identifier, &words)
                        .inspect_err(|error| tracing::debug!(%error, "no notification"))
                        .ok()
                });
            }
        })?;
        Ok(Self(wishes))
    }

    /// Shows this in the place of what was shown before.
    pub(crate) fn show(&self, words: Words) {
        self.wish(Some(words));
    }

    /// Shows nothing any more.
    pub(crate) fn withdraw(&self) {
        self.wish(None);
    }

    fn wish(&self, wish: Option<Words>) {
        if self.0.send(wish).is_err() {
            tracing::warn!("notifications are gone");
        }
    }
}
