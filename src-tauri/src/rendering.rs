//! Drawing on machines without a GPU.
//!
//! WebKitGTK composites on the GPU. Where there is none it does so in software, at twice the cost of drawing
//! without compositing at all, so that is switched off there. On other systems, and with a GPU, nothing is
//! changed; who sets the variable themselves has the last word.

/// Switches compositing off for a WebKitGTK that would do it in software. Call first in `main`: the app starts
/// over with the variable set, because another thread's environment must not change under it.
pub fn prepare() {
    #[cfg(target_os = "linux")]
    linux::prepare();
}

/// Whether the window is drawn without a GPU.
#[must_use]
pub fn in_software() -> bool {
    #[cfg(target_os = "linux")]
    return linux::is_off();
    #[cfg(not(target_os = "linux"))]
    false
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, os::unix::process::CommandExt as _, path::Path, process::Command};

    const VARIABLE: &str = "WEBKIT_DISABLE_COMPOSITING_MODE";

    pub(super) fn prepare() {
        if std::env::var_os(VARIABLE).is_some() || has_gpu(Path::new("/dev/dri")) {
            return;
        }
        let Ok(program) = std::env::current_exe() else { return };
        // Returns only when it failed; then the app goes on as it is, a little slower.
        let _ = Command::new(program).args(std::env::args_os().skip(1)).env(VARIABLE, "1").exec();
    }

    /// Whether compositing is switched off, by us or by whoever started the app.
    pub(super) fn is_off() -> bool {
        std::env::var_os(VARIABLE).is_some_and(|value| value != "0")
    }

    /// Whether a render node is there.
    fn has_gpu(devices: &Path) -> bool {
        fs::read_dir(devices).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("renderD"))
        })
    }
}
