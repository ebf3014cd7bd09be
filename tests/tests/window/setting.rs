//! Where a test takes place: a clinic, people who know each other, their computers.

use bedside_protocol::Role;
use bedside_testkit::{
    clinic::{Clinic, PASSWORD},
    sentry::Sentry,
};
use tempfile::TempDir;

use crate::{display::Display, driver::Window};

/// What stands in for cameras and sound.
pub(crate) const MEDIA: &[&str] = &["--video", "pattern", "--audio", "tone", "--speaker", "null", "--stamp"];

/// A clinic where the doctor osei and the patient ana know each other.
pub(crate) async fn doctor_and_patient() -> Clinic {
    let clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    clinic
}

/// The two of them, each signed in at a window on a display of its own.
pub(crate) struct Pair {
    pub(crate) doctor: Window,
    pub(crate) patient: Window,
    /// What the doctor sits before, then the patient.
    pub(crate) displays: [Display; 2],
    pub(crate) folder: TempDir,
}

impl Pair {
    pub(crate) fn open(test: &str, server: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let displays = [Display::open(), Display::open()];
        let start = |who: &str, display: &Display, login: &str| {
            let window = Window::open(&format!("{test}-{who}"), display, folder.path(), MEDIA);
            window.resize(1100, 760);
            sign_in(&window, server, login, PASSWORD);
            window.sees("of the clinic");
            window
        };
        let doctor = start("doctor", &displays[0], "osei");
        let patient = start("patient", &displays[1], "ana");
        doctor.sees("Online");
        Self { doctor, patient, displays, folder }
    }
}

pub(crate) fn sign_in(window: &Window, server: &str, login: &str, password: &str) {
    window.type_into("server", server);
    window.type_into("login", login);
    window.type_into("password", password);
    window.press("Sign in");
}

/// Drives windows on a thread of its own, while this one's runtime runs the server.
pub(crate) async fn at_the_windows(what: impl FnOnce() + Send + 'static) {
    if let Err(failure) = tokio::task::spawn_blocking(what).await {
        std::panic::resume_unwind(failure.into_panic());
    }
}

/// What no app may log of this clinic.
pub(crate) fn people() -> Sentry {
    Sentry::new()
        .never("a name", "of the clinic")
        .never("a password", PASSWORD)
        .permits([127, 0, 0, 1].into())
}
