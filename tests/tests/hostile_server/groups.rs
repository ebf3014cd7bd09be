//! Who is in a conversation: ghosts, forks, foreign groups, removals that never come.

use bedside_protocol::{
    EntryId, Sealed, Timestamp, UserId,
    conversation::{Appended, EntryKind, LogEntry, WaitingWelcome},
    socket::Event,
};
use bedside_testkit::desk::Desk;
use bedside_ui_contract::{
    Command, Failure, Notice,
    call::Protection,
    chat::{ChatEvent, ConversationState},
};
use serde_json::json;

use crate::{
    ghost::{Ghost, new_name, now},
    scene::{
        Scene, cannot_write, happenings, is_message, joined, others_devices, own_devices, refused, refuses,
        sees_coming, send, several, while_away,
    },
};

/// The server says that it has taken something.
fn taken() -> serde_json::Value {
    serde_json::to_value(Appended { position: 0, at: Timestamp(0) }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ghost_that_comes_in_from_outside_is_announced_to_both_and_changes_the_code() {
    let mut scene = Scene::talking().await;
    let before = scene.doctor.code().await;
    let mut ghost = Ghost::of(&scene.clinic, "ana").await;
    ghost.walk_in(&scene.conversation()).await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        sees_coming(desk, "ana of the clinic").await;
    }
    let view = scene.doctor.until("its device is listed", |one| others_devices(one) == 2).await;
    assert_eq!(view.protection, Protection::Encrypted);
    assert_eq!(view.check_code, None, "the old code is not shown for other members");
    assert_ne!(scene.doctor.code().await, before);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ghost_in_a_conversation_whose_code_was_compared_stops_everything_and_reads_nothing() {
    let mut scene = Scene::verified().await;
    let mut ghost = Ghost::of(&scene.clinic, "ana").await;
    ghost.walk_in(&scene.conversation()).await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        let view = desk.until("blocked", |one| one.state == ConversationState::Blocked).await;
        assert_eq!(view.changed[0].name, "ana of the clinic");
        assert_ne!(view.protection, Protection::Verified);
        desk.seat
            .until("told loudly", |snapshot| {
                snapshot.notices.iter().any(|shown| matches!(shown.notice, Notice::KeyChanged { .. }))
            })
            .await;
        cannot_write(desk).await;
    }
    assert!(scene.patient.until("the list", |_| true).await.changed[0].own, "it claims to be one's own");
    assert!(!ghost.read(&scene.conversation()).await.contains(&"must not leave".to_owned()));
    for desk in [&scene.doctor, &scene.patient] {
        desk.acknowledge_key_change();
    }
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_codes_were_compared_a_ghosts_words_are_marked_and_its_changes_refused() {
    let mut scene = Scene::verified().await;
    let conversation = scene.conversation();
    let hers = scene.patient.items().await.into_iter().find(|item| item.own).unwrap().id;
    let mut ghost = Ghost::of(&scene.clinic, "ana").await;
    ghost.walk_in(&conversation).await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.until("blocked", |one| one.state == ConversationState::Blocked).await;
    }
    ghost.read(&conversation).await;
    for body in [
        json!({"edit": {"message": hers, "text": "goodbye"}}),
        json!({"delete": {"message": hers}}),
        json!({"text": {"text": "it is me", "sent_at": 1}}),
    ] {
        ghost.say(&scene.clinic, &conversation, new_name(), &body).await;
    }
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.until_texts("the ghost is read", |texts| texts == ["good morning", "hello", "it is me"]).await;
        let items = desk.items().await;
        assert_eq!(refused(&items), 2);
        let marked: Vec<_> = items.iter().filter(|item| item.unchecked).map(|item| item.own).collect();
        assert_eq!(marked, [desk.id() == ghost.user.to_string()]);
    }
}

/// The patient has a second device, and the doctor has compared both.
pub(crate) async fn with_a_compared_second_device() -> (Scene, Ghost) {
    let mut scene = Scene::talking().await;
    let mut second = Ghost::of(&scene.clinic, "ana").await;
    second.walk_in(&scene.conversation()).await;
    scene.patient.until("both are hers", |one| own_devices(one) == 2).await;
    scene.doctor.until("both are hers", |one| others_devices(one) == 2).await;
    scene.patient.accept_own_devices().await;
    scene.compare().await;
    (scene, second)
}

