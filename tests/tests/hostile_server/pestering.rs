//! A server that gives a person no rest: calls without end, a device put out of its conversation over and over.

use bedside_call::rings::{FROM_ALL, FROM_ONE};
use bedside_protocol::{
    CallId, CallPhase, CallType, EndReason, EntryId, Pii, RoomId, Sealed, Timestamp, UserId,
    call::{CallRecord, Party},
    conversation::{LogEntry, WaitingWelcome},
    socket::Event,
};
use bedside_testkit::mallory::Mallory;
use bedside_ui_contract::{
    Command, Notice, Snapshot,
    call::Protection,
    chat::{ChatEvent, ConversationState, ConversationView, MessageView},
};

use crate::scene::{Scene, happenings, is_message, while_away};

/// A call that nobody makes.
fn made_up(caller: UserId, name: &str, callee: UserId) -> CallRecord {
    let party = |user_id, name: &str| Party { user_id, name: Pii::new(name.to_owned()), device_id: None };
    CallRecord {
        call_id: CallId::random(),
        room_id: RoomId::random(),
        caller: party(caller, name),
        callee: party(callee, "ana of the clinic"),
        call_type: CallType::Video,
        phase: CallPhase::Ringing,
        end_reason: None,
        appointment_id: None,
        initiated_at: Timestamp(0),
        ringing_at: Some(Timestamp(0)),
        accepted_at: None,
        connected_at: None,
        ended_at: None,
        ends_at: None,
        duration_s: 0,
    }
}

fn ring(line: &Mallory, call: &CallRecord) {
    line.say(&Event::CallRinging { call: call.clone() });
}

fn stop(line: &Mallory, call: CallRecord) {
    let call = CallRecord {
        phase: CallPhase::Missed,
        end_reason: Some(EndReason::Missed),
        ended_at: Some(Timestamp(1)),
        ..call
    };
    line.say(&Event::CallMissed { call });
}

/// The person reads that somebody called and it did not ring.
fn told_of(snapshot: &Snapshot, name: &str) -> bool {
    let quiet = Notice::NotRung { name: name.to_owned() };
    snapshot.notices.iter().any(|shown| shown.notice == quiet)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_the_server_invents_ring_a_few_times_and_are_then_noted_in_silence() {
    let mut scene = Scene::talking().await;
    let osei: UserId = scene.patient.seat.person("osei").parse().unwrap();
    let ana: UserId = scene.doctor.seat.person("ana").parse().unwrap();
    let strangers: Vec<_> = (FROM_ONE..FROM_ALL).map(|number| format!("stranger {number}")).collect();
    let strangers = strangers.iter().map(|name| (UserId::random(), name.as_str()));
    let callers = std::iter::repeat_n((osei, "osei of the clinic"), FROM_ONE as usize);
    for (turn, (caller, name)) in callers.chain(strangers).enumerate() {
        if turn == FROM_ONE as usize {
            ring(&scene.before_patient, &made_up(osei, "osei of the clinic", ana));
            let seen = scene.patient.seat.until("why it is silent", |one| told_of(one, "osei of the clinic"));
            assert!(seen.await.call.is_none(), "it rang once more for the same person");
        }
        let call = made_up(caller, name, ana);
        ring(&scene.before_patient, &call);
        let id = call.call_id.to_string();
        scene.patient.seat.until_call("it rings", |shown| shown.call_id == id).await;
        stop(&scene.before_patient, call);
        scene.patient.seat.until("it rings no more", |one| one.call.is_none()).await;
    }
    for number in 0..50 {
        let name = format!("nobody {number}");
        ring(&scene.before_patient, &made_up(UserId::random(), &name, ana));
        let seen = scene.patient.seat.until("why it is silent", |one| told_of(one, &name)).await;
        assert!(seen.call.is_none(), "it rang for somebody new");
        let lines =
            seen.notices.iter().filter(|shown| matches!(shown.notice, Notice::NotRung { .. })).count();
        assert_eq!(lines, 1, "one line, however many calls there are");
    }
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_put_out_of_its_conversation_over_and_over_stays_outside_and_says_so() {
    /// As often as it comes in again at once.
    const TIMES: usize = 10;
    let mut scene = Scene::talking().await;
    let genuine = scene.before_patient.genuine(&scene.conversation()).into_iter().find(is_message).unwrap();
    let rejoined = |items: &[MessageView]| {
        happenings(items).iter().filter(|event| **event == ChatEvent::Rejoined).count()
    };
    // "This is of a later epoch" needs no key.
    let put_out = |line: &Mallory| {
        const EPOCH: std::ops::Range<usize> = 21..29;
        let mut later: LogEntry = genuine.clone();
        later.body.as_mut().unwrap().0[EPOCH].copy_from_slice(&1_000_000_u64.to_be_bytes());
        line.append(later);
    };
    for time in 1..=TIMES {
        put_out(&scene.before_patient);
        scene.patient.until_items("she is back", |items| rejoined(items) == time).await;
        // Each time all seems well, so that it is not put off for long.
        let text = format!("well again, {time}");
        scene.doctor.write(&text);
        scene.patient.until_texts("all is well", |texts| texts.contains(&text)).await;
    }
    let asked = scene.before_patient.asked("/commits");
    put_out(&scene.before_patient);
    let view = scene.patient.until("what is wrong", |one| one.state == ConversationState::PushedOut).await;
    assert_eq!(view.protection, Protection::Unprotected);
    scene.patient.write("kept until then");
    scene.patient.until("it waits", |one| one.waiting == 1).await;
    // Whatever the server says now does not bring it in.
    put_out(&scene.before_patient);
    scene.before_patient.nudge(&scene.conversation());
    scene.before_patient.say(&Event::GroupWelcome(WaitingWelcome {
        id: EntryId::random(),
        conversation_id: scene.conversation().parse().unwrap(),
        position: 1,
        welcome: Some(Sealed(vec![0; 100])),
    }));
    while_away(&scene.before_patient, &mut scene.patient, async || {}).await;
    // Once this is there, the app has taken in all that was said before.
    let lind = scene.patient.seat.person("lind");
    scene.patient.seat.ask(Command::StartConversation { user_ids: vec![lind], title: None });
    let after = scene.patient.seat.until("another one", |one| one.chat.conversations.len() == 2).await;
    let state = |one: &ConversationView| (one.id == view.id).then_some(one.state);
    assert_eq!(after.chat.conversations.iter().find_map(state), Some(ConversationState::PushedOut));
    assert_eq!(scene.before_patient.asked("/commits"), asked);
    assert_eq!(rejoined(&scene.patient.items().await), TIMES);
    scene.clinic.close().await;
}
