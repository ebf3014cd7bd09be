//! Drawing on machines without a GPU.
//!
//! WebKitGTK composites pages on the GPU. Where there is none it does so in software, which is dear for a page that
//! moving pictures are a part of and cheap for one that only lies over them. So pictures go under the page there
//! ([`crate::frames`]). A driver (WebDriver) sees only what the page itself draws: with one, pictures are drawn in the
//! page, and compositing is switched off, which halves what that costs. On other systems, and with a GPU, nothing is
//! changed; who sets the variable themselves has the last word.

/// Sets WebKitGTK up for what there is to draw with. Call first in `main`: the app may start over with another
/// environment, because another thread's must not change under it.
pub fn prepare() {
    #[cfg(target_os = "linux")]
    linux::prepare();
}

/// Whether the window is drawn without a GPU.
#[must_use]
pub fn in_software() -> bool {
    #[cfg(target_os = "linux")]
    return !linux::has_gpu();
    #[cfg(not(target_os = "linux"))]
    false
}

/// Whether pictures are painted under the page.
#[cfg(target_os = "linux")]
#[must_use]
pub fn is_beneath() -> bool {
    in_software() && !linux::is_off()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, os::unix::process::CommandExt as _, process::Command};

    const VARIABLE: &str = "WEBKIT_DISABLE_COMPOSITING_MODE";

    pub(super) fn prepare() {
        // A page that is not composited paints what is transparent in it over what was there before.
        let driven = std::env::var_os("TAURI_WEBVIEW_AUTOMATION").is_some_and(|value| value == "true");
        if !driven || std::env::var_os(VARIABLE).is_some() || has_gpu() {
            return;
        }
        let Ok(program) = std::env::current_exe() else { return };
        // Returns only when it failed; then the app goes on as it is, and the driver sees no pictures.
        let _ = Command::new(program).args(std::env::args_os().skip(1)).env(VARIABLE, "1").exec();
    }

    /// Whether compositing is switched off, by us or by whoever started the app.
    pub(super) fn is_off() -> bool {
        std::env::var_os(VARIABLE).is_some_and(|value| value != "0")
    }

    /// Whether a render node is there.
    pub(super) fn has_gpu() -> bool {
        fs::read_dir("/dev/dri").is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("renderD"))
        })
    }
}
