//! Two people write to each other and compare their code, each in a window of their own.

use crate::{
    driver::Window,
    setting::{Pair, at_the_windows, doctor_and_patient, people},
};

/// What is written; no log may hold it.
const QUESTION: &str = "May I stop the evening dose?";
const ANSWER: &str = "Keep it until Thursday.";
const CHANGED: &str = "Keep it until Friday.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_and_patient_write_and_check_each_other() {
    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    at_the_windows(move || {
        let pair = Pair::open("talk", &server);
        talk(&pair.doctor, &pair.patient);
    })
    .await;
    clinic.close().await;
}

fn talk(doctor: &Window, patient: &Window) {
    patient.press("Message to osei of the clinic");
    patient.write(QUESTION);
    patient.sees(QUESTION);
    doctor.sees("ana of the clinic wrote to you.");
    doctor.keep("message-notice");
    doctor.press("Open");
    doctor.sees(QUESTION);
    patient.sees("Read");
    patient.keep("message-read");
    doctor.write(ANSWER);
    patient.sees(ANSWER);
    doctor.keep("conversation");

    change_and_delete(doctor, patient);
    compare(doctor, patient);
    for window in [doctor, patient] {
        let sentry = people().never("a message", QUESTION).never("a message", CHANGED);
        sentry.check("the app's log", &window.log());
    }
}

/// A change reaches the other side; what is deleted is gone on both.
fn change_and_delete(doctor: &Window, patient: &Window) {
    // As a hand moves over it: what can be done with a message appears then.
    let newest = "[...document.querySelectorAll('article.own')].at(-1).closest('[data-index]')
         .dispatchEvent(new PointerEvent('pointerenter'))";
    doctor.script(newest);
    doctor.press("Edit");
    doctor.write(CHANGED);
    patient.sees(CHANGED);
    is_not_listed(patient, ANSWER);
    patient.script(newest);
    patient.press("Delete");
    patient.sees("Delete this message?");
    patient.press("Delete for everyone");
    doctor.sees("This message was deleted.");
    is_not_listed(doctor, QUESTION);
}

/// No message says that any more; what a screen reader was told remains told.
fn is_not_listed(window: &Window, text: &str) {
    let read = "return [...document.querySelectorAll('article')].map((item) => item.innerText).join('\\n')";
    window
        .wait("a message that is gone", || !window.script(read).as_str().unwrap_or_default().contains(text));
}

/// Both see the same seven names and three numbers; confirmed, the lock says so.
pub(crate) fn compare(doctor: &Window, patient: &Window) {
    let code = |window: &Window| {
        window.press("Encrypted · not verified");
        window.press("Compare the code");
        let read =
            "return [...document.querySelectorAll('dialog ol li')].map((item) => item.innerText).join(' ')";
        let mut seen = String::new();
        window.wait("a code of seven pictures and three numbers", || {
            seen = window.script(read).as_str().unwrap_or_default().to_owned();
            seen.split_whitespace().count() >= 10
        });
        window.keep("check-code");
        seen
    };
    assert_eq!(code(doctor), code(patient), "the two see different codes");
    for window in [doctor, patient] {
        window.press("They match");
        window.sees("From now on you will be warned");
        window.press("Done");
        window.sees("Encrypted · verified");
        window.sees("You compared the code, and it matched.");
        window.keep("verified");
    }
}
