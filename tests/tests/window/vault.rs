//! Without a keyring, what was written stays behind a passphrase.

use bedside_testkit::clinic::PASSWORD;

use crate::{
    display::Display,
    driver::{Keyring, Window},
    setting::{MEDIA, at_the_windows, doctor_and_patient, people, sign_in},
};

const PASSPHRASE: &str = "four plain words here";
/// What is written; it is read again only under the passphrase.
const WORDS: &str = "The tablets make me dizzy.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_read_again_with_the_passphrase_alone() {
    let clinic = doctor_and_patient().await;
    let server = clinic.url();
    at_the_windows(move || {
        let folder = tempfile::tempdir().unwrap();
        let display = Display::open();
        let start = || Window::open_with(Keyring::Missing, "passphrase", &display, folder.path(), MEDIA);
        let first = start();
        sign_in(&first, &server, "ana", PASSWORD);
        set_passphrase(&first);
        drop(first);
        let again = start();
        // It knows where and who; without a keyring it asks for the password.
        again.type_into("password", PASSWORD);
        again.press("Sign in");
        unlock(&again);
    })
    .await;
    clinic.close().await;
}

fn set_passphrase(window: &Window) {
    window.press("Message to osei of the clinic");
    window.write(WORDS);
    window.sees("Messages are kept only until you close the app.");
    window.press("Set a passphrase");
    window.type_into("passphrase", "too short");
    window.press("Keep my messages");
    window.sees("3 more characters, please.");
    window.type_into("passphrase", PASSPHRASE);
    window.type_into("repeat", "four plane words here");
    window.press("Keep my messages");
    window.sees("The two passphrases don't match.");
    window.keep("set-passphrase");
    window.type_into("repeat", PASSPHRASE);
    window.press("Keep my messages");
    window.sees_no_more("Messages are kept only until you close the app.");
    check_log(window);
}

fn unlock(window: &Window) {
    window.sees("Your messages are locked");
    assert!(!window.text().contains(WORDS), "the words are in sight before the passphrase was given");
    window.type_into("passphrase", "four other words here");
    window.press("Unlock");
    window.sees("This isn't the right passphrase.");
    window.keep("locked");
    window.type_into("passphrase", PASSPHRASE);
    window.press("Unlock");
    window.press("Message to osei of the clinic");
    window.sees(WORDS);
    check_log(window);
}

fn check_log(window: &Window) {
    people()
        .never("a message", WORDS)
        .never("a passphrase", PASSPHRASE)
        .check("the app's log", &window.log());
}
