//! Two computers in a call, their file channels joined by hand.

use std::path::Path;

use bedside_e2ee::store::MemoryStore;
use bedside_protocol::{ConversationId, EntryId};
use bedside_ui_contract::chat::TransferState;
use tokio::{sync::Semaphore, task::JoinHandle};

use super::*;
use crate::transfer::{
    FileSource, SharedFile, TransferEvent,
    test_server::{Client, PATIENCE, Server, listing},
    testing::Folder,
};

/// Two ends of a connection. It carries messages until it is cut, by hand or after so many, and no faster than `gate`
/// lets them through.
fn join(messages: usize, gate: Arc<Semaphore>) -> (FileLink, FileLink, JoinHandle<()>) {
    let (a_out, mut from_a) = mpsc::channel::<Bytes>(16);
    let (to_a, a_in) = mpsc::channel(16);
    let (b_out, mut from_b) = mpsc::channel::<Bytes>(16);
    let (to_b, b_in) = mpsc::channel(16);
    let cable = tokio::spawn(async move {
        for _ in 0..messages {
            let Ok(permit) = gate.acquire().await else { return };
            permit.forget();
            let carried = tokio::select! {
                Some(message) = from_a.recv() => to_b.send(message).await,
                Some(message) = from_b.recv() => to_a.send(message).await,
                else => return,
            };
            if carried.is_err() {
                return;
            }
        }
    });
    let end = |outgoing, incoming| FileLink { outgoing, incoming };
    (end(a_out, a_in), end(b_out, b_in), cable)
}

struct Call {
    server: Server,
    sender: Client,
    receiver: Client,
    id: CallId,
    here: Folder,
    there: Folder,
}

impl Call {
    async fn begin() -> Self {
        let server = Server::start().await;
        let sender = server.client(&MemoryStore::default()).await;
        let receiver = server.client(&MemoryStore::default()).await;
        Self { server, sender, receiver, id: CallId::random(), here: Folder::new(), there: Folder::new() }
    }

    fn connect(&self, messages: usize) -> JoinHandle<()> {
        self.connect_through(messages, Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)))
    }

    /// A connection that stands still after so many messages, until it is let go on.
    fn connect_for(&self, messages: usize) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(messages));
        // It ends with the test's runtime.
        drop(self.connect_through(usize::MAX, gate.clone()));
        gate
    }

    fn connect_through(&self, messages: usize, gate: Arc<Semaphore>) -> JoinHandle<()> {
        let (a, b, cable) = join(messages, gate);
        self.sender.transfers.attach(self.id, a);
        self.receiver.transfers.attach(self.id, b);
        cable
    }

    async fn offer(&mut self, path: &Path) -> (TransferId, EntryId, SharedFile) {
        let id = self.sender.transfers.offer_in_call(path.to_owned(), ConversationId::random(), self.id);
        self.sender
            .wait(|event, _| match event {
                TransferEvent::Offered { transfer, message_id, file, .. } if *transfer == id => {
                    Some((id, *message_id, file.clone()))
                }
                TransferEvent::Failed { reason, .. } => panic!("not offered: {reason:?}"),
                _ => None,
            })
            .await
    }

    async fn delivered(&mut self, id: TransferId) {
        self.sender
            .wait(|event, _| match event {
                TransferEvent::Delivered { transfer, .. } => (*transfer == id).then_some(()),
                TransferEvent::Failed { reason, .. } => panic!("failed: {reason:?}"),
                _ => None,
            })
            .await;
    }
}

