//! A conversation of 50,000 messages in the app's window: opened by a click, gone to its beginning and back, paged through.
//!
//! What has to be there is asserted; how long it took is printed as one line of JSON, which `cargo xtask bench e2ee`
//! reads.

use std::sync::Arc;

use bedside_protocol::ConversationId;
use bedside_session::{chat::sample, secrets::OsKeyring};
use bedside_testkit::{
    clinic::{Clinic, Computer},
    desk::Desk,
    keyring,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    display::Display,
    driver::{Keyring, Window},
    setting::{MEDIA, at_the_windows, doctor_and_patient},
};

/// Messages that are there.
const MESSAGES: u32 = 50_000;
/// How often it is opened after a start of the app.
const OPENINGS: u32 = 5;
/// How often a page is turned, in each direction.
const PAGES: u32 = 40;
/// The app's profile, in the folder of the test.
const NAME: &str = "long";
/// Keys, as WebDriver names them.
const HOME: &str = "\u{e011}";
const END: &str = "\u{e010}";
const PAGE_UP: &str = "\u{e00e}";
const PAGE_DOWN: &str = "\u{e00f}";

fn text(number: u32) -> String {
    format!("{number}: something to be taken in the morning, with a glass of water and not before breakfast")
}

/// Fills the patient's app, which is not running yet. Returns how many entries came before the messages.
async fn fill(clinic: &Clinic, folder: &TempDir) -> u32 {
    let profile = folder.path().join(NAME).join("profile");
    // Where the app itself looks for its secrets.
    let secrets = Arc::new(OsKeyring::new(format!("health.bedside.app {}", profile.display())));
    let computer = Computer { profile, secrets, ..clinic.computer("ana") };
    let mut patient = Desk::on(computer.clone(), &clinic.url(), "ana").await;
    patient.open("osei").await;
    let before = patient.until("the conversation", |_| true).await.total;
    let conversation = ConversationId(patient.conversation.parse().unwrap());
    drop(patient);
    let texts = (before..MESSAGES).map(|number| text(number - before));
    sample::append(&computer.profile, &*computer.secrets, conversation, texts).unwrap();
    before
}

/// What the page notes from now on: how long after the next event of this kind a row with this text has been drawn. That is
/// the second frame after it came into the page.
fn time(window: &Window, event: &str, index: u32, text: &str) {
    let row = format!("[data-index=\"{index}\"] article");
    window.script(&format!(
        "window.took = null;
         addEventListener({event}, (event) => {{
             const drawn = () => window.took = performance.now() - event.timeStamp;
             const look = () => {{
                 if (!document.querySelector({row})?.textContent.includes({text})) return;
                 watch.disconnect();
                 requestAnimationFrame(() => requestAnimationFrame(drawn));
             }};
             const watch = new MutationObserver(look);
             watch.observe(document.body, {{ childList: true, subtree: true, characterData: true }});
         }}, {{ capture: true, once: true }});",
        event = json!(event),
        row = json!(row),
        text = json!(text),
    ));
}

fn took_ms(window: &Window, what: &str) -> f64 {
    let mut took = None;
    window.wait(what, || {
        took = window.script("return window.took").as_f64();
        took.is_some()
    });
    took.unwrap()
}

/// The messages that somebody sees: where each is in the list, and what it says. Empty where one of them is not there yet.
fn visible(window: &Window) -> Vec<(u32, String)> {
    let seen = window.script(
        "const box = document.querySelector('[role=log]').getBoundingClientRect();
         const rows = [...document.querySelectorAll('[role=log] [data-index]')].filter((row) => {
             const place = row.getBoundingClientRect();
             return place.bottom > box.top + 1 && place.top < box.bottom - 1;
         });
         if (rows.some((row) => row.querySelector('[aria-busy]'))) return [];
         return rows.map((row) => [Number(row.dataset.index), row.textContent]);",
    );
    serde_json::from_value(seen).unwrap()
}

/// Waits until all that somebody sees is what belongs there, and returns it.
fn all_there(window: &Window, what: &str, before: u32, so: impl Fn(u32, u32) -> bool) -> (u32, u32) {
    let mut ends = (0, 0);
    window.wait(what, || {
        let seen = visible(window);
        let (Some((first, _)), Some((last, _))) = (seen.first(), seen.last()) else { return false };
        ends = (*first, *last);
        let right = |(index, shown): &(u32, String)| *index < before || shown.contains(&text(index - before));
        so(ends.0, ends.1) && seen.iter().all(right)
    });
    ends
}

/// Turns pages and returns how long each frame meanwhile took, ms.
fn turn(window: &Window, key: &str) -> Vec<f64> {
    window.script(
        "window.frames = [];
         window.turning = true;
         let before;
         const frame = (now) => {
             if (before !== undefined) window.frames.push(now - before);
             before = now;
             if (window.turning) requestAnimationFrame(frame);
         };
         requestAnimationFrame(frame);",
    );
    for _ in 0..PAGES {
        window.key(key);
    }
    serde_json::from_value(window.script("window.turning = false; return window.frames")).unwrap()
}

fn p95(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * 95 / 100]
}

fn look_through(window: &Window, before: u32) -> Value {
    let (first, last) = (text(0), text(MESSAGES - 1 - before));
    window.resize(1280, 720);
    let mut openings_ms = Vec::new();
    for _ in 0..OPENINGS {
        window.press("People");
        // The row of the one before is gone.
        window.wait("no conversation", || {
            window.script("return !document.querySelector('[role=log]')") == true
        });
        time(window, "click", MESSAGES - 1, &last);
        window.press("Message to osei of the clinic");
        openings_ms.push(took_ms(window, "the newest message").round());
        all_there(window, "the end of the conversation", before, |_, to| to == MESSAGES - 1);
    }
    window.keep("end");
    // From the list on, the keyboard is the list's.
    window.script("document.querySelector('[role=log]').focus()");
    time(window, "keydown", before, &first);
    window.key(HOME);
    let home_ms = took_ms(window, "the oldest message").round();
    all_there(window, "the beginning of the conversation", before, |from, _| from == 0);
    window.keep("beginning");
    let mut frames = turn(window, PAGE_DOWN);
    let (down, _) = all_there(window, "pages further down", before, |from, _| from > PAGES);
    assert!(down < MESSAGES / 2, "{down}");
    window.key(END);
    all_there(window, "the end again", before, |_, to| to == MESSAGES - 1);
    frames.extend(turn(window, PAGE_UP));
    all_there(window, "pages further up", before, |_, to| to < MESSAGES - PAGES);
    json!({
        "messages": MESSAGES, "openings_ms": openings_ms, "home_ms": home_ms,
        "frames": frames.len(), "frame_p95_ms": p95(frames),
    })
}

#[test]
fn a_conversation_of_50_000_messages_is_there_at_its_end_at_its_beginning_and_in_between() {
    let test = "long::a_conversation_of_50_000_messages_is_there_at_its_end_at_its_beginning_and_in_between";
    keyring::within(test, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let clinic = doctor_and_patient().await;
            let _doctor = clinic.seat("osei").await;
            let folder = tempfile::tempdir().unwrap();
            let before = fill(&clinic, &folder).await;
            at_the_windows(move || {
                let display = Display::open();
                let window = Window::open_with(Keyring::Shared, NAME, &display, folder.path(), MEDIA);
                println!("{}", look_through(&window, before));
            })
            .await;
            clinic.close().await;
        });
        // A keyring that waits for its password keeps a thread for ever.
        runtime.shutdown_background();
    });
}
