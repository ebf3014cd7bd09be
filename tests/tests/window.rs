//! The app's real window: what a doctor and a patient see of a consultation, from signing in to the history.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

#[path = "window/beneath.rs"]
mod beneath;
#[path = "window/bus.rs"]
mod bus;
#[path = "window/channel.rs"]
mod channel;
#[path = "window/display.rs"]
mod display;
#[path = "window/driver.rs"]
mod driver;
#[path = "window/file_manager.rs"]
mod file_manager;
#[path = "window/files.rs"]
mod files;
#[path = "window/long.rs"]
mod long;
#[path = "window/picture.rs"]
mod picture;
#[path = "window/presence.rs"]
mod presence;
#[path = "window/ringing.rs"]
mod ringing;
#[path = "window/setting.rs"]
mod setting;
#[path = "window/talk.rs"]
mod talk;
#[path = "window/trust.rs"]
mod trust;
#[path = "window/vault.rs"]
mod vault;

use bedside_protocol::Role;
use bedside_testkit::clinic::{Clinic, PASSWORD};
use display::Display;
use driver::{Keyring, Window};
use picture::{Shown, shown, write_film};
use serde_json::json;
use setting::{MEDIA, at_the_windows, doctor_and_patient, people, sign_in};

/// Compression and scaling cost this much brightness of 256 on average, never more.
const LOSS: f64 = 12.0;
/// The id of the panel with the connection's figures.
const DETAILS: &str = "connection-details";
/// What somebody signed in reads who shares nothing with anybody yet.
const ALONE: &str = "Nobody to call yet";
const ESCAPE: &str = "\u{e00c}";

