//! Whether somebody is at their computer, as the display tells it.

use crate::{
    display::Display,
    driver::Window,
    setting::{MEDIA, at_the_windows, doctor_and_patient, sign_in},
};
use bedside_testkit::clinic::PASSWORD;

/// Waits until the doctor reads this of the patient.
fn reads(doctor: &Window, words: &str) {
    doctor.wait(&format!("the patient {words}"), || {
        doctor.script("return document.querySelector('.person .presence')?.innerText.trim() ?? ''") == words
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_keyboard_and_pointer_alone_is_seen_as_idle_until_they_move_one() {
    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    at_the_windows(move || {
        let folder = tempfile::tempdir().unwrap();
        let displays = [Display::open(), Display::open()];
        let doctor = Window::open("presence-doctor", &displays[0], folder.path(), MEDIA);
        sign_in(&doctor, &server, "osei", PASSWORD);
        doctor.sees("ana of the clinic");
        let soon = [MEDIA, &["--idle-after", "10"]].concat();
        let patient = Window::open("presence-patient", &displays[1], folder.path(), &soon);
        sign_in(&patient, &server, "ana", PASSWORD);
        patient.sees("osei of the clinic");
        reads(&doctor, "Idle");
        patient.sees("Idle");
        doctor.keep("idle");
        displays[1].stir_pointer();
        reads(&doctor, "Online");
        reads(&doctor, "Idle");
        displays[1].key("a");
        reads(&doctor, "Online");
    })
    .await;
    clinic.close().await;
}
