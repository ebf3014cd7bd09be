//! Two people write to each other, compare their code and send a file, each in a window of their own.

use std::{fs, path::Path};

use serde_json::json;

use super::{driver::Window, people};

/// What is written; no log may hold it.
const QUESTION: &str = "May I stop the evening dose?";
const ANSWER: &str = "Keep it until Thursday.";
const CHANGED: &str = "Keep it until Friday.";
const NAME: &str = "discharge letter.txt";
const LETTER: &[u8] = b"Kept under a name of its own, byte for byte.";

/// Both are signed in and see each other.
pub(super) fn talk(doctor: &Window, patient: &Window, folder: &Path) {
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
    send_a_file(doctor, patient, folder);
    for window in [doctor, patient] {
        let sentry =
            people().never("a message", QUESTION).never("a message", CHANGED).never("a file's name", NAME);
        sentry.check("the app's log", &window.log());
    }
}

/// A change reaches the other side; what is deleted is gone on both.
fn change_and_delete(doctor: &Window, patient: &Window) {
    // As a hand moves over it: what can be done with a message appears then.
    let newest = "[...document.querySelectorAll('article.own')].at(-1).closest('[data-index]')
         .dispatchEvent(new PointerEvent('pointerenter'))";
    doctor.script(newest);
    doctor.press("Change");
    doctor.write(CHANGED);
    patient.sees(CHANGED);
    is_not_listed(patient, ANSWER);
    patient.script(newest);
    patient.press("Delete");
    patient.sees("Delete this message?");
    patient.press("Delete everywhere");
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
fn compare(doctor: &Window, patient: &Window) {
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
        window.sees("You compared the code. It was right.");
        window.keep("verified");
    }
}

/// As from the system's file dialog: a path goes to the engine, the file arrives whole under its own name.
fn send_a_file(doctor: &Window, patient: &Window, folder: &Path) {
    let source = folder.join(NAME);
    fs::write(&source, LETTER).unwrap();
    let into = folder.join("received");
    fs::create_dir_all(&into).unwrap();
    doctor.dispatch("send_files", |conversation| json!({"conversation_id": conversation, "paths": [source]}));
    patient.sees(NAME);
    patient.keep("file-offered");
    let saved = into.join(NAME);
    let message = "const card = document.querySelector('article .file')?.closest('[data-index]');
         return card?.dataset.message ?? ''";
    let mut id = String::new();
    patient.wait("a file's message", || {
        id = patient.script(message).as_str().unwrap_or_default().to_owned();
        !id.is_empty()
    });
    patient.dispatch(
        "save_file",
        |conversation| json!({"conversation_id": conversation, "message_id": id, "folder": into}),
    );
    patient.sees("Show in folder");
    patient.keep("file-saved");
    assert_eq!(fs::read(saved).unwrap(), LETTER);
}
