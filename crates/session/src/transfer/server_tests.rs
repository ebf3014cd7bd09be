//! Files by the server, against a small one on loopback that misbehaves when told to ([`super::test_server`]).

use bedside_e2ee::{
    file::{CHUNK_BYTES, SEALED_CHUNK_BYTES},
    store::MemoryStore,
};
use bedside_protocol::{ErrorCode, attachment::PART_BYTES};
use bedside_ui_contract::chat::{TransferFailure, TransferState};

use super::{
    TransferEvent, Transfers,
    test_server::{Fault, LONG, PATIENCE, Server, listing},
    testing::Folder,
};

#[tokio::test]
async fn a_file_arrives_as_it_was_sent() {
    let server = Server::start().await;
    let mut client = server.client(&MemoryStore::default()).await;
    for bytes in [0, 1, CHUNK_BYTES, PART_BYTES as usize, LONG] {
        let (here, there) = (Folder::new(), Folder::new());
        client.send(&here.file("../letter.pdf".trim_start_matches("../"), bytes));
        let file = client.uploaded().await;
        assert_eq!((file.name.as_str(), file.media_type.as_str()), ("letter.pdf", "application/pdf"));
        assert_eq!(file.bytes, bytes as u64);
        client.fetch(&file, &there);
        let path = client.saved().await;
        assert_eq!(path, there.path().join("letter.pdf"));
        assert!(there.read("letter.pdf") == here.read("letter.pdf"), "{bytes} bytes are others");
        assert_eq!(listing(&there), ["letter.pdf"]);
    }
    let sealed = server.office().files.values().any(|kept| {
        kept.bytes.windows(64).take(10_000).any(|bytes| bytes.iter().zip(1..).all(|(a, b)| *a == b))
    });
    assert!(!sealed, "the server can read along");
}

#[tokio::test]
async fn a_connection_cut_at_every_part_costs_no_byte() {
    let server = Server::start().await;
    let mut client = server.client(&MemoryStore::default()).await;
    let (here, there) = (Folder::new(), Folder::new());
    let path = here.file("film.mp4", LONG);
    for fault in [Fault::Cut(1), Fault::Cut(3_000_000), Fault::KeepAndCut] {
        // Every other request, so that each part is tried twice.
        // The same part is tried until it is there, then come the others: each is hit once or more.
        server.fail_next([fault.clone(), Fault::Cut(usize::MAX), fault.clone(), fault]);
        client.send(&path);
        let file = client.uploaded().await;
        client.fetch(&file, &there);
        let path = client.saved().await;
        assert!(std::fs::read(path).unwrap() == here.read("film.mp4"));
    }
}

#[tokio::test]
async fn a_download_goes_on_where_it_was_cut() {
    let server = Server::start().await;
    let mut client = server.client(&MemoryStore::default()).await;
    let (here, there) = (Folder::new(), Folder::new());
    client.send(&here.file("film.mp4", 10 * CHUNK_BYTES + 17));
    let file = client.uploaded().await;
    server.office().asked.clear();
    let chunk = SEALED_CHUNK_BYTES;
    server.fail_next([
        Fault::Cut(0),
        Fault::Cut(chunk - 1),
        Fault::Cut(3 * chunk + 1),
        Fault::Shorter(chunk),
    ]);
    client.fetch(&file, &there);
    client.saved().await;
    assert!(there.read("film.mp4") == here.read("film.mp4"));
    let asked: Vec<_> = server.office().asked.iter().map(|from| *from as usize / chunk).collect();
    // A cut connection may lose what was on its way; what is there is not fetched again.
    assert!(asked.is_sorted() && asked[0] == 0 && asked[1] == 0, "{asked:?}");
    assert!(*asked.last().unwrap() >= 9, "{asked:?}");
}

