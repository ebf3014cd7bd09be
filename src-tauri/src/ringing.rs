//! The small window of a ringing call, and the system's notification.
//!
//! Both come only while the main window is not in front: there the call is on the screen already. Both go when the call
//! rings no more. One thread opens and closes the window, in the order in which it is asked: a window takes its time to
//! come and to go, and calls may follow one another faster.

use std::sync::mpsc;

use tauri::{
    AppHandle, Manager as _, RunEvent, WebviewUrl, WebviewWindow, WebviewWindowBuilder, WindowEvent,
};

use crate::{
    app::{MAIN_WINDOW, WebData, to_front},
    notification::{Notification, Words},
};

/// The window's label.
pub(crate) const WINDOW: &str = "incoming";
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 360.0;

enum Input {
    /// A call rings.
    Rings(Words),
    /// It rings no more here, and may go on in the main window.
    IsOver { forward: bool },
    /// The small window is gone.
    Gone,
}

/// Tells the thread.
pub(crate) struct Ringing(mpsc::Sender<Input>);

impl Ringing {
    /// Nothing rings yet.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn new(app: &AppHandle, notification: Notification) -> std::io::Result<Self> {
        let (inputs, told) = mpsc::channel();
        let mut small = Small { app: app.clone(), notification, title: None, window: None, closing: false };
        std::thread::Builder::new().name("ringing".to_owned()).spawn(move || {
            for input in told {
                small.take(input);
            }
        })?;
        Ok(Self(inputs))
    }

    /// Shows that somebody calls.
    pub(crate) fn show(&self, words: Words) {
        self.tell(Input::Rings(words));
    }

    /// The call rings no more; `forward` from the small window: it goes on in the main one, which comes to the front.
    pub(crate) fn hide(&self, forward: bool) {
        self.tell(Input::IsOver { forward });
    }

    fn tell(&self, input: Input) {
        if self.0.send(input).is_err() {
            tracing::warn!("nothing rings any more");
        }
    }
}

/// What happens to windows, for the app's loop.
pub(crate) fn noticed(app: &AppHandle, event: &RunEvent) {
    if let RunEvent::WindowEvent { label, event: WindowEvent::Destroyed, .. } = event
        && label == WINDOW
    {
        app.state::<Ringing>().tell(Input::Gone);
    }
}

/// What the thread knows.
struct Small {
    app: AppHandle,
    notification: Notification,
    /// Of the window that should be there.
    title: Option<String>,
    /// The one that is.
    window: Option<WebviewWindow>,
    /// It has been told to go.
    closing: bool,
}

impl Small {
    fn take(&mut self, input: Input) {
        let mut in_front = false;
        match input {
            Input::Rings(words) => {
                let main = self.app.get_webview_window(MAIN_WINDOW);
                if !main.is_some_and(|main| main.is_focused().unwrap_or(false)) {
                    self.title = Some(words.title.clone());
                    self.notification.show(words);
                }
            }
            Input::IsOver { forward } => {
                self.title = None;
                self.notification.withdraw();
                in_front = forward && self.window.is_some();
            }
            Input::Gone => {
                // Whoever closes it wants to see no more of this call.
                if !std::mem::take(&mut self.closing) {
                    self.title = None;
                }
                self.window = None;
            }
        }
        match (&self.title, &self.window) {
            (Some(title), None) => {
                let opened = open(&self.app, title);
                self.window = opened
                    .inspect_err(
                        |error| tracing::warn!(%error, "the window of the ringing call is not there"),
                    )
                    .ok();
            }
            (None, Some(window)) if !self.closing => match window.close() {
                Ok(()) => self.closing = true,
                Err(error) => tracing::warn!(%error, "the window of the ringing call could not be closed"),
            },
            // As it should be, or it will be gone soon.
            (Some(_) | None, Some(_)) | (None, None) => {}
        }
        if in_front {
            to_front(&self.app);
        }
    }
}

fn open(app: &AppHandle, title: &str) -> tauri::Result<WebviewWindow> {
    WebviewWindowBuilder::new(app, WINDOW, WebviewUrl::default())
        .title(title)
        .inner_size(WIDTH, HEIGHT)
        .resizable(false)
        .maximizable(false)
        .minimizable(false)
        .always_on_top(true)
        .center()
        .data_directory(app.state::<WebData>().0.clone())
        .build()
}
