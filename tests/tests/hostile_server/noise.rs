//! Things that make no sense: cut, garbled, absurd, endless.

use bedside_protocol::{
    ConversationId, DeviceId, EntryId, Sealed, Timestamp, UserId,
    conversation::{EntryKind, KeyPackagesLeft, LogEntry, WaitingWelcome},
    socket::Event,
};
use bedside_ui_contract::snapshot::ConnectionView;
use serde_json::{Value, json};

use crate::scene::{Scene, happenings, is_message, refused};

fn entry(conversation: &str, position: u64, body: Option<Vec<u8>>) -> LogEntry {
    LogEntry {
        conversation_id: conversation.parse().unwrap(),
        position,
        id: EntryId::random(),
        epoch: u64::MAX,
        kind: EntryKind::Message,
        from_user: UserId::random(),
        from_device: DeviceId::random(),
        call_id: None,
        at: Timestamp(i64::MIN),
        body: body.map(Sealed),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_cut_short_or_of_random_bytes_are_refused_and_the_talk_goes_on() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let line = &scene.before_patient;
    let genuine = line.genuine(&conversation).into_iter().find(is_message).unwrap().body.unwrap().0;
    let bodies = [
        Vec::new(),
        vec![0],
        vec![255; 300],
        genuine[..genuine.len() / 2].to_vec(),
        [&genuine[..], &[0]].concat(),
        vec![7; 1024 * 1024 + 1],
    ];
    let count = bodies.len();
    for body in bodies {
        line.append(entry(&conversation, 0, Some(body)));
    }
    let items = scene.patient.until_items("all refused", |items| refused(items) as usize == count).await;
    assert_eq!(happenings(&items).len(), 1, "in one line");
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_that_cannot_be_change_nothing() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let line = &scene.before_patient;
    for position in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 32, 1000] {
        line.say(&Event::of_entry(entry(&conversation, position, Some(vec![1, 2, 3]))));
        line.say(&Event::of_entry(entry(&conversation, position, None)));
        line.say(&Event::GroupWelcome(WaitingWelcome {
            id: EntryId::random(),
            conversation_id: conversation.parse().unwrap(),
            position,
            welcome: Some(Sealed(vec![1])),
        }));
    }
    scene.doctor.write("undisturbed");
    scene.patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    assert_eq!(happenings(&scene.patient.items().await), []);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_none_are_passed_over() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let line = &scene.before_patient;
    let deep = "[".repeat(100_000);
    for text in ["", "{", "null", "[]", "{\"seq\": -1}", "{\"re\": \"x\"}", "{\"seq\":1e400}", &deep] {
        line.say_raw(text);
    }
    let good = serde_json::to_value(entry(&conversation, 5, Some(vec![1]))).unwrap();
    for (name, value) in [
        ("position", json!("-1")),
        ("position", json!(-1)),
        ("position", json!(1.5)),
        ("body", json!("not base64!")),
        ("body", json!({"a": []})),
        ("epoch", json!(null)),
        ("kind", json!("unheard_of")),
        ("conversation_id", json!("../../etc")),
        ("at", json!("yesterday")),
    ] {
        let mut data = good.clone();
        data[name] = value;
        line.say_json(json!({"type": "chat:message", "data": data}));
    }
    line.say_json(json!({"type": "group:welcome", "data": {}}));
    line.say_json(json!({"type": "never:heard", "data": [1, 2, 3]}));
    line.say_json(json!({"type": "key_packages:low", "data": {"left": u64::MAX, "last_resort": true}}));
    scene.doctor.write("undisturbed");
    scene.patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    assert_eq!(happenings(&scene.patient.items().await), []);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_without_end_and_absurd_answers_are_not_followed() {
    let mut scene = Scene::talking().await;
    scene.before_patient.twist_answers(|_, mut answer| {
        if answer.get("pages").is_some() {
            answer["pages"] = u64::MAX.into();
            answer["total"] = u64::MAX.into();
        }
        for item in answer.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            for name in ["next_position", "epoch"] {
                if item.get("participants").is_some() {
                    item[name] = u64::MAX.into();
                }
            }
        }
        answer
    });
    scene.before_patient.cut();
    scene.patient.seat.until("offline", |one| one.connection != ConnectionView::Online).await;
    scene.doctor.write("undisturbed");
    scene.patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    let pages = scene.before_patient.asked("/api/welcomes?page=");
    assert!(pages <= 4, "{pages} pages were asked for");
    scene.before_patient.behave();
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_end_are_not_read_and_names_without_end_are_cut() {
    let mut scene = Scene::talking().await;
    scene.before_patient.twist_answers(|path, mut answer| {
        if path.contains("/api/devices") {
            answer["padding"] = "x".repeat(20 * 1024 * 1024).into();
        }
        for item in answer.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            for person in item.get_mut("participants").and_then(Value::as_array_mut).into_iter().flatten() {
                person["name"] = "Ö".repeat(100_000).into();
            }
        }
        answer
    });
    scene.before_patient.cut();
    scene.patient.seat.until("offline", |one| one.connection != ConnectionView::Online).await;
    scene.doctor.write("undisturbed");
    scene.patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    let view = scene.patient.until("the list", |one| one.title.chars().count() == 200).await;
    assert!(view.title.chars().all(|letter| letter == 'Ö'));
    scene.before_patient.behave();
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_always_wants_key_packages_gets_a_few_and_then_has_to_wait() {
    let mut scene = Scene::talking().await;
    scene.before_patient.twist_answers(|path, answer| {
        if path.contains("/api/key-packages") { json!({"left": 0, "last_resort": false}) } else { answer }
    });
    for _ in 0..20 {
        let left = KeyPackagesLeft { left: 0, last_resort: false };
        scene.before_patient.say(&Event::KeyPackagesLow(left));
    }
    scene.doctor.write("undisturbed");
    scene.patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    scene.patient.write("still here");
    scene.doctor.until_texts("the answer", |texts| texts.len() == 4).await;
    let made = scene.before_patient.asked("PUT /api/key-packages");
    assert!((1..=3).contains(&made), "{made} times key packages were made");
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_make_no_sense_lose_nothing() {
    let mut scene = Scene::talking().await;
    let id: ConversationId = scene.conversation().parse().unwrap();
    let mut turn = 0;
    scene.before_patient.answer_instead(move |_, path, _| {
        turn += 1;
        let nonsense = [json!(null), json!([]), json!({"items": 7}), json!("x"), json!({"position": -5})];
        path.contains(&id.to_string()).then(|| (200, nonsense[turn % nonsense.len()].clone()))
    });
    // What it is not told by itself it has to ask for, and gets nonsense.
    scene.before_patient.nudge(&scene.conversation());
    scene.doctor.write("one");
    scene.patient.write("two");
    scene.before_patient.behave();
    scene.before_patient.cut();
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.until_texts("both", |texts| texts.len() == 4).await;
    }
    scene.still_talk().await;
}