#[tokio::test]
async fn a_file_goes_straight_to_the_other_person() {
    let mut call = Call::begin().await;
    let _cable = call.connect(usize::MAX);
    for bytes in [0, 1, CHUNK_BYTES, 5_000_000] {
        let path = call.here.file("scan.png", bytes);
        let (id, _, file) = call.offer(&path).await;
        assert_eq!(file.source, FileSource::Direct { transfer: id });
        call.receiver.fetch(&file, &call.there);
        let saved = call.receiver.saved().await;
        assert!(std::fs::read(&saved).unwrap() == call.here.read("scan.png"), "{bytes} bytes are others");
        call.delivered(id).await;
        std::fs::remove_file(saved).unwrap();
    }
    assert!(call.server.office().files.is_empty(), "the server had a part in it");
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_costs_no_byte() {
    let mut call = Call::begin().await;
    let path = call.here.file("film.mp4", 6_000_000);
    let (id, _, file) = call.offer(&path).await;
    call.receiver.fetch(&file, &call.there);
    for messages in [0, 1, 2, 20, 300] {
        call.connect(messages).await.unwrap();
        call.receiver.state(TransferState::Waiting).await;
        assert!(listing(&call.there).iter().all(|name| name.ends_with(".part")));
    }
    let done = call.receiver.transfers.views()[0].done;
    assert!(done > 0, "nothing was kept");
    let _cable = call.connect(usize::MAX);
    call.receiver.saved().await;
    call.delivered(id).await;
    assert!(call.there.read("film.mp4") == call.here.read("film.mp4"));
    assert_eq!(listing(&call.there), ["film.mp4"]);
}

#[tokio::test]
async fn what_was_not_fetched_when_the_call_ends_goes_by_the_server() {
    let mut call = Call::begin().await;
    let path = call.here.file("film.mp4", 6_000_000);
    let (_, message, file) = call.offer(&path).await;
    let conversation = ConversationId::random();
    let folder = call.there.path().to_owned();
    let fetching = call.receiver.transfers.fetch(file.clone(), conversation, message, folder.clone());
    // Half of it comes before the call ends.
    call.connect(400).await.unwrap();
    call.receiver.state(TransferState::Waiting).await;
    call.sender.transfers.call_ended(call.id);
    call.receiver.transfers.call_ended(call.id);
    let (again, moved) = call
        .sender
        .wait(|event, _| match event {
            TransferEvent::Uploaded { message_id, file, .. } => Some((*message_id, file.clone())),
            TransferEvent::Failed { reason, .. } => panic!("failed: {reason:?}"),
            _ => None,
        })
        .await;
    assert_eq!((again, moved.sha256), (message, file.sha256), "it is the same message and file");
    call.server.office().asked.clear();
    assert_eq!(call.receiver.transfers.fetch(moved, conversation, message, folder), fetching);
    call.receiver.saved().await;
    assert!(call.there.read("film.mp4") == call.here.read("film.mp4"));
    assert!(call.server.office().asked[0] > 0, "what had come in the call was fetched again");
}

#[tokio::test]
async fn a_file_that_was_declined_goes_nowhere() {
    let mut call = Call::begin().await;
    let _cable = call.connect(usize::MAX);
    let path = call.here.file("scan.png", 1000);
    let (_, _, file) = call.offer(&path).await;
    call.receiver.transfers.decline(&file);
    assert_eq!(call.sender.failed().await, TransferFailure::Stopped);
    call.sender.transfers.call_ended(call.id);
    // Another one, sent after it, is there alone.
    call.sender.send(&path);
    call.sender.uploaded().await;
    assert_eq!(call.server.office().files.len(), 1, "only the other one is on the server");
}

#[tokio::test]
async fn either_side_can_pause_and_stop() {
    let mut call = Call::begin().await;
    let gate = call.connect_for(300);
    let path = call.here.file("film.mp4", 20_000_000);
    let (id, _, file) = call.offer(&path).await;
    let fetching = call.receiver.fetch(&file, &call.there);
    let begun = |_: &TransferEvent, transfers: &crate::transfer::Transfers| {
        (transfers.views()[0].done > 0).then_some(())
    };
    call.receiver.wait(begun).await;
    call.sender.transfers.pause(id);
    call.sender.state(TransferState::Paused).await;
    call.receiver.transfers.pause(fetching);
    call.receiver.state(TransferState::Paused).await;
    call.sender.transfers.resume(id);
    call.receiver.transfers.resume(fetching);
    gate.add_permits(1_000_000);
    call.receiver.saved().await;
    call.delivered(id).await;

    let gate = call.connect_for(300);
    let (id, _, file) = call.offer(&path).await;
    call.receiver.fetch(&file, &call.there);
    call.receiver.wait(|_, transfers| (transfers.views()[0].done > 0).then_some(())).await;
    call.sender.transfers.cancel(id);
    gate.add_permits(1_000_000);
    assert_eq!(call.receiver.failed().await, TransferFailure::Stopped);
    assert_eq!(listing(&call.there), ["film.mp4"]);
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_offered_is_not_sent() {
    let mut call = Call::begin().await;
    let _cable = call.connect(usize::MAX);
    let path = call.here.file("scan.png", 1000);
    let (_, _, file) = call.offer(&path).await;
    std::fs::write(&path, b"another").unwrap();
    call.receiver.fetch(&file, &call.there);
    assert_eq!(call.receiver.failed().await, TransferFailure::Changed);
    assert_eq!(call.sender.failed().await, TransferFailure::Changed);
    assert!(listing(&call.there).is_empty());
}

/// Somebody at the other end who keeps to no rule.
struct Hostile {
    link: FileLink,
}

impl Hostile {
    fn at(client: &Client, call: CallId) -> Self {
        let (outgoing, from_them) = mpsc::channel(16);
        let (to_them, incoming) = mpsc::channel(16);
        client.transfers.attach(call, FileLink { outgoing, incoming });
        Self { link: FileLink { outgoing: to_them, incoming: from_them } }
    }

    async fn says(&self, message: Message) {
        self.link.outgoing.send(message.to_bytes()).await.unwrap();
    }

    async fn hears(&mut self) -> Message {
        let message = tokio::time::timeout(PATIENCE, self.link.incoming.recv()).await;
        Message::read(message.expect("an answer").expect("it goes on")).expect("a message")
    }

    async fn hears_want(&mut self) -> (TransferId, u32) {
        loop {
            if let Message::Want { transfer, round, .. } = self.hears().await {
                return (transfer, round);
            }
        }
    }
}

#[tokio::test]
async fn only_what_was_offered_in_this_call_is_given_away() {
    let mut call = Call::begin().await;
    let path = call.here.file("scan.png", 1000);
    let (offered, _, _) = call.offer(&path).await;
    let by_server = call.sender.transfers.send_by_server(path.clone(), ConversationId::random());
    call.sender.uploaded().await;
    let elsewhere = call.sender.transfers.offer_in_call(path, ConversationId::random(), CallId::random());
    let announced = |event: &TransferEvent, _: &crate::transfer::Transfers| match event {
        TransferEvent::Offered { transfer, .. } => (*transfer == elsewhere).then_some(()),
        _ => None,
    };
    call.sender.wait(announced).await;
    let mut hostile = Hostile::at(&call.sender, call.id);
    for transfer in [TransferId::random(), by_server, elsewhere] {
        hostile.says(Message::Want { transfer, round: 1, from_chunk: 0 }).await;
        assert_eq!(hostile.hears().await, Message::Gone { transfer, why: Why::Stopped });
    }
    // Beyond its end there is nothing, and it can still be had.
    hostile.says(Message::Want { transfer: offered, round: 1, from_chunk: 1 }).await;
    assert_eq!(hostile.hears().await, Message::Gone { transfer: offered, why: Why::Stopped });
    hostile.says(Message::Want { transfer: offered, round: 2, from_chunk: 0 }).await;
    assert!(
        matches!(hostile.hears().await, Message::Piece { transfer, round: 2, offset: 0, .. } if transfer == offered)
    );
}

#[tokio::test]
async fn a_receiver_that_says_nothing_gets_no_more_than_a_window() {
    let mut call = Call::begin().await;
    let path = call.here.file("film.mp4", 5_000_000);
    let (offered, _, _) = call.offer(&path).await;
    let mut hostile = Hostile::at(&call.sender, call.id);
    hostile.says(Message::Want { transfer: offered, round: 1, from_chunk: 0 }).await;
    let mut received = 0;
    hostile.says(Message::Want { transfer: TransferId::random(), round: 1, from_chunk: 0 }).await;
    loop {
        match hostile.hears().await {
            Message::Piece { bytes, .. } => received += bytes.len(),
            // The answer to the second question: nothing more was sent before it, and nothing comes after.
            Message::Gone { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(received <= 64 * 1024, "{received} bytes");
}

#[tokio::test]
async fn what_was_on_its_way_in_an_earlier_round_does_not_hold_up_the_next() {
    let mut call = Call::begin().await;
    let path = call.here.file("film.mp4", 5_000_000);
    let (offered, ..) = call.offer(&path).await;
    let mut other = Hostile::at(&call.sender, call.id);
    for wanted in 1..=3 {
        // Acknowledges nothing, as one that has paused does not, and wants the file again.
        other.says(Message::Want { transfer: offered, round: wanted, from_chunk: 0 }).await;
        loop {
            match other.hears().await {
                Message::Piece { round, offset: 0, .. } if round == wanted => break,
                Message::Piece { round, .. } => assert!(round <= wanted),
                unexpected => panic!("{unexpected:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_hostile_sender_fills_neither_memory_nor_disk() {
    let mut call = Call::begin().await;
    let mut file = crate::transfer::testing::shared(200_000);
    file.source = FileSource::Direct { transfer: TransferId::random() };
    let junk = |transfer, round, offset| Message::Piece {
        transfer,
        round,
        offset,
        bytes: vec![7; message::MAX_PIECE_BYTES].into(),
    };
    // Nobody asked.
    let hostile = Hostile::at(&call.receiver, call.id);
    for offset in 0..2_000 {
        hostile.says(junk(TransferId::random(), 1, offset)).await;
    }
    hostile.link.outgoing.send(vec![3; 60_000].into()).await.unwrap();
    assert!(listing(&call.there).is_empty());
    for lie in ["another place", "other bytes", "too many bytes"] {
        let mut hostile = Hostile::at(&call.receiver, call.id);
        call.receiver.fetch(&file, &call.there);
        let (transfer, round) = hostile.hears_want().await;
        // Of an earlier round: passed over.
        hostile.says(junk(transfer, round + 1, 5)).await;
        match lie {
            "another place" => hostile.says(junk(transfer, round, 1)).await,
            "other bytes" => {
                for place in 0..5 {
                    let offset = place * message::MAX_PIECE_BYTES as u64;
                    hostile.says(junk(transfer, round, offset)).await;
                }
            }
            _ => hostile.says(junk(transfer, round, u64::MAX)).await,
        }
        assert_eq!(call.receiver.failed().await, TransferFailure::Damaged, "{lie}");
        assert!(listing(&call.there).is_empty(), "{lie}");
    }
}
