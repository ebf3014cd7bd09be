//! Another device comes into a conversation whose code was compared, and is removed again. What the doctor does, the
//! doctor does with the computer's keyboard.

use bedside_testkit::clinic::{Computer, PASSWORD, Seat};
use tokio::runtime::Handle;

use crate::{
    display::Display,
    driver::Window,
    setting::{Pair, at_the_windows, doctor_and_patient, people},
    talk,
};

/// What is written; no log may hold it.
const BEFORE: &str = "May I call you now?";
const DURING: &str = "The tablets are called ramipril.";
const AFTER: &str = "I see your tablet here now.";
/// What the patient calls the other device.
const TABLET: &str = "Tablet in the kitchen";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_in_a_call_and_another_device_of_the_patient_are_dealt_with_at_the_keyboard() {
    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    let tablet = clinic.computer("tablet");
    let runtime = Handle::current();
    at_the_windows(move || {
        let pair = Pair::open("trust", &server);
        begin(&pair);
        write_in_a_call(&pair);
        let _tablet = runtime.block_on(sign_in_at(tablet, &server));
        the_doctor_goes_on(&pair);
        the_patient_removes_it(&pair);
        for window in [&pair.doctor, &pair.patient] {
            let sentry = people().never("a message", BEFORE).never("a message", DURING);
            sentry.never("a message", AFTER).check("the app's log", &window.log());
        }
    })
    .await;
    clinic.close().await;
}

async fn sign_in_at(computer: Computer, server: &str) -> Seat {
    let mut seat = computer.start();
    seat.sign_in(server, "ana", PASSWORD).await;
    seat
}

/// What a hand does on a computer's keyboard, key by key.
fn types(display: &Display, text: &str) {
    display.type_text(text);
    display.key("Return");
}

/// Waits until what is typed goes to what this CSS selector names.
fn has_the_keyboard(window: &Window, selector: &str) {
    let asked = format!("return document.hasFocus() && document.activeElement.matches({selector:?})");
    window.wait(&format!("the keyboard in {selector}"), || window.script(&asked) == true);
}

fn begin(pair: &Pair) {
    let [doctor, patient] = [&pair.doctor, &pair.patient];
    for display in &pair.displays {
        display.focus(&display.appears("Bedside"));
    }
    patient.press("Message to osei of the clinic");
    patient.write(BEFORE);
    doctor.sees("ana of the clinic wrote to you.");
    doctor.press("Open");
    doctor.sees(BEFORE);
    talk::compare(doctor, patient);
}

/// C opens the chat beside the picture with the keyboard in it. What is written stands in both places.
fn write_in_a_call(pair: &Pair) {
    let [doctor, patient] = [&pair.doctor, &pair.patient];
    doctor.press("Video call with ana of the clinic");
    patient.press("Answer with video");
    for window in [doctor, patient] {
        window.sees("Encrypted · verified");
    }
    pair.displays[0].key("c");
    has_the_keyboard(doctor, "#call-side textarea");
    types(&pair.displays[0], DURING);
    patient.press_for("call-side");
    patient.sees(DURING);
    doctor.keep("call-chat");
    patient.keep("call-chat");
    doctor.press("Hang up");
    for window in [doctor, patient] {
        window.sees("Call ended");
        window.press("Done");
        window.sees(DURING);
    }
}

/// The doctor is stopped by what changed, reads it, and goes on.
fn the_doctor_goes_on(pair: &Pair) {
    let doctor = &pair.doctor;
    doctor.sees("ana of the clinic's key changed");
    doctor.sees("Messages and calls are on hold here until you decide.");
    doctor.keep("key-changed");
    assert_eq!(doctor.script("return document.querySelectorAll('textarea').length"), 0, "a place to write");
    has_the_keyboard(doctor, "[role=alert] button");
    pair.displays[0].key("Tab");
    pair.displays[0].key("Return");
    doctor.sees("Encrypted · not verified");
    has_the_keyboard(doctor, "textarea");
    types(&pair.displays[0], AFTER);
    doctor.keep("key-accepted");
}

/// The patient sees both devices, names the other one and removes it.
fn the_patient_removes_it(pair: &Pair) {
    let [doctor, patient] = [&pair.doctor, &pair.patient];
    patient.sees("Another device claims to be yours");
    patient.keep("own-device");
    patient.press("Settings");
    patient.press_at(
        "//*[button[starts-with(@aria-label, 'Remove ')]]/button[starts-with(@aria-label, 'Rename ')]",
    );
    has_the_keyboard(patient, "input[aria-label='Name of this device']");
    types(&pair.displays[1], TABLET);
    patient.press(&format!("Remove {TABLET}"));
    patient.sees("It will be signed out and leave all your conversations.");
    patient.press("Remove and sign out");
    patient.sees_no_more(TABLET);
    patient.keep("removed");
    doctor.sees("A device of ana of the clinic left. It can't read new messages any more.");
    // What is left is what was compared.
    doctor.press("Encrypted · verified");
    doctor.sees("1 device");
    doctor.keep("members");
}
