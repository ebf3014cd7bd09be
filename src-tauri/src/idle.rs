//! When this computer was touched last, as the system tells it: X11's screen saver extension, GNOME's idle monitor under
//! Wayland, `GetLastInputInfo` on Windows, the HID system on macOS. Under other Wayland desktops nothing tells.

use std::{sync::Arc, time::Duration};

use bedside_session::idle::{IdleOptions, InputClock, Untold};

struct System;

impl InputClock for System {
    fn since_input(&self) -> Result<Duration, Untold> {
        system_idle_time::get_idle_time().map_err(|error| Untold(error.to_string()))
    }
}

/// Others see after this long that nobody is at this computer.
pub(crate) fn after(after: Duration) -> IdleOptions {
    IdleOptions { clock: Arc::new(System), after }
}
