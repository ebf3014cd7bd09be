//! Engines and a server in one process: what people would see of their conversations.

#[path = "chat/absence.rs"]
mod absence;
#[path = "chat/changes.rs"]
mod changes;
#[path = "chat/ciphertext.rs"]
mod ciphertext;
#[path = "chat/headless.rs"]
mod headless;
#[path = "chat/in_call.rs"]
mod in_call;
#[path = "chat/installations.rs"]
mod installations;
#[path = "chat/keeping.rs"]
mod keeping;
#[path = "chat/readers.rs"]
mod readers;

use bedside_protocol::{CallPhase, CallType, Role};
use bedside_testkit::{clinic::Clinic, desk::Desk};
use bedside_ui_contract::{
    Command, Notice,
    call::Protection,
    chat::{ChatEvent, ConversationState, MessageContent, MessageState, MessageView},
};

async fn doctor_and_patient() -> (Clinic, Desk, Desk) {
    let clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let doctor = Desk::new(&clinic, "osei").await;
    let patient = Desk::new(&clinic, "ana").await;
    (clinic, doctor, patient)
}

/// Both have the conversation and can say something in it.
async fn talking() -> (Clinic, Desk, Desk) {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    doctor.open("ana").await;
    patient.open("osei").await;
    (clinic, doctor, patient)
}

