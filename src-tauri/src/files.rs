//! Choosing files and folders with the system's own dialogs, and leading out of the app: to a folder, to the browser.
//!
//! Nothing that came from somebody else is ever opened or run from here: of a file only its folder is shown, and of
//! addresses only `http` and `https` go to the browser.

use std::path::{Path, PathBuf};

use rfd::{AsyncFileDialog, FileHandle};
use serde::Serialize;
use tauri::WebviewWindow;
use tokio::sync::oneshot;

/// The system could not do it; the window has its own words for that.
#[derive(Debug, Serialize)]
pub(crate) struct NotPossible;

/// Lets the person choose files; none when they think better of it.
pub(crate) async fn pick_files(window: &WebviewWindow, title: String) -> Result<Vec<String>, NotPossible> {
    let chosen = ask(window, title, AsyncFileDialog::pick_files).await?.unwrap_or_default();
    chosen.iter().map(FileHandle::path).map(text).collect()
}

/// Lets the person choose a folder.
pub(crate) async fn pick_folder(
    window: &WebviewWindow,
    title: String,
) -> Result<Option<String>, NotPossible> {
    let chosen = ask(window, title, AsyncFileDialog::pick_folder).await?;
    chosen.as_ref().map(FileHandle::path).map(text).transpose()
}

/// Shows the folder that `file` lies in, and nothing else.
pub(crate) async fn show_folder(file: String) -> Result<(), NotPossible> {
    let folder = PathBuf::from(file).parent().map(Path::to_owned).ok_or(NotPossible)?;
    outside(move || folder.is_dir() && opener::open(&folder).is_ok()).await
}

/// Opens a web address in the system's browser.
pub(crate) async fn open_link(address: String) -> Result<(), NotPossible> {
    if !is_web(&address) {
        return Err(NotPossible);
    }
    outside(move || opener::open_browser(&address).is_ok()).await
}

/// Only what a browser shows: never a file, a script or another program's own scheme.
fn is_web(address: &str) -> bool {
    tauri::Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Opens a dialog over the window. Toolkits want theirs to be made on the main thread; the answer may come anywhere.
async fn ask<T, F>(
    window: &WebviewWindow,
    title: String,
    open: impl FnOnce(AsyncFileDialog) -> F + Send + 'static,
) -> Result<T, NotPossible>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    let parent = window.clone();
    let begun = window.run_on_main_thread(move || {
        let dialog = AsyncFileDialog::new().set_title(title).set_parent(&parent);
        let choice = open(dialog);
        tauri::async_runtime::spawn(async move {
            let _ = answer.send(choice.await);
        });
    });
    begun.map_err(|_| NotPossible)?;
    answered.await.map_err(|_| NotPossible)
}

/// Starts another program without keeping the window waiting.
async fn outside(start: impl FnOnce() -> bool + Send + 'static) -> Result<(), NotPossible> {
    match tauri::async_runtime::spawn_blocking(start).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(NotPossible),
    }
}

/// Paths travel as text; one that is none can't be named to the engine.
fn text(path: &Path) -> Result<String, NotPossible> {
    path.to_str().map(str::to_owned).ok_or(NotPossible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_leave_the_app() {
        assert!(is_web("https://www.example.org/leaflet?page=2"));
        assert!(is_web("http://192.0.2.1/"));
        for other in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "bedside://invite/x",
            "/usr/bin/true",
            "smb://host/x",
            "",
        ] {
            assert!(!is_web(other), "{other} went to the browser");
        }
    }

    #[tokio::test]
    async fn the_folder_of_a_file_that_is_gone_is_not_possible() {
        assert!(show_folder("/nowhere/at/all.pdf".into()).await.is_err());
        assert!(show_folder("/".into()).await.is_err());
    }
}