/// Waits until these words stand under a field, as what is wrong with it.
fn says_under(window: &Window, field: &str, words: &str) {
    let script = format!(
        "const field = document.querySelector('input[name={field}]');
         const says = document.getElementById(field?.getAttribute('aria-describedby') ?? '');
         return says?.textContent ?? '';"
    );
    window.wait(&format!("“{words}” under {field}"), || {
        window.script(&script).as_str().is_some_and(|text| text.contains(words))
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_to_sign_in_is_said_under_the_field_it_concerns() {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    let server = clinic.url();
    at_the_windows(move || {
        let folder = tempfile::tempdir().unwrap();
        let display = Display::open();
        let window = Window::open("failure", &display, folder.path(), MEDIA);
        window.type_into("server", &server);
        window.press("Sign in");
        says_under(&window, "login", "Enter your login name.");
        sign_in(&window, &server, "ana", "not the password");
        says_under(&window, "password", "don't match");
        window.keep("wrong-password");
    })
    .await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_named_and_the_address_can_be_corrected() {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    let server = clinic.url();
    at_the_windows(move || {
        let folder = tempfile::tempdir().unwrap();
        let display = Display::open();
        let window = Window::open("unreachable", &display, folder.path(), MEDIA);
        sign_in(&window, &nobody(), "ana", PASSWORD);
        says_under(&window, "server", "No server responds at this address.");
        window.keep("unreachable");
        sign_in(&window, &server, "ana", PASSWORD);
        window.sees(ALONE);
    })
    .await;
    clinic.close().await;
}

/// The address of a port where nobody listens.
fn nobody() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_keyring_the_window_is_signed_in_again_at_the_next_start() {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    let server = clinic.url();
    at_the_windows(move || {
        let folder = tempfile::tempdir().unwrap();
        let display = Display::open();
        let start = || Window::open_with(Keyring::Unlocked, "keyring", &display, folder.path(), MEDIA);
        let first = start();
        sign_in(&first, &server, "ana", PASSWORD);
        first.sees(ALONE);
        first.press("Settings");
        first.sees("kept in this computer's keyring");
        drop(first);
        let again = start();
        again.sees(ALONE);
        again.keep("signed-in-again");
    })
    .await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_keyring_the_window_says_that_the_sign_in_will_not_last() {
    let clinic = Clinic::open().await;
    clinic.add("ana", Role::Patient).await;
    let server = clinic.url();
    at_the_windows(move || {
        let folder = tempfile::tempdir().unwrap();
        let display = Display::open();
        let window = Window::open_with(Keyring::Missing, "no-keyring", &display, folder.path(), MEDIA);
        sign_in(&window, &server, "ana", PASSWORD);
        window.sees("The keyring can't be used, so your sign-in lasts until you close the app.");
        window.keep("not-remembered");
        window.press("Settings");
        window.sees("lasts until you close the app");
    })
    .await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_and_patient_meet_in_two_windows() {
    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    at_the_windows(move || consultation(&server)).await;
    clinic.close().await;
}

fn consultation(server: &str) {
    let folder = tempfile::tempdir().unwrap();
    let film = format!("film:{}", write_film(folder.path()).display());
    let (left, right) = (Display::open(), Display::open());
    let report = folder.path().join("report.json");
    let reported = ["--report", report.to_str().expect("text")];
    let doctor = Window::open("doctor", &left, folder.path(), &[MEDIA, &reported].concat());
    let more = ["--video", &film, "--audio", "silence"];
    let patient = Window::open("patient", &right, folder.path(), &[MEDIA, &more].concat());
    for (window, login) in [(&doctor, "osei"), (&patient, "ana")] {
        // Higher than the picture is: nothing lies over its upper edge.
        window.resize(1200, 960);
        sign_in(window, server, login, PASSWORD);
        window.sees("of the clinic");
    }
    doctor.sees("Online");
    // Nothing is amiss with a keyring that was not wanted.
    doctor.sees_no_more("keyring");
    doctor.keep("people");
    doctor.press("Video call with ana of the clinic");
    patient.sees("osei of the clinic is calling");
    patient.keep("incoming");
    doctor.keep("outgoing");
    patient.press("Answer with video");

    for window in [&doctor, &patient] {
        window.sees("Encrypted");
        let first = sees_picture(window, "the other's pattern", Shown::differs_from_pattern);
        window.wait("the picture move on", || {
            shown(window).is_some_and(|now| {
                now.stamp.counter > first.stamp.counter && now.differs_from_pattern() < LOSS
            })
        });
        window.keep("call");
    }
    muting_is_seen_by_both(&doctor, &patient);
    the_cameras_switch_is_seen_by_the_other(&doctor, &patient);
    devices_are_switched_live(&doctor, &patient);
    the_connection_has_its_details(&doctor);

    doctor.press("Hang up");
    doctor.wait("the report", || report.exists());
    the_report_tells_of_the_call(&std::fs::read_to_string(&report).unwrap());
    for (window, other, way) in [(&doctor, "ana", "Outgoing"), (&patient, "osei", "Incoming")] {
        window.sees("Call ended");
        window.sees(&format!("with {other}"));
        window.sees("The connection was");
        window.keep("ended");
        window.press("Done");
        window.press("History");
        window.sees("1 call");
        window.sees(&format!("{other} of the clinic"));
        window.sees(&format!("{way}, video ·"));
        window.keep("history");
        people().check("the app's log", &window.log());
    }
}

fn the_report_tells_of_the_call(report: &str) {
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    assert_eq!((&report["side"], &report["end_reason"]), (&json!("caller"), &json!("user_hangup")));
    let ages = ["latency_ms", "drawn_ms"].map(|age| report["video"][age]["p50"].as_f64());
    let [Some(decoded), Some(drawn)] = ages else { panic!("no ages: {report}") };
    assert!(0.0 < decoded && decoded < drawn, "{report}");
    let phases = report["phases"].as_array().unwrap().iter().map(|phase| phase["phase"].as_str().unwrap());
    assert!(phases.eq(["initiated", "ringing", "accepted", "connecting", "connected", "ended"]), "{report}");
}

/// Waits until the other side's picture is what its camera makes, and returns it.
fn sees_picture(window: &Window, what: &str, difference: fn(&Shown) -> f64) -> Shown {
    let mut seen = None;
    window.wait(what, || {
        seen = shown(window).filter(|picture| difference(picture) < LOSS);
        seen.is_some()
    });
    seen.expect("waited for")
}

fn muting_is_seen_by_both(doctor: &Window, patient: &Window) {
    patient.key("m");
    doctor.sees("is muted");
    patient.sees("You are muted");
    patient.keep("muted");
    patient.key("m");
    doctor.sees_no_more("is muted");
}

fn the_cameras_switch_is_seen_by_the_other(doctor: &Window, patient: &Window) {
    patient.press("Stop video");
    doctor.sees("camera is off");
    patient.press("Start video");
    sees_picture(doctor, "the picture again", Shown::differs_from_pattern);
}

fn devices_are_switched_live(doctor: &Window, patient: &Window) {
    patient.press("Choose a camera");
    patient.choose("Film: ward.y4m (simulated)");
    patient.keep("camera-menu");
    sees_picture(doctor, "the patient's film", Shown::differs_from_film);
    doctor.keep("film");
    patient.choose("Test pattern (simulated)");
    sees_picture(doctor, "the patient's pattern", Shown::differs_from_pattern);
    patient.key(ESCAPE);

    let level = "return document.querySelector('[role=group] [role=meter]')?.ariaValueNow ?? ''";
    let hears = |what: &str, wanted: fn(u32) -> bool| {
        patient.wait(what, || {
            patient.script(level).as_str().and_then(|now| now.parse().ok()).is_some_and(wanted)
        });
    };
    patient.press("Microphone and speaker");
    hears("the tone's level", |level| level > 0);
    patient.choose("Silence (simulated)");
    hears("no level", |level| level == 0);
    patient.choose("Test tone (simulated)");
    hears("the tone's level again", |level| level > 0);
    patient.keep("sound-menu");
    patient.key(ESCAPE);
}

fn the_connection_has_its_details(window: &Window) {
    window.press_for(DETAILS);
    let read = |script: &str| {
        let found = window.script(&format!("const panel = document.getElementById('{DETAILS}'); {script}"));
        found.as_array().map_or_else(Vec::new, |texts| {
            texts.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect::<Vec<_>>()
        })
    };
    window.wait("four plots that move on and a picture's size", || {
        let plots = read(
            "return [...panel?.querySelectorAll('figure') ?? []]
                 .filter((plot) => plot.querySelector('polyline').points.numberOfItems > 2)
                 .map((plot) => plot.querySelector('svg').getAttribute('aria-label'))",
        );
        let figures =
            read("return [...panel?.querySelectorAll('dd') ?? []].map((figure) => figure.textContent)");
        let titles = ["Data rate", "Loss", "Round trip", "Frame rate"];
        plots.len() == titles.len()
            && plots.iter().zip(titles).all(|(plot, title)| plot.starts_with(title))
            && figures.iter().any(|figure| figure.contains(" × ") && !figure.contains("0 × 0"))
    });
    window.keep("details");
    window.press_for(DETAILS);
    window.wait("the details closed", || read("return panel ? ['open'] : []").is_empty());
}