/// The doctor called, the patient answered, and both look at their conversation.
async fn in_a_call() -> (Clinic, Desk, Desk) {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    doctor.seat.ask(Command::Call { user_id: doctor.seat.person("ana"), call_type: CallType::Voice });
    patient.seat.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
    patient.seat.ask(Command::Answer { call_type: CallType::Voice });
    let call =
        doctor.seat.until_call("connected, protected", |call| call.protection == Protection::Encrypted).await;
    patient.seat.until_call("connected, protected", |call| call.protection == Protection::Encrypted).await;
    doctor.conversation = call.conversation_id.expect("a conversation");
    patient.conversation.clone_from(&doctor.conversation);
    (clinic, doctor, patient)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_arrives_once_in_order_and_its_writer_sees_that_it_was_read() {
    let (clinic, mut doctor, mut patient) = talking().await;
    for number in 0..20 {
        doctor.write(&format!("doctor {number}"));
        patient.write(&format!("patient {number}"));
    }
    let seen = doctor.until_texts("forty messages", |texts| texts.len() == 40).await;
    assert_eq!(patient.until_texts("forty messages", |texts| texts.len() == 40).await, seen);
    for who in ["doctor", "patient"] {
        let theirs: Vec<_> = seen.iter().filter(|text| text.starts_with(who)).cloned().collect();
        let wanted: Vec<_> = (0..20).map(|number| format!("{who} {number}")).collect();
        assert_eq!(theirs, wanted);
    }
    patient.read_all().await;
    let states = |state: MessageState| {
        move |items: &[bedside_ui_contract::chat::MessageView]| {
            items.iter().filter(|item| item.own).all(|item| item.state == state)
        }
    };
    doctor.until_items("read by the patient", states(MessageState::Read)).await;
    patient.until_items("delivered, not read", states(MessageState::Delivered)).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_changed_answered_and_deleted_for_both() {
    let (clinic, mut doctor, mut patient) = talking().await;
    doctor.write("take two");
    patient.until_texts("it arrives", |texts| texts == ["take two"]).await;
    let id = patient.items().await[0].id.clone();
    patient.answer("two of which?", &id);
    doctor.until_texts("the answer arrives", |texts| texts.len() == 2).await;
    let answer = doctor.items().await.remove(1);
    assert_eq!(answer.reply_to.map(|reply| (reply.id, reply.excerpt)), Some((id.clone(), "take two".into())));
    // Nobody changes what somebody else wrote.
    patient.edit(&id, "take twenty");
    doctor.edit(&id, "take one");
    patient.until_texts("the change arrives", |texts| texts[0] == "take one").await;
    assert!(patient.items().await[0].edited);
    doctor.delete(&id);
    patient.until_items("it is gone", |items| items[0].content == MessageContent::Deleted).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_is_seen_while_they_do() {
    let (clinic, doctor, mut patient) = talking().await;
    let typing = |typing| Command::SetTyping { conversation_id: doctor.conversation.clone(), typing };
    doctor.seat.ask(typing(true));
    patient.until("somebody writes", |one| one.typing == ["osei of the clinic"]).await;
    doctor.seat.ask(typing(false));
    patient.until("nobody writes", |one| one.typing.is_empty()).await;
    doctor.write("done");
    patient.until_texts("the message", |texts| texts.len() == 1).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_while_the_server_was_away_arrives_once_and_in_order() {
    let (clinic, mut doctor, mut patient) = talking().await;
    doctor.write("before");
    patient.until_texts("one message", |texts| texts.len() == 1).await;
    let stopped = clinic.stop(false).await;
    doctor
        .seat
        .until("offline", |snapshot| {
            snapshot.connection != bedside_ui_contract::snapshot::ConnectionView::Online
        })
        .await;
    for number in 0..5 {
        doctor.write(&format!("away {number}"));
    }
    doctor.until("five wait", |one| one.waiting == 5).await;
    let clinic = stopped.start().await;
    let texts = patient.until_texts("all arrived", |texts| texts.len() == 6).await;
    assert_eq!(texts, ["before", "away 0", "away 1", "away 2", "away 3", "away 4"]);
    doctor.until("none waits", |one| one.waiting == 0 && one.total == 6).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_app_loses_neither_what_was_said_nor_what_waits() {
    let (clinic, mut doctor, mut patient) = talking().await;
    doctor.write("first");
    patient.until_texts("one message", |texts| texts.len() == 1).await;
    let stopped = clinic.stop(true).await;
    doctor.write("waits");
    doctor.until("one waits", |one| one.waiting == 1).await;
    let mut doctor = doctor.restart().await;
    let clinic = stopped.start().await;
    let texts = doctor.until_texts("both are there", |texts| texts.len() == 2).await;
    assert_eq!(texts, ["first", "waits"]);
    patient.until_texts("the second arrives", |texts| texts == ["first", "waits"]).await;
    patient.write("got it");
    doctor.until_texts("and the answer", |texts| texts == ["first", "waits", "got it"]).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_starts_without_the_server_shows_what_was_said_and_sends_once_what_is_written() {
    let (clinic, mut doctor, mut patient) = talking().await;
    doctor.write("first");
    patient.write("second");
    for desk in [&mut doctor, &mut patient] {
        desk.until_texts("both messages", |texts| texts.len() == 2).await;
    }
    let before = doctor.texts().await;
    let stopped = clinic.stop(true).await;
    let mut doctor = doctor.restart().await;
    let texts = doctor.until_texts("what was said", |texts| texts.len() == 2).await;
    assert_eq!(texts, before, "as it was");
    let hits = doctor.seat.engine.search("second".into(), None).await;
    assert_eq!(hits.len(), 1, "it is found, too");
    doctor.write("while nobody was there");
    doctor.until("it waits", |one| one.waiting == 1).await;
    // It waits on the disk: another start changes nothing.
    let mut doctor = doctor.restart().await;
    doctor.until("it still waits", |one| one.waiting == 1).await;
    doctor
        .seat
        .until("the person is told", |now| {
            matches!(now.connection, bedside_ui_contract::snapshot::ConnectionView::Waiting { .. })
        })
        .await;
    let clinic = stopped.start().await;
    patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    doctor.until("nothing waits", |one| one.waiting == 0 && one.total == 3).await;
    patient.write("got it");
    let texts = doctor.until_texts("and the answer", |texts| texts.len() == 4).await;
    assert_eq!(texts[2..], ["while nobody was there", "got it"]);
    assert_eq!(patient.until_texts("the same", |texts| texts.len() == 4).await, texts, "once, on both sides");
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_of_one_person_show_the_same_conversation() {
    let (clinic, mut doctor, mut patient) = talking().await;
    doctor.write("before the second device");
    patient.until_texts("one message", |texts| texts.len() == 1).await;
    let mut second = Desk::new(&clinic, "ana").await;
    second.open("osei").await;
    doctor
        .until_items("a second device is announced", |items| {
            items.iter().any(|item| {
                matches!(&item.content, MessageContent::Event {
                    event: ChatEvent::DeviceJoined { name, by_itself: true } } if name.starts_with("ana"))
            })
        })
        .await;
    doctor.write("to both");
    patient.until_texts("on the first", |texts| texts.last().is_some_and(|text| text == "to both")).await;
    second.until_texts("on the second, from its joining on", |texts| texts == ["to both"]).await;
    second.write("from the second");
    patient.until_texts("on the first", |texts| texts.len() == 3).await;
    let last = patient.items().await.pop().unwrap();
    assert!(last.own, "what one's other device wrote is one's own");
    second.read_all().await;
    patient.until("read here as well", |one| one.unread == 0).await;
    doctor.until_texts("at the doctor's", |texts| texts.len() == 3).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_device_leaves_every_conversation() {
    let (clinic, mut doctor, mut patient) = talking().await;
    let mut stolen = Desk::new(&clinic, "ana").await;
    stolen.open("osei").await;
    stolen.until("it reads along", |one| one.state == ConversationState::Ready).await;
    patient.until("both devices", |one| one.members[0].devices.len() == 2).await;
    patient.seat.ask(Command::LoadInstallations);
    let snapshot = patient.seat.until("both listed", |snapshot| snapshot.chat.installations.len() == 2).await;
    let other = snapshot.chat.installations.iter().find(|one| !one.current).unwrap();
    patient.seat.ask(Command::RevokeInstallation { device_id: other.device_id.clone() });
    doctor
        .until("one device is left", |one| {
            one.members.iter().find(|member| !member.own).is_some_and(|member| member.devices.len() == 1)
        })
        .await;
    patient.seat.until("it is gone from the list", |snapshot| snapshot.chat.installations.len() == 1).await;
    doctor.write("without the thief");
    patient
        .until_texts("it arrives", |texts| texts.last().is_some_and(|text| text == "without the thief"))
        .await;
    assert!(!stolen.texts().await.contains(&"without the thief".to_owned()));
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_compare_a_code_and_a_new_key_stops_them_until_they_look() {
    let (clinic, mut doctor, mut patient) = talking().await;
    for desk in [&mut doctor, &mut patient] {
        let view = desk.until("encrypted", |one| one.state == ConversationState::Ready).await;
        assert_eq!(view.protection, Protection::Encrypted);
    }
    let code = doctor.code().await;
    assert_eq!(code, patient.code().await);
    assert_eq!((code.emoji.len(), code.digits.len()), (7, 3));
    let ana = doctor.seat.person("ana");
    doctor.confirm(code, vec![ana]);
    doctor.until("verified", |one| one.protection == Protection::Verified).await;

    let mut second = Desk::new(&clinic, "ana").await;
    second.open("osei").await;
    let blocked = doctor.until("blocked", |one| one.state == ConversationState::Blocked).await;
    assert_eq!(blocked.changed[0].name, "ana of the clinic");
    assert_eq!(blocked.protection, Protection::Encrypted);
    doctor
        .seat
        .until("told loudly", |snapshot| {
            snapshot.notices.iter().any(|shown| matches!(shown.notice, Notice::KeyChanged { .. }))
        })
        .await;
    doctor.write("must not leave");
    doctor.seat.ask(Command::Call { user_id: doctor.seat.person("ana"), call_type: CallType::Voice });
    doctor
        .seat
        .until("refused, with the reason", |snapshot| {
            snapshot.notices.iter().any(|shown| {
                shown.notice == Notice::Failed { failure: bedside_ui_contract::Failure::KeyChanged }
            }) && snapshot.call.is_none()
        })
        .await;
    doctor.acknowledge_key_change();
    doctor
        .until("goes on, not verified", |one| {
            one.state == ConversationState::Ready && one.protection == Protection::Encrypted
        })
        .await;
    doctor.write("may leave");
    let texts = patient.until_texts("it arrives", |texts| !texts.is_empty()).await;
    assert_eq!(texts, ["may leave"]);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_lost_its_profile_comes_back_and_says_so() {
    let (clinic, mut doctor, mut patient) = talking().await;
    doctor.write("before");
    patient.until_texts("one message", |texts| texts.len() == 1).await;
    let mut patient = patient.restart_without_messages().await;
    patient.open("osei").await;
    patient
        .until_items("it says that it came back", |items| {
            items.iter().any(|item| item.content == MessageContent::Event { event: ChatEvent::Rejoined })
        })
        .await;
    doctor.write("after");
    patient.until_texts("what comes now", |texts| texts == ["after"]).await;
    patient.write("here again");
    doctor.until_texts("all three", |texts| texts == ["before", "after", "here again"]).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_in_a_call_stays_in_the_conversation() {
    let (clinic, mut doctor, mut patient) = in_a_call().await;
    doctor.write("can you hear me?");
    patient.until_texts("it arrives in the call", |texts| texts.len() == 1).await;
    doctor.seat.ask(Command::HangUp);
    patient.seat.until_call("it is over", |call| call.phase == CallPhase::Ended).await;
    patient.write("I could");
    doctor.until_texts("both are there", |texts| texts == ["can you hear me?", "I could"]).await;
    let in_call: Vec<_> = doctor.items().await.iter().map(|item| item.in_call).collect();
    assert_eq!(in_call, [true, false]);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_people_talk_in_a_group_with_a_name() {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    clinic.add("lind", Role::Clinician).await;
    clinic.befriend("lind", "ana").await;
    let mut second = Desk::new(&clinic, "lind").await;
    let members = vec![doctor.seat.person("ana"), second.id()];
    doctor.found("Ana's knee", members).await;
    for desk in [&mut patient, &mut second] {
        desk.join("Ana's knee").await;
    }
    second.write("I saw the pictures");
    for desk in [&mut doctor, &mut patient] {
        desk.until_texts("it arrives", |texts| texts == ["I saw the pictures"]).await;
    }
    patient.write("and?");
    second.until_texts("so does the answer", |texts| texts.len() == 2).await;
    // A computer that comes in later learns what it is called, and nobody is told again that it is.
    let mut late = Desk::new(&clinic, "lind").await;
    late.join("Ana's knee").await;
    let renamed = |items: &[MessageView]| {
        let named = |item: &&MessageView| {
            matches!(item.content, MessageContent::Event { event: ChatEvent::Renamed { .. } })
        };
        items.iter().filter(named).count()
    };
    assert_eq!(renamed(&doctor.items().await), 1);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_is_found_again() {
    let (clinic, doctor, mut patient) = talking().await;
    for text in ["Ibuprofen in the morning", "and water", "no IBUPROFEN at night"] {
        doctor.write(text);
    }
    patient.until_texts("three messages", |texts| texts.len() == 3).await;
    let hits = patient.seat.engine.search("ibuprofen".into(), None).await;
    let indexes: Vec<_> = hits.iter().map(|hit| hit.message.index).collect();
    assert_eq!(indexes, [2, 0], "newest first");
    let hits = patient.seat.engine.search("water".into(), Some(patient.conversation.clone())).await;
    assert_eq!(hits.len(), 1);
    clinic.close().await;
}
