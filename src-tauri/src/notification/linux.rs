//! Linux: the Desktop Notifications Specification, over the session bus.

use std::collections::HashMap;

use zbus::{blocking::Connection, zvariant::Value};

use super::Words;

const SERVICE: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
/// The app's name, and its icon's in the theme.
const NAME: &str = env!("CARGO_PKG_NAME");
/// The desktop decides how long it stays, if nobody withdraws it.
const AS_LONG_AS_USUAL: i32 = -1;

/// One that the desktop shows. It has a connection of its own: some desktops take a notification away when the connection
/// that it came over ends, and that is when the app ends, however it does.
pub(super) struct Shown {
    bus: Connection,
    id: u32,
}

impl Shown {
    pub(super) fn new(_identifier: &str, words: &Words) -> zbus::Result<Self> {
        let bus = Connection::session()?;
        let in_place_of_none = 0_u32;
        let (actions, hints): (&[&str], HashMap<&str, Value<'_>>) = (&[], HashMap::new());
        let said =
            (NAME, in_place_of_none, NAME, &words.title, &words.body, actions, hints, AS_LONG_AS_USUAL);
        let id =
            bus.call_method(Some(SERVICE), PATH, Some(SERVICE), "Notify", &said)?.body().deserialize()?;
        Ok(Self { bus, id })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let withdrawn =
            self.bus.call_method(Some(SERVICE), PATH, Some(SERVICE), "CloseNotification", &self.id);
        if let Err(error) = withdrawn {
            // Whoever looked at it may have closed it.
            tracing::debug!(%error, "the notification was not withdrawn");
        }
    }
}
