//! Files that are sent as people do it: chosen in the system's dialog, or dragged out of a file manager's window.

use std::{fs, path::Path};

use crate::{
    display::{Display, wait},
    driver::Window,
    file_manager::FileManager,
    setting::{Pair, at_the_windows, doctor_and_patient, people},
};

/// The titles of the system's dialogs.
const FILES: &str = "Send files";
const FOLDER: &str = "Choose a folder";
/// The edge of a field that has the keyboard, in GTK's own theme.
const FOCUSED: [u8; 3] = [0x35, 0x84, 0xe4];

/// Waits for the system's dialog of that title, names a path in it and confirms.
fn choose(display: &Display, dialog: &str, path: &Path) {
    let window = display.appears(dialog);
    display.focus(&window);
    // A slash opens a field for paths, which would miss what is typed before it is there.
    let (slash, rest) = path.to_str().unwrap().split_at(1);
    display.type_text(slash);
    wait("the field for paths, with the keyboard", || {
        let [left, top, ..] = display.place(&window)?;
        let upper = [left + 200, top, 600, 60];
        (display.screen().points(upper, |colour| colour == FOCUSED).len() > 1000).then_some(())
    });
    display.type_text(rest);
    display.key("Return");
    display.disappears(dialog);
}

/// Waits for the system's dialog of that title and thinks better of it.
fn cancel(display: &Display, dialog: &str) {
    display.focus(&display.appears(dialog));
    display.key("Escape");
    display.disappears(dialog);
}

/// Opens the conversation of the two on both sides.
fn open_conversation(pair: &Pair) {
    pair.doctor.press("Message to ana of the clinic");
    pair.patient.press("Message to osei of the clinic");
}

/// The names of the files in the open conversation, in order.
fn files(window: &Window) -> Vec<String> {
    let names = window
        .script("return [...document.querySelectorAll('article .file .name')].map((name) => name.innerText)");
    let names = names.as_array().cloned().unwrap_or_default();
    names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

/// Saves a file of the conversation in a folder chosen in the system's dialog, and compares it.
fn save(window: &Window, display: &Display, name: &str, folder: &Path, bytes: &[u8]) {
    window.press(&format!("Save in… {name}"));
    choose(display, FOLDER, folder);
    // The words may be another file's; under its final name there is nothing before all of it is there.
    let saved = folder.join(name);
    window.wait(&format!("{name} saved"), || saved.exists() && window.text().contains("Show in folder"));
    assert_eq!(fs::read(saved).unwrap(), bytes, "{name} is not what was sent");
}

/// A folder of that name, new and empty.
fn empty(within: &Path, name: &str) -> std::path::PathBuf {
    let folder = within.join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_chosen_in_the_systems_dialog_arrives_in_the_folder_chosen_there() {
    const NAME: &str = "discharge letter.txt";
    const LETTER: &[u8] = b"Kept under a name of its own, byte for byte.";

    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    at_the_windows(move || {
        let pair = Pair::open("picker", &server);
        let Pair { doctor, patient, displays: [left, right], folder } = &pair;
        let source = folder.path().join(NAME);
        fs::write(&source, LETTER).unwrap();
        let into = empty(folder.path(), "received");
        open_conversation(&pair);

        doctor.press(FILES);
        cancel(left, FILES);
        doctor.press(FILES);
        choose(left, FILES, &source);
        patient.sees(NAME);
        doctor.sees(NAME);
        // The dialog that was cancelled before sent nothing, and nobody is told that anything went wrong.
        for window in [doctor, patient] {
            assert_eq!(files(window), [NAME]);
        }
        assert!(!doctor.text().contains("can't"), "cancelling is taken for a fault: {}", doctor.text());
        patient.keep("file-offered");

        patient.press(&format!("Save in… {NAME}"));
        cancel(right, FOLDER);
        assert_eq!(fs::read_dir(&into).unwrap().count(), 0, "saved, though the person thought better of it");
        save(patient, right, NAME, &into, LETTER);
        patient.keep("file-saved");
        for window in [doctor, patient] {
            people().never("a file's name", NAME).check("the app's log", &window.log());
        }
    })
    .await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_dragged_from_another_program_are_sent_where_they_are_dropped() {
    const ZONE: &str = "Drop files to send them to";
    /// A place in the conversation.
    const CHAT: (i32, i32) = (700, 300);
    const AWAY: (i32, i32) = (1300, 600);
    // What has to be written otherwise in the address of a file.
    const NAMES: [&str; 2] = ["X-ray 50% für Ana.txt", "a#b.txt"];
    const BYTES: [&[u8]; 2] = [b"the first", b"the second"];

    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    at_the_windows(move || {
        let pair = Pair::open("drop", &server);
        let Pair { doctor, patient, displays: [left, right], folder } = &pair;
        let from = empty(folder.path(), "from");
        let paths = NAMES.map(|name| from.join(name));
        for (path, bytes) in paths.iter().zip(BYTES) {
            fs::write(path, bytes).unwrap();
        }
        open_conversation(&pair);

        let manager = FileManager::open(left, &[&paths[0], &paths[1]]);
        manager.take();
        manager.carry_to(CHAT);
        doctor.sees(ZONE);
        doctor.keep("drop-zone");
        manager.carry_to(AWAY);
        doctor.sees_no_more(ZONE);
        manager.carry_to(CHAT);
        doctor.sees(ZONE);
        manager.drop_here();
        doctor.sees_no_more(ZONE);
        for name in NAMES {
            patient.sees(name);
        }
        // Each goes as quickly as it can: which one arrives first is open.
        let mut arrived = files(patient);
        arrived.sort();
        assert_eq!(arrived, NAMES, "what arrived");
        for (number, name) in NAMES.iter().enumerate() {
            save(patient, right, name, &empty(folder.path(), &format!("received-{number}")), BYTES[number]);
        }
        for window in [doctor, patient] {
            people().never("a file's name", NAMES[0]).check("the app's log", &window.log());
        }
    })
    .await;
    clinic.close().await;
}
