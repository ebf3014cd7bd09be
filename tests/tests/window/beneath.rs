//! What a person sees who is not a driver: the screen itself. Without a GPU the pictures are not the page's there.

use std::{ffi::OsStr, time::Instant};

use bedside_protocol::Role;
use bedside_testkit::clinic::{Clinic, PASSWORD};

use crate::{
    Folder, LOSS, MEDIA, at_the_windows,
    driver::{App, Display, PATIENCE, POLL},
    picture::{Pixels, Shown},
};

/// The window's size; a picture of 16:9 fills it.
const WINDOW: (usize, usize) = (1280, 720);

fn screen(display: &Display) -> Pixels {
    Pixels::of_dump(display.screen()).expect("a dump that can be read")
}

fn shown(display: &Display) -> Option<Shown> {
    let (width, height) = WINDOW;
    Shown::cut(&screen(display), 0, 0, width, height)
}

/// How much of the window's lower edge has the colour of the button that hangs up.
fn red(display: &Display) -> usize {
    let screen = screen(display);
    let (width, height) = WINDOW;
    let points = (height - 80..height).flat_map(|row| (width - 200..width).map(move |column| (column, row)));
    points.filter(|(column, row)| matches!(screen.at(*column, *row), [190..=255, 0..=80, 0..=80])).count()
}

fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "never saw {what}");
        std::thread::sleep(POLL);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_screen_shows_the_other_person_moving_and_the_controls_over_them() {
    let clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let server = clinic.url();
    at_the_windows(move || {
        let folder = Folder::new("beneath");
        let password = folder.0.join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let displays = [Display::open(), Display::open()];
        let start = |login: &str, display: &Display, what: &[&str]| {
            let mut all: Vec<&OsStr> = MEDIA.iter().chain(what).map(OsStr::new).collect();
            all.extend(["--server", &server, "--login", login].map(OsStr::new));
            all.extend([OsStr::new("--password-file"), password.as_os_str()]);
            App::open(login, display, &folder.0, &all)
        };
        let mut patient = start("ana", &displays[1], &["--answer"]);
        let mut doctor = start("osei", &displays[0], &["--call", "ana"]);
        for display in &displays {
            let first = wait("a picture of the other person", || shown(display));
            let later = wait("it moving", || {
                shown(display).filter(|later| later.stamp.counter > first.stamp.counter + 30)
            });
            wait("the controls, once the hand moves", || {
                display.move_pointer();
                (red(display) > 1000).then_some(())
            });
            for shown in [&first, &later] {
                let off = shown.differs_from_pattern();
                assert!(off < LOSS, "the screen differs from what the camera took by {off}");
            }
        }
        assert!(doctor.runs() && patient.runs());
    })
    .await;
    clinic.close().await;
}
