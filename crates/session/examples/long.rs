//! What a conversation of 50,000 messages costs after a start of the app, as JSON on standard output: how long it takes to
//! open, which is to have its newest stretch, and to look through for a word. The store is a real one, sealed, on disk;
//! of some starts the slowest counts. `cargo xtask bench e2ee` runs it.

use std::time::{Duration, Instant};

use bedside_protocol::{ConversationId, Role};
use bedside_session::chat::sample;
use bedside_testkit::{clinic::Clinic, desk::Desk};
use bedside_ui_contract::chat::MessageContent;

/// Messages that are there.
const MESSAGES: u32 = 50_000;
/// What a window asks for at first.
const STRETCH: u32 = 50;
/// Starts of the app.
const STARTS: u32 = 5;
/// A word that only the oldest of them holds: all have to be looked at.
const WORD: &str = "amoxicillin";

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn text(number: u32) -> String {
    let what = if number == 0 { WORD } else { "something" };
    format!("{number}: {what} to be taken in the morning, with a glass of water and not before breakfast")
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome<()> {
    let clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let _patient = clinic.seat("ana").await;
    let computer = clinic.computer("osei");
    let mut doctor = Desk::on(computer.clone(), &clinic.url(), "osei").await;
    doctor.open("ana").await;
    let conversation = doctor.conversation.clone();
    let before = doctor.until("the conversation", |_| true).await.total;
    drop(doctor);
    let id = ConversationId(conversation.parse()?);
    sample::append(
        &computer.profile,
        &*computer.secrets,
        id,
        (before..MESSAGES).map(|number| text(number - before)),
    )?;

    let (mut opened, mut searched) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..STARTS {
        let mut seat = computer.clone().start();
        let all = |one: &bedside_ui_contract::chat::ConversationView| one.total == MESSAGES;
        seat.until("all messages", |snapshot| snapshot.chat.conversations.iter().any(all)).await;
        let begun = Instant::now();
        let page = seat.engine.messages(conversation.clone(), MESSAGES - STRETCH, STRETCH).await;
        opened = opened.max(begun.elapsed());
        let newest = MessageContent::Text { text: text(MESSAGES - 1 - before) };
        if page.items.len() != STRETCH as usize || page.items.last().is_none_or(|last| last.content != newest)
        {
            return Err("that was not the newest stretch".into());
        }
        let begun = Instant::now();
        let hits = seat.engine.search(WORD.to_owned(), Some(conversation.clone())).await;
        searched = searched.max(begun.elapsed());
        if hits.iter().map(|hit| hit.message.index).ne([before]) {
            return Err("it was not found".into());
        }
    }
    clinic.close().await;
    println!(
        "{{\"messages\": {MESSAGES}, \"opened_ms\": {:.1}, \"searched_ms\": {:.0}}}",
        ms(opened),
        ms(searched)
    );
    Ok(())
}
