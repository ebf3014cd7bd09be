//! The app's real window: what a doctor and a patient see of a consultation, from signing in to the history.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

#[path = "window/driver.rs"]
mod driver;
#[path = "window/picture.rs"]
mod picture;

use std::path::PathBuf;

use bedside_protocol::Role;
use bedside_testkit::clinic::{Clinic, PASSWORD};
use driver::{Display, Window};
use picture::shown;

/// Compression and scaling cost this much brightness of 256 on average, never more.
const LOSS: f64 = 12.0;
const MEDIA: &[&str] = &["--video", "pattern", "--audio", "tone", "--speaker", "null", "--stamp"];

/// A folder for an app's data, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bedside-window-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system clears its temporary folder anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn sign_in(window: &Window, server: &str, login: &str, password: &str) {
    window.type_into("server", server);
    window.type_into("login", login);
    window.type_into("password", password);
    window.press("Sign in");
}

/// Drives windows on a thread of its own, while this one's runtime runs the server.
async fn at_the_windows(what: impl FnOnce() + Send + 'static) {
    if let Err(failure) = tokio::task::spawn_blocking(what).await {
        std::panic::resume_unwind(failure.into_panic());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_to_sign_in_is_said_under_the_field_it_concerns() {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    let server = clinic.url();
    at_the_windows(move || {
        let folder = Folder::new("failure");
        let display = Display::open();
        let window = Window::open("failure", &display, &folder.0, MEDIA);
        let says_under = |field: &str, words: &str| {
            let script = format!(
                "const field = document.querySelector('input[name={field}]');
                 const says = document.getElementById(field?.getAttribute('aria-describedby') ?? '');
                 return says?.textContent ?? '';"
            );
            window.wait(&format!("“{words}” under {field}"), || {
                window.script(&script).as_str().is_some_and(|text| text.contains(words))
            });
        };
        window.type_into("server", &server);
        window.press("Sign in");
        says_under("login", "Enter your login name.");
        sign_in(&window, &server, "ana", "not the password");
        says_under("password", "don't match");
        window.keep("wrong-password");
    })
    .await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_and_patient_meet_in_two_windows() {
    let clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let server = clinic.url();
    at_the_windows(move || consultation(&server)).await;
    clinic.close().await;
}

fn consultation(server: &str) {
    let folder = Folder::new("call");
    let (left, right) = (Display::open(), Display::open());
    let doctor = Window::open("doctor", &left, &folder.0, MEDIA);
    let patient = Window::open("patient", &right, &folder.0, MEDIA);
    for (window, login) in [(&doctor, "osei"), (&patient, "ana")] {
        // Higher than the picture is: nothing lies over its upper edge.
        window.resize(1200, 960);
        sign_in(window, server, login, PASSWORD);
        window.sees("of the clinic");
    }
    doctor.sees("Online");
    doctor.keep("people");
    doctor.press("Video call with ana of the clinic");
    patient.sees("osei of the clinic is calling");
    patient.keep("incoming");
    doctor.keep("outgoing");
    patient.press("Answer with video");

    for window in [&doctor, &patient] {
        window.sees("Encrypted");
        let mut first = None;
        window.wait("the other's picture, readable", || {
            first = shown(window);
            first.is_some()
        });
        let first = first.expect("waited for");
        assert!(first.difference() < LOSS, "not what the other's camera made: {}", first.difference());
        window.wait("the picture move on", || {
            shown(window)
                .is_some_and(|now| now.stamp.counter > first.stamp.counter && now.difference() < LOSS)
        });
        window.keep("call");
    }

    patient.key("m");
    doctor.sees("is muted");
    patient.sees("You are muted");
    patient.keep("muted");
    patient.key("m");
    doctor.sees_no_more("is muted");

    patient.press("Choose a camera");
    patient.keep("camera-menu");
    patient.key("\u{e00c}");
    patient.press("Stop video");
    doctor.sees("camera is off");
    patient.press("Start video");
    let mut before = None;
    doctor.wait("the picture again", || {
        before = shown(&doctor);
        before.is_some()
    });

    doctor.press("Hang up");
    for window in [&doctor, &patient] {
        window.sees("Call ended");
        window.keep("ended");
        window.press("Done");
        window.press("History");
        window.sees("1 call");
        window.sees("video");
        window.keep("history");
    }
}