/// The patient has put the device out. The genuine server lets it in no more; one that is in league with the thief can show
/// the doctor that it came.
async fn is_brought_back(scene: &mut Scene, stolen: &mut Ghost) {
    let conversation_id = scene.conversation().parse().unwrap();
    let insider = Ghost::of(&scene.clinic, "osei").await;
    let info = insider.api.group_info(conversation_id).await.unwrap();
    let commit = stolen.device.rejoin(&info.group_info.0, info.position).unwrap();
    let mut coming = Some(LogEntry {
        conversation_id,
        position: info.position,
        id: EntryId::random(),
        epoch: commit.epoch,
        kind: EntryKind::Commit,
        from_user: stolen.user,
        from_device: stolen.id,
        call_id: None,
        at: Timestamp(0),
        body: Some(commit.entry),
    });
    // Before whatever comes next.
    scene.before_doctor.twist_log(move |entry| coming.take().into_iter().chain([entry]).collect());
    scene.patient.write("something");
    let view = scene.doctor.until("blocked", |one| one.state == ConversationState::Blocked).await;
    assert_eq!(view.changed[0].name, "ana of the clinic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compared_device_that_was_revoked_is_news_when_the_server_brings_it_back() {
    let (mut scene, mut stolen) = with_a_compared_second_device().await;
    scene.patient.seat.ask(Command::RevokeInstallation { device_id: stolen.id.to_string() });
    let view = scene.doctor.until("it is out", |one| others_devices(one) == 1).await;
    assert_eq!((view.protection, view.changed), (Protection::Verified, Vec::new()));
    is_brought_back(&mut scene, &mut stolen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_where_the_doctor_learnt_of_the_removal_only_on_coming_back_from_outside() {
    let (mut scene, mut stolen) = with_a_compared_second_device().await;
    scene
        .before_doctor
        .twist_log(|entry| if entry.kind == EntryKind::Commit { Vec::new() } else { vec![entry] });
    scene.patient.seat.ask(Command::RevokeInstallation { device_id: stolen.id.to_string() });
    scene.patient.until("it is out", |one| own_devices(one) == 1).await;
    scene.before_doctor.twist_log(|entry| vec![entry]);
    scene.patient.write("which the doctor cannot read");
    let rejoined = |event: &ChatEvent| *event == ChatEvent::Rejoined;
    scene.doctor.until_items("the doctor is told", |items| happenings(items).iter().any(rejoined)).await;
    let view = scene.doctor.until("it is out", |one| others_devices(one) == 1).await;
    assert_eq!((view.protection, view.changed), (Protection::Verified, Vec::new()));
    is_brought_back(&mut scene, &mut stolen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_change_is_acknowledged_as_far_as_it_was_shown() {
    let mut scene = Scene::verified().await;
    let conversation = scene.conversation();
    Ghost::of(&scene.clinic, "ana").await.walk_in(&conversation).await;
    let shown = scene.doctor.until("blocked", |one| one.changed.len() == 1).await.changed;
    assert_eq!(shown[0].fingerprints.len(), 1);
    Ghost::of(&scene.clinic, "ana").await.walk_in(&conversation).await;
    scene.doctor.until("another one", |one| one.changed[0].fingerprints.len() == 2).await;
    let conversation_id = conversation.clone();
    scene.doctor.seat.ask(Command::AcknowledgeKeyChange { conversation_id, changes: shown });
    refuses(&mut scene.doctor, Failure::CodeChanged).await;
    cannot_write(&mut scene.doctor).await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.until("both are shown", |one| one.changed.iter().any(|one| one.fingerprints.len() == 2)).await;
        desk.acknowledge_key_change();
    }
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ghost_handed_out_among_the_key_packages_is_announced_and_listed_for_both() {
    let mut scene = Scene::signed_in().await;
    let mut ghost = Ghost::of(&scene.clinic, "ana").await;
    ghost.handed_out_too(&scene.before_doctor);
    scene.doctor.open("ana").await;
    let view = scene.doctor.until("two devices", |one| others_devices(one) == 2).await;
    assert_eq!(view.protection, Protection::Encrypted);
    let member = view.members.iter().find(|member| !member.own).unwrap();
    assert!(member.devices.iter().any(|device| device.device_id == ghost.id.to_string() && !device.verified));
    let said = |own| several("ana of the clinic", own, 2);
    scene.doctor.until_items("he is told", |items| happenings(items) == [said(false)]).await;
    scene.patient.open("osei").await;
    scene.patient.until("the patient sees it among her own", |one| own_devices(one) == 2).await;
    scene.patient.until_items("she is told as well", |items| happenings(items) == [said(true)]).await;
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_packages_of_somebody_else_or_expired_ones_are_not_used() {
    let mut scene = Scene::signed_in().await;
    let mut stranger = Ghost::of(&scene.clinic, "lind").await;
    let mut old = Ghost::of(&scene.clinic, "ana").await;
    let ana: UserId = old.user;
    let mut renamed = stranger.claimed(now());
    renamed.device_id = old.id;
    let served = json!([stranger.claimed(now()), renamed, old.claimed(now() - 100 * 24 * 3600)]);
    scene.before_doctor.answer_instead(move |_, path, _| {
        path.contains(&format!("/users/{ana}/key-packages/claim")).then(|| (200, served.clone()))
    });
    let peer = scene.doctor.seat.person("ana");
    scene.doctor.seat.ask(Command::StartConversation { user_ids: vec![peer.clone()], title: None });
    let snapshot = scene
        .doctor
        .seat
        .until("the conversation", |snapshot| {
            snapshot.chat.conversations.iter().any(|one| own_devices(one) > 0)
        })
        .await;
    let view = &snapshot.chat.conversations[0];
    assert_eq!((view.state, view.protection), (ConversationState::Preparing, Protection::Unprotected));
    assert_eq!(others_devices(view), 0, "none of them is in the group");
    scene.doctor.conversation.clone_from(&view.id);
    scene.doctor.write("for ana only");
    scene.doctor.until("it waits", |one| one.waiting == 1).await;
    scene.before_doctor.behave();
    // What a server says that has nothing to hide: now there are some.
    scene.before_doctor.say(&Event::KeyPackagesPublished { user_id: ana });
    scene.patient.open("osei").await;
    scene.patient.until_texts("it arrives", |texts| texts == ["for ana only"]).await;
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_kept_in_a_forked_past_notices_and_comes_back_in_sight_of_all() {
    let mut scene = Scene::talking().await;
    // The doctor is not told of the change, so that the two are in different histories.
    scene
        .before_doctor
        .twist_log(|entry| if entry.kind == EntryKind::Commit { Vec::new() } else { vec![entry] });
    let mut second = Desk::new(&scene.clinic, "ana").await;
    second.open("osei").await;
    scene.patient.until_items("the patient knows", |items| happenings(items).len() == 1).await;
    scene.before_doctor.twist_log(|entry| vec![entry]);
    scene.patient.write("in the new history");
    let rejoined = |event: &ChatEvent| *event == ChatEvent::Rejoined;
    scene.doctor.until_items("the doctor is told", |items| happenings(items).iter().any(rejoined)).await;
    sees_coming(&mut scene.patient, "osei of the clinic").await;
    assert_eq!(scene.patient.texts().await.last().map(String::as_str), Some("in the new history"));
    assert!(
        !scene.doctor.texts().await.contains(&"in the new history".to_owned()),
        "sealed for another history"
    );
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_changes_told_to_two_devices_leave_them_unable_to_read_each_other_and_both_are_told() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    // Each is told of another change in the same place: the doctor of the ghost's, the patient of none at all.
    let mut ghost = Ghost::of(&scene.clinic, "ana").await;
    scene
        .before_patient
        .twist_log(|entry| if entry.kind == EntryKind::Commit { Vec::new() } else { vec![entry] });
    ghost.walk_in(&conversation).await;
    sees_coming(&mut scene.doctor, "ana of the clinic").await;
    scene.before_patient.twist_log(|entry| vec![entry]);
    scene.doctor.write("who is there?");
    scene
        .patient
        .until_items("the patient is told that she had to come back", |items| {
            happenings(items).contains(&ChatEvent::Rejoined)
        })
        .await;
    scene.patient.until("and sees the ghost", |one| own_devices(one) == 2).await;
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_is_withheld_shows_as_a_device_that_is_still_leaving() {
    let mut scene = Scene::talking().await;
    let mut stolen = Desk::new(&scene.clinic, "ana").await;
    stolen.open("osei").await;
    scene.patient.until("two devices", |one| own_devices(one) == 2).await;
    scene.before_patient.answer_instead(|method, path, _| {
        let swallowed = method.as_str() == "POST" && path.ends_with("/commits");
        swallowed.then(|| (200, taken()))
    });
    scene.patient.seat.ask(Command::LoadInstallations);
    let listed = scene.patient.seat.until("both listed", |one| one.chat.installations.len() == 2).await;
    let other = listed.chat.installations.iter().find(|one| !one.current).unwrap().device_id.clone();
    scene.patient.seat.ask(Command::RevokeInstallation { device_id: other.clone() });
    let leaving = |snapshot: &bedside_ui_contract::Snapshot| {
        snapshot.chat.installations.iter().any(|one| one.device_id == other && one.leaving == 1)
    };
    scene.patient.seat.until("still leaving", leaving).await;
    let asked = scene.before_patient.asked("/commits");
    scene.before_patient.cut();
    scene
        .patient
        .seat
        .until("after all the server says", |one| {
            one.connection == bedside_ui_contract::snapshot::ConnectionView::Online
        })
        .await;
    let snapshot = scene.patient.seat.until("still leaving", leaving).await;
    assert!(snapshot.chat.installations.iter().any(|one| one.device_id == other));
    assert!(scene.before_patient.asked("/commits") >= asked, "it is asked for again");
    scene.before_patient.behave();
    scene.before_patient.cut();
    scene.doctor.until("gone at last", |one| others_devices(one) == 1).await;
    scene.patient.seat.until("gone from the list", |one| one.chat.installations.len() == 1).await;
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_welcome_into_a_group_of_the_same_name_does_not_move_a_member() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let mut ghost = Ghost::of(&scene.clinic, "osei").await;
    let ana: UserId = scene.doctor.seat.person("ana").parse().unwrap();
    let packages = ghost.api.claim_key_packages(ana).await.unwrap();
    let commit = ghost.found(&conversation, packages.into_iter().map(|one| one.key_package).collect());
    let before = scene.patient.until("the members", |_| true).await.members;
    let welcome = WaitingWelcome {
        id: EntryId::random(),
        conversation_id: conversation.parse().unwrap(),
        position: 1,
        welcome: commit.welcome,
    };
    scene.before_patient.say(&Event::GroupWelcome(welcome));
    scene.doctor.write("after the welcome");
    scene.patient.until_texts("what follows", |texts| texts.len() == 3).await;
    assert_eq!(scene.patient.until("the members", |_| true).await.members, before);
    assert_eq!(happenings(&scene.patient.items().await), []);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_exchanged_at_the_first_contact_are_never_shown_as_verified_and_give_another_code() {
    let mut scene = Scene::signed_in().await;
    let mut ghost = Ghost::of(&scene.clinic, "osei").await;
    ghost.handed_out_instead(&scene.before_patient);
    scene.patient.open("osei").await;
    let forged = scene.patient.code().await;
    let view = scene.patient.until("the members", |_| true).await;
    assert_eq!(view.protection, Protection::Encrypted);
    assert!(view.members.iter().all(|member| !member.verified || member.own));
    // The genuine doctor sees somebody at his side whom he does not know, and has another code to read out.
    scene.doctor.open("ana").await;
    scene.doctor.until("the ghost is listed", |one| own_devices(one) == 2).await;
    // Even if he takes it for his own.
    scene.doctor.accept_own_devices().await;
    assert_ne!(scene.doctor.code().await, forged);
    scene.clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_lured_into_the_servers_own_group_is_stopped_where_the_code_was_compared() {
    let mut scene = Scene::verified().await;
    let conversation = scene.conversation();
    // The server's group has devices that claim to be the doctor's and the patient's.
    let mut doctor = Ghost::of(&scene.clinic, "osei").await;
    let mut patient = Ghost::of(&scene.clinic, "ana").await;
    let commit = doctor.found(&conversation, vec![patient.claimed(now()).key_package]);
    let info = commit.group_info.unwrap();
    let line = &scene.before_patient;
    let genuine = line.genuine(&conversation).into_iter().find(is_message).unwrap();
    let end = line.told(&conversation).last().unwrap().position + 1;
    let (commits, mut offered) = tokio::sync::mpsc::unbounded_channel();
    line.answer_instead(move |method, path, body| {
        if path.ends_with("/group-info") {
            return Some((200, json!({"epoch": 1, "position": end + 1, "group_info": info})));
        }
        if method.as_str() == "POST" && path.ends_with("/commits") {
            let commit: Sealed = serde_json::from_value(body["body"].clone()).unwrap();
            commits.send(commit).unwrap();
            return Some((200, taken()));
        }
        None
    });
    // "This is of a later epoch" needs no key.
    let mut later = genuine.clone();
    let epoch = 4 + 1 + 16;
    later.body.as_mut().unwrap().0[epoch..epoch + 8].copy_from_slice(&900u64.to_be_bytes());
    line.append(later);
    let commit = offered.recv().await.unwrap();
    line.append(LogEntry { kind: EntryKind::Commit, body: Some(commit), ..genuine });
    let view =
        scene.patient.until("she is there, and stopped", |one| one.state == ConversationState::Blocked).await;
    assert_ne!(view.protection, Protection::Verified);
    assert_eq!(view.changed.len(), 2, "the doctor's key and one that claims to be hers");
    let seen = happenings(&scene.patient.items().await);
    assert!(
        seen.contains(&ChatEvent::Rejoined) && seen.contains(&joined("osei of the clinic", false)),
        "{seen:?}"
    );
    cannot_write(&mut scene.patient).await;
    scene.clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_conversation_with_the_same_person_does_not_replace_the_one_that_was_compared() {
    let mut scene = Scene::verified().await;
    let genuine = scene.conversation();
    let other = "00000000-0000-4000-8000-000000000000";
    scene.before_patient.twist_answers(move |path, mut answer| {
        if path.contains("/api/conversations?")
            && let Some(items) = answer["items"].as_array_mut()
            && let Some(first) = items.first()
        {
            let mut second = first.clone();
            second["id"] = other.into();
            second["founded"] = false.into();
            items.insert(0, second);
        }
        answer
    });
    // Of what is written now the app learns only from that list: once it is there, the list was taken.
    let doctor = &mut scene.doctor;
    while_away(&scene.before_patient, &mut scene.patient, async || {
        send(doctor, "in the one we know").await;
    })
    .await;
    scene.patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    let snapshot = scene.patient.seat.until("the conversations", |_| true).await;
    let ids: Vec<_> = snapshot.chat.conversations.iter().map(|one| one.id.clone()).collect();
    assert_eq!(ids, [genuine]);
    assert_eq!(snapshot.chat.conversations[0].protection, Protection::Verified);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_put_in_the_place_of_somebody_whose_code_was_compared() {
    let mut scene = Scene::verified().await;
    let osei = scene.patient.seat.person("osei");
    let lind = scene.patient.seat.person("lind");
    scene.before_patient.twist_answers(move |path, answer| {
        // Who wrote a message is another question: see `a_message_that_somebody_else_is_said_to_have_posted…`.
        if !path.contains("/api/conversations") || path.contains("/messages") {
            return answer;
        }
        let text = answer.to_string().replace(&osei, &lind).replace("\"direct\"", "\"group\"");
        serde_json::from_str(&text).unwrap()
    });
    // As above: the message is known from the list that says otherwise.
    let doctor = &mut scene.doctor;
    while_away(&scene.before_patient, &mut scene.patient, async || {
        send(doctor, "still me").await;
    })
    .await;
    scene.patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    let view = scene.patient.until("the conversation", |_| true).await;
    assert_eq!(view.peer_id, Some(scene.patient.seat.person("osei")));
    assert_eq!((view.protection, others_devices(&view)), (Protection::Verified, 1));
    assert_eq!(refused(&scene.patient.items().await), 0);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_of_a_checked_person_in_a_new_conversation_is_told_loudly() {
    let mut scene = Scene::verified().await;
    let mut ghost = Ghost::of(&scene.clinic, "osei").await;
    let package = serde_json::to_value([ghost.claimed(now())]).unwrap();
    let osei = ghost.user;
    scene.before_patient.answer_instead(move |_, path, _| {
        path.contains(&format!("/users/{osei}/key-packages/claim")).then(|| (200, package.clone()))
    });
    let users = vec![scene.patient.seat.person("osei"), scene.patient.seat.person("lind")];
    scene
        .patient
        .seat
        .ask(Command::StartConversation { user_ids: users, title: Some("second opinion".into()) });
    scene
        .patient
        .seat
        .until("blocked from the start", |snapshot| {
            snapshot.chat.conversations.iter().any(|one| {
                one.kind == bedside_protocol::ConversationKind::Group
                    && one.state == ConversationState::Blocked
                    && one.changed.iter().any(|change| change.name == "osei of the clinic")
            })
        })
        .await;
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn welcomes_into_conversations_that_are_none_are_not_asked_for_over_and_over() {
    let mut scene = Scene::talking().await;
    for _ in 0..200 {
        scene.before_patient.say(&Event::GroupWelcome(WaitingWelcome {
            id: EntryId::random(),
            conversation_id: bedside_protocol::ConversationId::random(),
            position: 0,
            welcome: Some(Sealed(vec![0; 100])),
        }));
    }
    scene.doctor.write("meanwhile");
    scene.patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    let asked = scene.before_patient.asked("/api/welcomes");
    assert!(asked <= 2, "asked {asked} times");
    scene.still_talk().await;
}
