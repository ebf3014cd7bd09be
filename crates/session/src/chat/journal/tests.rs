use std::sync::Arc;

use bedside_e2ee::store::MemoryStore;
use bedside_protocol::ConversationKind;

use super::*;

fn room() -> Room {
    Room::new(Conversation {
        id: ConversationId::random(),
        kind: ConversationKind::Direct,
        participants: Vec::new(),
        created_at: Timestamp(0),
        founded: true,
        epoch: 1,
        first_position: 0,
        next_position: 0,
        last_message_at: None,
    })
}

fn text(position: u64, text: &str) -> Item {
    Item {
        id: Uuid::new_v4(),
        position,
        sender: UserId::random(),
        device: DeviceId::random(),
        sent_at: Timestamp(0),
        content: Content::Text(text.into()),
        edited: false,
        reply_to: None,
        call: None,
        unchecked: false,
    }
}

fn texts(items: &[(u32, Item)]) -> Vec<String> {
    let text = |item: &Item| match &item.content {
        Content::Text(text) => text.reveal().clone(),
        _ => String::new(),
    };
    items.iter().map(|(_, item)| text(item)).collect()
}

fn full(count: u64) -> (Journal, Room) {
    let (journal, mut room) = (Journal::new(Arc::new(MemoryStore::default())), room());
    for number in 0..count {
        // Log positions have gaps where receipts are.
        journal.append(&mut room, text(number * 3, &format!("message {number}"))).unwrap();
    }
    (journal, room)
}

#[test]
fn any_stretch_of_the_list_is_read_by_place() {
    let (journal, room) = full(100);
    let items = journal.items(room.id(), room.total, 30, 5).unwrap();
    let wanted: Vec<_> = (30..35).map(|number| format!("message {number}")).collect();
    assert_eq!(texts(&items), wanted);
    assert_eq!(items[0].0, 30);
    assert_eq!(journal.items(room.id(), room.total, 98, 50).unwrap().len(), 2);
    assert!(journal.items(room.id(), room.total, 100, 1).unwrap().is_empty());
}

#[test]
fn a_message_is_found_by_its_id_its_position_and_its_text() {
    let (journal, room) = full(100);
    let item = journal.item(room.id(), 70).unwrap().unwrap();
    assert_eq!(journal.place(room.id(), item.id).unwrap(), Some(70));
    assert_eq!(journal.place_of(&room, 210).unwrap(), 70);
    assert_eq!(journal.place_of(&room, 211).unwrap(), 71);
    assert_eq!(journal.place_of(&room, u64::MAX).unwrap(), 100);
    let hits = journal.search(&room, "MESSAGE 7", 3).unwrap();
    assert_eq!(texts(&hits), ["message 79", "message 78", "message 77"]);
}

#[test]
fn what_comes_together_is_read_at_once_and_written_together_or_not_at_all() {
    let (journal, mut room) = full(3);
    let other = Journal::new(journal.local.clone());
    let before = (other.items(room.id(), 9, 0, 9).unwrap().len(), room.clone());
    for keep in [false, true] {
        journal.together();
        journal.append(&mut room, text(9, "one")).unwrap();
        journal.append(&mut room, text(9, "and two")).unwrap();
        assert_eq!(texts(&journal.items(room.id(), room.total, 3, 9).unwrap()), ["one", "and two"]);
        assert_eq!(other.items(room.id(), 9, 0, 9).unwrap().len(), before.0, "nothing is written yet");
        if keep {
            journal.commit().unwrap();
        } else {
            journal.abandon();
            room = before.1.clone();
        }
        let kept = if keep { 2 } else { 0 };
        assert_eq!(other.items(room.id(), 9, 3, 9).unwrap().len(), kept);
    }
    journal.append(&mut room, text(9, "three")).unwrap();
    assert_eq!(texts(&other.items(room.id(), room.total, 5, 9).unwrap()), ["three"]);
}

#[test]
fn a_change_stays_where_the_message_stands_and_a_restart_finds_all() {
    let (journal, mut room) = full(40);
    let changed = journal.change(&mut room, 33, |item| {
        item.content = Content::Deleted;
        true
    });
    assert!(changed.unwrap());
    journal.write_index(&[room.id()]).unwrap();
    let again = journal.rooms().unwrap().remove(0);
    assert_eq!((again.total, again.revision), (40, 41));
    let item = journal.item(room.id(), 33).unwrap().unwrap();
    assert!(matches!(item.content, Content::Deleted));
}

#[test]
fn absurd_times_that_are_on_the_disk_already_take_nothing_with_them() {
    let (journal, mut room) = full(3);
    for at in [i64::MAX, i64::MIN] {
        let item = Item { sent_at: Timestamp(at), ..text(9, "out of time") };
        let (id, sender) = (item.id, item.sender);
        room.preview =
            Some(Preview { id, sender, text: "out of time".into(), at: Timestamp(at), file: false });
        journal.append(&mut room, item).unwrap();
    }
    journal.write_index(&[room.id()]).unwrap();
    let again = journal.rooms().unwrap().remove(0);
    assert_eq!(again.preview.map(|preview| preview.at), Some(Timestamp::EARLIEST));
    let items = journal.items(room.id(), again.total, 0, 9).unwrap();
    let times: Vec<_> = items.iter().map(|(_, item)| item.sent_at).collect();
    assert_eq!(times[3..], [Timestamp::LATEST, Timestamp::EARLIEST]);
    assert_eq!(texts(&items)[2..], ["message 2", "out of time", "out of time"]);
}
