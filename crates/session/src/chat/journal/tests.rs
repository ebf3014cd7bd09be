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

fn text(text: &str) -> Item {
    Item {
        id: Uuid::new_v4(),
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
        journal.append(&mut room, text(&format!("message {number}"))).unwrap();
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
fn a_message_is_found_by_its_id_and_its_text() {
    let (journal, room) = full(100);
    let item = journal.item(room.id(), 70).unwrap().unwrap();
    assert_eq!(journal.place(room.id(), item.id).unwrap(), Some(70));
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
        journal.append(&mut room, text("one")).unwrap();
        journal.append(&mut room, text("and two")).unwrap();
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
    journal.append(&mut room, text("three")).unwrap();
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
fn a_receipt_never_says_less_than_the_one_before_and_stands_for_one_message() {
    let (journal, room) = full(2);
    let [one, other] = [0, 1].map(|place| journal.item(room.id(), place).unwrap().unwrap().id);
    let receipt = |read| Receipt { user: UserId(Uuid::nil()), device: DeviceId(Uuid::nil()), read };
    let news = [false, false, true, false, true].map(|read| {
        let news = journal.write_receipt(room.id(), one, receipt(read)).unwrap();
        (news, journal.receipts(room.id(), one).unwrap())
    });
    let (came, seen) = (vec![receipt(false)], vec![receipt(true)]);
    assert_eq!(
        news,
        [(true, came.clone()), (false, came), (true, seen.clone()), (false, seen.clone()), (false, seen)]
    );
    assert_eq!(journal.receipts(room.id(), other).unwrap(), []);
}

#[test]
fn a_message_keeps_no_more_receipts_than_a_group_has_members() {
    let (journal, room) = full(1);
    let id = journal.item(room.id(), 0).unwrap().unwrap().id;
    let news = (0..MAX_MEMBERS + 2).map(|_| {
        let receipt = Receipt { user: UserId::random(), device: DeviceId::random(), read: true };
        journal.write_receipt(room.id(), id, receipt).unwrap()
    });
    assert_eq!(news.filter(|news| *news).count(), MAX_MEMBERS);
}

#[test]
fn absurd_times_that_are_on_the_disk_already_take_nothing_with_them() {
    let (journal, mut room) = full(3);
    for at in [i64::MAX, i64::MIN] {
        let item = Item { sent_at: Timestamp(at), ..text("out of time") };
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
