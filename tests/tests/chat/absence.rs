//! Somebody who was away for longer than the server keeps what was said.

use bedside_protocol::{ErrorCode, Problem, Role};
use bedside_testkit::{clinic::Clinic, desk::Desk, mallory::Mallory};
use bedside_ui_contract::chat::{ChatEvent, ConversationState, MessageContent, MessageState, MessageView};

fn events(items: &[MessageView]) -> Vec<ChatEvent> {
    let event = |item: &MessageView| match &item.content {
        MessageContent::Event { event } => Some(event.clone()),
        _ => None,
    };
    items.iter().filter_map(event).collect()
}

/// A doctor who is signed in, and a patient who never was.
async fn doctor_alone() -> (Clinic, Desk) {
    let clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let doctor = Desk::new(&clinic, "osei").await;
    (clinic, doctor)
}

/// The patient's app is closed, what the doctor writes meanwhile is `gone`, and the app is opened again at `url`.
async fn comes_back(clinic: &Clinic, mut doctor: Desk, url: &str, gone: impl AsyncFnOnce()) {
    let computer = clinic.computer("ana");
    let mut patient = Desk::on(computer.clone(), url, "ana").await;
    doctor.open("ana").await;
    patient.open("osei").await;
    doctor.write("once a day");
    patient.until_texts("it arrives", |texts| texts == ["once a day"]).await;
    patient.write("for how long?");
    doctor.until_texts("the answer", |texts| texts == ["once a day", "for how long?"]).await;
    let conversation = patient.conversation.clone();
    patient.seat.engine.close().await;
    drop(patient);
    doctor.write("two weeks");
    doctor.until("it is on the server", |one| one.waiting == 0 && one.total == 3).await;
    gone().await;

    let mut patient = Desk::sitting(computer.clone().start(), computer, conversation);
    let came_back = |items: &[MessageView]| events(items).contains(&ChatEvent::Rejoined);
    patient.until_items("she is told that she missed something", came_back).await;
    assert_eq!(patient.texts().await, ["once a day", "for how long?"], "what was here is still here");
    let name = "ana of the clinic".to_owned();
    let announced = ChatEvent::DeviceJoined { name, by_itself: true };
    doctor.until_items("he is told", |items| events(items).contains(&announced)).await;
    patient.until("usable", |one| one.state == ConversationState::Ready).await;
    patient.write("I was away");
    let last = |texts: &[String], wanted: &str| texts.last().is_some_and(|last| last == wanted);
    doctor.until_texts("she is read", |texts| last(texts, "I was away")).await;
    doctor.write("I see");
    patient.until_texts("so is he", |texts| last(texts, "I see")).await;
    assert_eq!(patient.texts().await, ["once a day", "for how long?", "I was away", "I see"]);
    // What she could not read has not been delivered, whatever she has received since.
    let delivered =
        |items: &[MessageView]| items.last().map(|item| item.state) == Some(MessageState::Delivered);
    let items = doctor.until_items("the newest is delivered", delivered).await;
    let own = items.iter().filter(|item| item.own && matches!(item.content, MessageContent::Text { .. }));
    let states: Vec<_> = own.map(|item| item.state).collect();
    assert_eq!(states, [MessageState::Delivered, MessageState::Sent, MessageState::Delivered]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_for_longer_than_messages_are_kept_is_told_and_comes_back() {
    let (clinic, doctor) = doctor_alone().await;
    comes_back(&clinic, doctor, &clinic.url(), async || clinic.expire_entries().await).await;
    clinic.close().await;
}

/// It may expire between the look at where the log begins and the look at the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_is_who_learns_only_from_the_log_that_it_is_no_longer_kept() {
    let (clinic, doctor) = doctor_alone().await;
    let line = Mallory::before(&clinic).await;
    let refusal = serde_json::to_value(Problem::new(ErrorCode::Expired)).unwrap();
    let expired = async || {
        let mut refusal = Some(refusal);
        line.answer_instead(move |_, path, _| {
            path.contains("/messages?").then(|| refusal.take()).flatten().map(|refusal| (410, refusal))
        });
    };
    comes_back(&clinic, doctor, &line.url(), expired).await;
    clinic.close().await;
}