#[tokio::test]
async fn a_lying_server_gets_nothing_under_the_files_name() {
    let server = Server::start().await;
    let mut client = server.client(&MemoryStore::default()).await;
    let here = Folder::new();
    client.send(&here.file("scan.png", 3 * CHUNK_BYTES));
    let file = client.uploaded().await;
    for (fault, reason) in [
        (Fault::Change(0), TransferFailure::Damaged),
        (Fault::Change(3 * CHUNK_BYTES), TransferFailure::Damaged),
        (Fault::SayRange("bytes 1-2/3"), TransferFailure::Damaged),
        (Fault::SayRange("bytes 0-196655/4096"), TransferFailure::Damaged),
        (Fault::SayRange("rubbish"), TransferFailure::Damaged),
        (Fault::Shift(SEALED_CHUNK_BYTES as u64), TransferFailure::Damaged),
        (Fault::Refuse(ErrorCode::Forbidden), TransferFailure::Forbidden),
        (Fault::Refuse(ErrorCode::Expired), TransferFailure::Expired),
        (Fault::Refuse(ErrorCode::NotFound), TransferFailure::NotFound),
        (Fault::Refuse(ErrorCode::MethodNotAllowed), TransferFailure::ServerTrouble),
    ] {
        let there = Folder::new();
        server.office().faults.clear();
        server.fail_next([fault]);
        let id = client.fetch(&file, &there);
        assert_eq!(client.failed().await, reason);
        // What has come is of use where only the server had trouble, and is no file of anybody's yet.
        let left = listing(&there)
            .into_iter()
            .filter(|name| reason != TransferFailure::ServerTrouble || !name.ends_with(".part"));
        assert_eq!(left.collect::<Vec<_>>(), [""; 0], "after {reason:?}");
        // Wanted again, it begins anew and is whole.
        client.transfers.resume(id);
        client.saved().await;
        assert_eq!(listing(&there), ["scan.png"]);
    }
}

#[tokio::test]
async fn more_bytes_than_announced_are_not_taken() {
    let server = Server::start().await;
    let mut client = server.client(&MemoryStore::default()).await;
    let (here, there) = (Folder::new(), Folder::new());
    client.send(&here.file("scan.png", 1000));
    let file = client.uploaded().await;
    server.fail_next([Fault::Longer(1_000_000)]);
    client.fetch(&file, &there);
    assert_eq!(client.failed().await, TransferFailure::Damaged);
    assert!(listing(&there).is_empty());
    // Nor a file that is longer or shorter than its message says.
    for bytes in [999, 1001, 500_000] {
        let mut lie = file.clone();
        lie.bytes = bytes;
        client.fetch(&lie, &there);
        assert_eq!(client.failed().await, TransferFailure::Damaged);
        assert!(listing(&there).is_empty());
    }
}

#[tokio::test]
async fn a_server_that_only_ever_fails_is_given_up() {
    let server = Server::start().await;
    let mut client = server.client(&MemoryStore::default()).await;
    let here = Folder::new();
    server.fail_next(vec![Fault::Refuse(ErrorCode::Internal); 20]);
    client.send(&here.file("scan.png", 1000));
    assert_eq!(client.failed().await, TransferFailure::ServerTrouble);
    for (code, reason) in [
        (ErrorCode::StorageFull, TransferFailure::ServerFull),
        (ErrorCode::TooLarge, TransferFailure::TooLarge),
        (ErrorCode::Forbidden, TransferFailure::Forbidden),
        (ErrorCode::NotFound, TransferFailure::Forbidden),
        (ErrorCode::WrongDigest, TransferFailure::Damaged),
    ] {
        server.office().faults.clear();
        server.fail_next([Fault::Refuse(code)]);
        client.send(&here.path().join("scan.png"));
        assert_eq!(client.failed().await, reason);
    }
}

