//! The small window of a ringing call, and the system's notification.
//!
//! Both come only while the main window is not in front: there the call is on the screen already. The words come
//! from the front end's catalogue.

use serde::Deserialize;
use tauri::{AppHandle, Manager as _, WebviewUrl, WebviewWindowBuilder};
use tauri_plugin_notification::NotificationExt as _;

use crate::app::{MAIN_WINDOW, WebData};

/// The window's label.
pub(crate) const WINDOW: &str = "incoming";
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 360.0;

/// What is said.
#[derive(Deserialize)]
pub(crate) struct Words {
    /// "Dr Osei is calling".
    title: String,
    /// "Video call".
    body: String,
}

/// Shows that somebody calls.
pub(crate) fn show(app: &AppHandle, words: &Words) {
    let in_front = app.get_webview_window(MAIN_WINDOW).is_some_and(|main| main.is_focused().unwrap_or(false));
    if in_front || app.get_webview_window(WINDOW).is_some() {
        return;
    }
    if let Err(error) = app.notification().builder().title(&words.title).body(&words.body).show() {
        tracing::debug!(%error, "no notification");
    }
    let window = WebviewWindowBuilder::new(app, WINDOW, WebviewUrl::default())
        .title(&words.title)
        .inner_size(WIDTH, HEIGHT)
        .resizable(false)
        .maximizable(false)
        .minimizable(false)
        .always_on_top(true)
        .center()
        .data_directory(app.state::<WebData>().0.clone())
        .build();
    if let Err(error) = window {
        tracing::warn!(%error, "the window of the ringing call could not be opened");
    }
}

/// The call rings no more; `answered` brings the main window to the front.
pub(crate) fn hide(app: &AppHandle, answered: bool) {
    let Some(window) = app.get_webview_window(WINDOW) else { return };
    if let Err(error) = window.close() {
        tracing::warn!(%error, "the window of the ringing call could not be closed");
    }
    if answered && let Some(main) = app.get_webview_window(MAIN_WINDOW) {
        let _ = main.unminimize();
        let _ = main.show();
        let _ = main.set_focus();
    }
}
