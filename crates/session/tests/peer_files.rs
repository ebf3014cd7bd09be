//! Files over the data channel of a real connection on loopback.

use std::sync::Arc;

use bedside_e2ee::store::MemoryStore;
use bedside_protocol::{CallId, ConversationId, EntryId};
use bedside_session::{
    api::Api,
    peer::{NetworkOptions, PeerEvent},
    secrets,
    transfer::{SharedFile, TransferEvent, Transfers},
};
use bedside_testkit::peers::{self, PATIENCE, Side};
use tempfile::TempDir;
use tokio::sync::mpsc;

const BYTES: usize = 30_000_000;

struct End {
    transfers: Transfers,
    events: mpsc::UnboundedReceiver<TransferEvent>,
    folder: TempDir,
}

impl End {
    fn new() -> Self {
        // There is no server: whatever goes, goes directly.
        let api =
            Api::new("http://127.0.0.1:1", Arc::new(secrets::MemoryStore::default())).expect("an address");
        let (sender, events) = mpsc::unbounded_channel();
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            transfers: Transfers::new(api, Arc::new(MemoryStore::default()), sender).expect("an empty store"),
            events,
            folder,
        }
    }

    async fn wait<T>(&mut self, mut wanted: impl FnMut(&Self, &TransferEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("it goes on");
                if let TransferEvent::Failed { reason, .. } = &event {
                    panic!("failed: {reason:?}");
                }
                if let Some(found) = wanted(self, &event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("it happens")
    }
}

async fn attach(end: &End, side: &mut Side, call: CallId) {
    let open = |event| matches!(event, PeerEvent::FilesOpen).then_some(());
    side.wait_for("channel for files", open).await;
    end.transfers.attach(call, side.peer.take_files().expect("it was not taken"));
}

async fn connect(sender: &End, receiver: &End, call: CallId) -> (Side, Side) {
    let (mut a, mut b) = peers::connect(NetworkOptions::loopback(), NetworkOptions::loopback()).await;
    attach(sender, &mut a, call).await;
    attach(receiver, &mut b, call).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_survives_a_connection_that_ends_in_the_middle() {
    let (mut sender, mut receiver, call) = (End::new(), End::new(), CallId::random());
    let content: Vec<u8> = (0..BYTES).map(|place| (place * 7 + place / 255) as u8).collect();
    let path = sender.folder.path().join("film.mp4");
    std::fs::write(&path, &content).unwrap();
    let (a, b) = connect(&sender, &receiver, call).await;
    let _ = sender.transfers.offer_in_call(path, ConversationId::random(), call);
    let file: SharedFile = sender
        .wait(|_, event| match event {
            TransferEvent::Offered { file, .. } => Some(file.clone()),
            _ => None,
        })
        .await;
    let folder = receiver.folder.path().to_owned();
    let _ = receiver.transfers.fetch(file, ConversationId::random(), EntryId::random(), folder);
    receiver.wait(|end, _| (end.transfers.views()[0].done > 1_000_000).then_some(())).await;
    let before = receiver.transfers.views()[0].done;
    assert!(before < BYTES as u64, "it was too fast to be cut");
    a.peer.close().await;
    b.peer.close().await;
    let (c, mut d) = connect(&sender, &receiver, call).await;
    // What the engines tell each other gets through beside it.
    c.say(b"muted").await;
    assert_eq!(d.message().await, "muted");
    let saved = receiver
        .wait(|_, event| match event {
            TransferEvent::Saved { path, .. } => Some(path.clone()),
            _ => None,
        })
        .await;
    assert!(std::fs::read(saved).unwrap() == content);
    sender.wait(|_, event| matches!(event, TransferEvent::Delivered { .. }).then_some(())).await;
    c.peer.close().await;
    d.peer.close().await;
}