#[tokio::test]
async fn after_a_long_absence_one_trouble_of_the_server_is_not_the_end() {
    let server = Server::start().await;
    let mut client = server.client(&MemoryStore::default()).await;
    let (here, there) = (Folder::new(), Folder::new());
    client.send(&here.file("film.mp4", 3 * CHUNK_BYTES));
    let file = client.uploaded().await;
    let away = Fault::Refuse(ErrorCode::ShuttingDown);
    server.fail_next([vec![away; 20], vec![Fault::Refuse(ErrorCode::Internal); 3]].concat());
    client.fetch(&file, &there);
    client.saved().await;
    assert!(there.read("film.mp4") == here.read("film.mp4"));
}

#[tokio::test]
async fn what_has_come_of_a_file_stays_when_the_server_has_too_much_trouble() {
    let server = Server::start().await;
    let mut client = server.client(&MemoryStore::default()).await;
    let (here, there) = (Folder::new(), Folder::new());
    client.send(&here.file("film.mp4", 40 * CHUNK_BYTES));
    let file = client.uploaded().await;
    server.fail_next(
        [vec![Fault::Cut(30 * SEALED_CHUNK_BYTES)], vec![Fault::Refuse(ErrorCode::Internal); 20]].concat(),
    );
    let id = client.fetch(&file, &there);
    assert_eq!(client.failed().await, TransferFailure::ServerTrouble);
    server.office().faults.clear();
    server.office().asked.clear();
    client.transfers.resume(id);
    client.saved().await;
    assert!(there.read("film.mp4") == here.read("film.mp4"));
    let first = server.office().asked[0];
    assert!(first > 0, "it went on where it was");
}

#[tokio::test]
async fn a_restart_goes_on_with_what_was_under_way() {
    let server = Server::start().await;
    let (store, here, there) = (MemoryStore::default(), Folder::new(), Folder::new());
    let path = here.file("film.mp4", LONG);
    let mut client = server.client(&store).await;
    // The second part never gets an answer: the process ends there.
    client.send(&path);
    server.fail_next([Fault::Cut(usize::MAX), Fault::KeepAndCut]);
    client.state(TransferState::Waiting).await;
    assert_eq!(
        server.office().files.values().map(|kept| kept.bytes.len()).sum::<usize>(),
        2 * PART_BYTES as usize
    );
    drop(client);
    server.office().asked.clear();
    let mut client = server.client(&store).await;
    let file = client.uploaded().await;
    assert_eq!(server.office().asked, [2 * PART_BYTES], "it sent what was there");
    drop(client);
    // Told again until it is settled, with the same message.
    let mut client = server.client(&store).await;
    let (transfer, again) = client
        .wait(|event, _| match event {
            TransferEvent::Uploaded { transfer, file, .. } => Some((*transfer, file.clone())),
            _ => None,
        })
        .await;
    assert_eq!(again.sha256, file.sha256);
    client.transfers.settled(transfer);
    assert!(client.transfers.views().is_empty());
    drop(client);
    assert!(server.client(&store).await.transfers.views().is_empty());

    // A download, cut, and a new process.
    let mut client = server.client(&store).await;
    server.fail_next([Fault::Cut(20 * SEALED_CHUNK_BYTES), Fault::Silence]);
    client.fetch(&file, &there);
    client.state(TransferState::Waiting).await;
    drop(client);
    server.office().faults.clear();
    server.office().asked.clear();
    let mut client = server.client(&store).await;
    client.saved().await;
    assert!(there.read("film.mp4") == here.read("film.mp4"));
    assert_eq!(listing(&there), ["film.mp4"]);
    drop(client);
    assert!(server.client(&store).await.transfers.views().is_empty());
}

