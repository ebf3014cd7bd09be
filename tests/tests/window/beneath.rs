//! What a person sees who is not a driver: the screen itself. Without a GPU the pictures are not the page's there.

use std::ffi::OsStr;

use bedside_testkit::clinic::PASSWORD;

use crate::{
    LOSS,
    display::{Display, wait},
    driver::App,
    picture::Shown,
    setting::{MEDIA, at_the_windows, doctor_and_patient},
};

/// The window's size: higher than the picture, whose upper edge the line with the other person's name would hide.
const WINDOW: (usize, usize) = (1280, 960);
/// The picture is as wide as the window.
const PICTURE: (usize, usize) = (1280, 720);

fn shown(display: &Display) -> Option<Shown> {
    let (width, height) = PICTURE;
    Shown::cut(&display.screen(), 0, (WINDOW.1 - height) / 2, width, height)
}

/// How much of the window's lower edge has the colour of the button that hangs up.
fn red(display: &Display) -> usize {
    let (width, height) = WINDOW;
    let corner = [width - 200, height - 80, 200, 80];
    display.screen().points(corner, |colour| matches!(colour, [190..=255, 0..=80, 0..=80])).len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_screen_shows_the_other_person_moving_and_the_controls_over_them() {
    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    at_the_windows(move || {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let displays = [Display::open(), Display::open()];
        let start = |login: &str, display: &Display, what: &[&str]| {
            let mut all: Vec<&OsStr> = MEDIA.iter().chain(what).map(OsStr::new).collect();
            all.extend(["--server", &server, "--login", login].map(OsStr::new));
            all.extend([OsStr::new("--password-file"), password.as_os_str()]);
            App::open(login, display, folder.path(), &all)
        };
        let mut patient = start("ana", &displays[1], &["--answer"]);
        let mut doctor = start("osei", &displays[0], &["--call", "ana"]);
        for display in &displays {
            display.resize(&display.appears("Bedside"), WINDOW);
            let first = wait("a picture of the other person", || shown(display));
            let later = wait("it moving", || {
                shown(display).filter(|later| later.stamp.counter > first.stamp.counter + 30)
            });
            wait("the controls, once the hand moves", || {
                display.stir_pointer();
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
