//! A session bus on which a desktop shows notifications, and remembers them.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use zbus::{blocking::Connection, blocking::connection, zvariant::OwnedValue};

use crate::display::{Group, PATIENCE};

/// A notification, with everything that was said to the desktop about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notification {
    pub(crate) app: String,
    pub(crate) icon: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) actions: Vec<String>,
    /// Each with its value as text.
    pub(crate) hints: BTreeMap<String, String>,
    /// The program took it back.
    pub(crate) withdrawn: bool,
}

/// Notifications in the order in which they came.
#[derive(Clone, Default)]
struct Shown(Arc<(Mutex<Vec<Notification>>, Condvar)>);

impl Shown {
    fn list(&self) -> MutexGuard<'_, Vec<Notification>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The desktop's part of the Desktop Notifications Specification 1.2.
struct Desktop(Shown);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Desktop {
    #[expect(clippy::too_many_arguments, reason = "the specification has eight")]
    fn notify(
        &self,
        app: String,
        _replaces: u32,
        icon: String,
        title: String,
        body: String,
        actions: Vec<String>,
        hints: BTreeMap<String, OwnedValue>,
        _expires: i32,
    ) -> u32 {
        let hints = hints.into_iter().map(|(name, value)| (name, format!("{value:?}"))).collect();
        let mut shown = self.0.list();
        shown.push(Notification { app, icon, title, body, actions, hints, withdrawn: false });
        self.0.0.1.notify_all();
        u32::try_from(shown.len()).unwrap_or(u32::MAX)
    }

    fn close_notification(&self, id: u32) -> zbus::fdo::Result<()> {
        let mut shown = self.0.list();
        let place = usize::try_from(id).unwrap_or_default().wrapping_sub(1);
        let open = shown.get_mut(place).filter(|one| !one.withdrawn);
        let Some(one) = open else { return Err(zbus::fdo::Error::Failed(format!("{id} is not shown"))) };
        one.withdrawn = true;
        self.0.0.1.notify_all();
        Ok(())
    }

    fn get_capabilities(&self) -> Vec<String> {
        vec!["body".to_owned()]
    }

    fn get_server_information(&self) -> (String, String, String, String) {
        let [name, vendor, version, specification] = ["desktop", "tests", "1", "1.2"].map(str::to_owned);
        (name, vendor, version, specification)
    }
}

/// See the module. It ends with its owner.
pub(crate) struct SessionBus {
    address: String,
    shown: Shown,
    _desktop: Connection,
    _bus: Group,
}

impl SessionBus {
    pub(crate) fn open() -> Self {
        let mut bus = Group::start(
            Command::new("dbus-daemon")
                .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        let mut line = String::new();
        let output = bus.0.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("the bus says its address");
        let address = line.trim().to_owned();
        let shown = Shown::default();
        let desktop = connection::Builder::address(address.as_str())
            .and_then(|builder| builder.serve_at("/org/freedesktop/Notifications", Desktop(shown.clone())))
            .and_then(|builder| builder.name("org.freedesktop.Notifications"))
            .and_then(connection::Builder::build)
            .expect("a place on the bus");
        Self { address, shown, _desktop: desktop, _bus: bus }
    }

    /// Where programs find it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What was shown so far.
    pub(crate) fn notifications(&self) -> Vec<Notification> {
        self.shown.list().clone()
    }

    /// Waits, without the delay of looking now and then, until so many were shown.
    pub(crate) fn until(&self, count: usize) {
        self.wait(&format!("{count} notifications"), |shown| shown.len() >= count);
    }

    /// Waits until so many were shown and taken back again.
    pub(crate) fn until_withdrawn(&self, count: usize) {
        self.wait(&format!("{count} notifications withdrawn"), |shown| {
            shown.iter().filter(|one| one.withdrawn).count() >= count
        });
    }

    fn wait(&self, what: &str, so: impl Fn(&[Notification]) -> bool) {
        let waited = self.shown.0.1.wait_timeout_while(self.shown.list(), PATIENCE, |shown| !so(shown));
        let (shown, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "never {what}, but {shown:?}");
    }
}