#[tokio::test]
async fn a_file_that_changed_is_not_sent_as_if_it_had_not() {
    let server = Server::start().await;
    let (store, here) = (MemoryStore::default(), Folder::new());
    let path = here.file("film.mp4", LONG);
    let before = path.metadata().unwrap().modified().unwrap();
    let mut client = server.client(&store).await;
    server.fail_next([Fault::Cut(10)]);
    let id = client.send(&path);
    client.state(TransferState::Waiting).await;
    drop(client);
    // Other content of the same length and time: only what is sealed shows it.
    let mut content = here.read("film.mp4");
    content[5] ^= 1;
    std::fs::write(&path, content).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    let mut client = server.client(&store).await;
    assert_eq!(client.failed().await, TransferFailure::Changed);
    // Wanted again, it is sent as it is now, under another key.
    client.transfers.resume(id);
    client.uploaded().await;
    // And a change while it waits shows at once.
    server.fail_next([Fault::Cut(10)]);
    client.send(&path);
    client.state(TransferState::Waiting).await;
    std::fs::write(&path, b"shorter").unwrap();
    assert_eq!(client.failed().await, TransferFailure::Changed);
}

#[tokio::test]
async fn a_pause_keeps_what_is_there_and_cancelling_leaves_nothing() {
    let server = Server::start().await;
    let (store, here, there) = (MemoryStore::default(), Folder::new(), Folder::new());
    let mut client = server.client(&store).await;
    client.send(&here.file("film.mp4", LONG));
    let file = client.uploaded().await;
    server.fail_next([Fault::Cut(9 * SEALED_CHUNK_BYTES)]);
    let id = client.fetch(&file, &there);
    server.fail_next([Fault::Silence]);
    client.wait(|_, transfers| (transfers.views()[0].done > 0).then_some(())).await;
    client.transfers.pause(id);
    client.state(TransferState::Paused).await;
    assert_eq!(listing(&there).len(), 1, "the beginning is kept");
    drop(client);
    let mut client = server.client(&store).await;
    assert_eq!(client.transfers.views()[0].state, TransferState::Paused, "a pause outlives the process");
    server.office().faults.clear();
    server.office().asked.clear();
    client.transfers.resume(id);
    client.saved().await;
    assert!(server.office().asked[0] > 0, "it began anew");

    std::fs::remove_file(there.path().join("film.mp4")).unwrap();
    server.fail_next([Fault::Cut(9 * SEALED_CHUNK_BYTES), Fault::Silence]);
    let id = client.fetch(&file, &there);
    client.wait(|_, transfers| (transfers.views()[0].done > 0).then_some(())).await;
    client.transfers.cancel(id);
    let gone = |transfers: &Transfers| !transfers.views().iter().any(|view| view.id == id.to_string());
    client.wait(|_, transfers| gone(transfers).then_some(())).await;
    assert!(listing(&there).is_empty());

    // An upload that is cancelled is removed from the server.
    server.office().faults.clear();
    server.fail_next([Fault::KeepAndCut]);
    let id = client.send(&here.path().join("film.mp4"));
    client.state(TransferState::Waiting).await;
    client.transfers.cancel(id);
    let deleted = async {
        while server.office().deleted.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, deleted).await.expect("the server is told");
}

#[tokio::test]
async fn two_messages_with_one_name_become_two_files() {
    let server = Server::start().await;
    let mut client = server.client(&MemoryStore::default()).await;
    let (here, there) = (Folder::new(), Folder::new());
    client.send(&here.file("scan.png", 1000));
    let file = client.uploaded().await;
    client.fetch(&file, &there);
    client.saved().await;
    client.fetch(&file, &there);
    client.saved().await;
    assert_eq!(listing(&there), ["scan (2).png", "scan.png"]);
}

/// A file system with 1 MiB of room, where this test may mount one.
#[cfg(target_os = "linux")]
struct SmallDisk(Folder);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = Folder::new();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(folder))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_said_and_left_as_it_was() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let server = Server::start().await;
    let mut client = server.client(&MemoryStore::default()).await;
    let here = Folder::new();
    client.send(&here.file("film.mp4", 3 * 1024 * 1024));
    let file = client.uploaded().await;
    client.fetch(&file, &disk.0);
    assert_eq!(client.failed().await, TransferFailure::DiskFull);
    assert!(listing(&disk.0).is_empty(), "the room is free again");
}
