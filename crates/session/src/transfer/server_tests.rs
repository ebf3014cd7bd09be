//! Files by the server, against a small one on loopback that misbehaves when told to.

use std::{
    collections::{HashMap, VecDeque},
    future::IntoFuture as _,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bedside_e2ee::{
    file::{CHUNK_BYTES, SEALED_CHUNK_BYTES},
    store::MemoryStore,
};
use bedside_protocol::{
    AttachmentId, ConversationId, DeviceId, EntryId, ErrorCode, Pii, Problem, Role, Secret, Timestamp,
    UserId,
    attachment::{Attachment, PART_BYTES, UploadPart},
    rest::SignedIn,
    user::{DeviceInfo, DeviceType, UserProfile},
};
use bedside_ui_contract::chat::{TransferFailure, TransferState};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{SharedFile, TransferEvent, TransferId, Transfers, testing::Folder};
use crate::{api::Api, secrets::MemoryStore as Secrets};

pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// A file of three parts.
pub(super) const LONG: usize = 2 * PART_BYTES as usize + 100_000;

/// What goes wrong with the next request.
#[derive(Clone)]
pub(super) enum Fault {
    /// The connection is cut after so many bytes of the request's or the answer's body.
    Cut(usize),
    /// The part is kept, and the connection cut before the answer.
    KeepAndCut,
    /// A refusal.
    Refuse(ErrorCode),
    /// The content's byte at this place of the answer is another.
    Change(usize),
    /// The range is said to be this.
    SayRange(&'static str),
    /// Bytes from somewhere else than asked for.
    Shift(u64),
    /// So many bytes too many.
    Longer(usize),
    /// The end comes early, in good order.
    Shorter(usize),
    /// The answer never comes.
    Silence,
}

#[derive(Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    total: u64,
    complete: bool,
    /// Every byte that ever came for a place, whole parts or not.
    seen: HashMap<u64, Vec<u8>>,
}

#[derive(Default)]
pub(super) struct Office {
    pub(super) files: HashMap<AttachmentId, Kept>,
    faults: VecDeque<Fault>,
    /// Offsets of parts and ranges, in the order of the requests.
    pub(super) asked: Vec<u64>,
    deleted: Vec<AttachmentId>,
}

pub(super) type Shared = Arc<Mutex<Office>>;

pub(super) struct Server {
    office: Shared,
    address: String,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        let office = Shared::default();
        let router = Router::new()
            .route("/api/auth/sign-in", post(sign_in))
            .route("/api/attachments/upload", post(upload))
            .route("/api/attachments/{id}", get(metadata).delete(delete))
            .route("/api/attachments/{id}/content", get(content))
            .with_state(office.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(axum::serve(listener, router).into_future());
        Self { office, address, task }
    }

    pub(super) fn office(&self) -> std::sync::MutexGuard<'_, Office> {
        self.office.lock().unwrap()
    }

    pub(super) fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.office().faults.extend(faults);
    }

    pub(super) async fn client(&self, store: &MemoryStore) -> Client {
        let api = Api::new(&self.address, Arc::new(Secrets::default())).unwrap();
        let device = DeviceInfo { id: None, name: Pii::from("test"), device_type: DeviceType::Desktop };
        api.sign_in(Pii::from("ana"), Secret::new("secret".into()), device).await.unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let transfers = Transfers::new(api, Arc::new(store.clone()), sender).unwrap();
        Client { transfers, events }
    }
}

pub(super) struct Client {
    pub(super) transfers: Transfers,
    pub(super) events: mpsc::UnboundedReceiver<TransferEvent>,
}

impl Client {
    /// The next event that `wanted` maps to something; whoever waits for the network is told that it is back.
    pub(super) async fn wait<T>(
        &mut self,
        mut wanted: impl FnMut(&TransferEvent, &Transfers) -> Option<T>,
    ) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the events go on");
                if let Some(found) = wanted(&event, &self.transfers) {
                    return found;
                }
                if self.transfers.views().iter().any(|view| view.state == TransferState::Waiting) {
                    self.transfers.network_back();
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("it happens")
    }

    pub(super) async fn uploaded(&mut self) -> SharedFile {
        self.wait(|event, _| match event {
            TransferEvent::Uploaded { file, .. } => Some(file.clone()),
            TransferEvent::Failed { reason, .. } => panic!("failed: {reason:?}"),
            _ => None,
        })
        .await
    }

    pub(super) async fn saved(&mut self) -> PathBuf {
        self.wait(|event, _| match event {
            TransferEvent::Saved { path, .. } => Some(path.clone()),
            TransferEvent::Failed { reason, .. } => panic!("failed: {reason:?}"),
            _ => None,
        })
        .await
    }

    pub(super) async fn failed(&mut self) -> TransferFailure {
        self.wait(|event, _| match event {
            TransferEvent::Failed { reason, .. } => Some(*reason),
            TransferEvent::Uploaded { .. } | TransferEvent::Saved { .. } => panic!("it went well"),
            _ => None,
        })
        .await
    }

    pub(super) async fn state(&mut self, wanted: TransferState) {
        self.wait(|_, transfers| transfers.views().iter().any(|view| view.state == wanted).then_some(()))
            .await;
    }

    pub(super) fn send(&self, path: &std::path::Path) -> TransferId {
        self.transfers.send_by_server(path.to_owned(), ConversationId::random())
    }

    pub(super) fn fetch(&self, file: &SharedFile, folder: &Folder) -> TransferId {
        let folder = folder.path().to_owned();
        self.transfers.fetch(file.clone(), ConversationId::random(), EntryId::random(), folder)
    }
}

/// Everything in a folder, by name.
pub(super) fn listing(folder: &Folder) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

async fn sign_in() -> Json<SignedIn> {
    Json(SignedIn {
        access_token: Secret::new("access".into()),
        access_expires_at: Timestamp(i64::MAX),
        refresh_token: Secret::new("refresh".into()),
        user: UserProfile {
            id: UserId::random(),
            name: Pii::from("Ana"),
            role: Role::Patient,
            specialty: None,
        },
        device_id: DeviceId::random(),
    })
}

fn refuse(code: ErrorCode) -> Response {
    let problem = Problem::new(code);
    (StatusCode::from_u16(problem.status).unwrap(), Json(problem)).into_response()
}

/// The two fields of a multipart body that is complete.
fn fields(headers: &HeaderMap, body: &[u8]) -> (UploadPart, Vec<u8>) {
    let kind = headers[header::CONTENT_TYPE].to_str().unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let find = |bytes: &[u8], what: &str| bytes.windows(what.len()).position(|at| at == what.as_bytes());
    let head = |bytes: &[u8]| find(bytes, "\r\n\r\n").unwrap() + 4;
    let rest = &body[head(body)..];
    let end = find(rest, &format!("\r\n--{boundary}\r\n")).unwrap();
    let part = serde_json::from_slice(&rest[..end]).unwrap();
    let rest = &rest[end + 2..];
    let rest = &rest[head(rest)..];
    let content = rest.strip_suffix(format!("\r\n--{boundary}--\r\n").as_bytes()).unwrap();
    (part, content.to_vec())
}

async fn upload(State(office): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let fault = office.lock().unwrap().faults.pop_front();
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(Ok(piece)) = stream.next().await {
        bytes.extend_from_slice(&piece);
        let cut = matches!(fault, Some(Fault::Cut(after)) if bytes.len() >= after);
        // hyper ends the connection without an answer.
        assert!(!cut, "the connection is cut, as it was to be");
    }
    let (part, content) = fields(&parts.headers, &bytes);
    let mut office = office.lock().unwrap();
    office.asked.push(part.offset);
    if let Some(Fault::Refuse(code)) = fault {
        return refuse(code);
    }
    let kept = office.files.entry(part.id).or_default();
    // The promise on which sealing by position rests.
    let before = kept.seen.insert(part.offset, content.clone());
    assert!(before.is_none_or(|before| before == content), "two contents were sealed with one key");
    kept.total = part.total_bytes;
    if part.offset == kept.bytes.len() as u64 {
        kept.bytes.extend_from_slice(&content);
    } else if part.offset + content.len() as u64 > kept.bytes.len() as u64 {
        return refuse(ErrorCode::WrongOffset);
    }
    if kept.bytes.len() as u64 == kept.total {
        if part.sha256 != Some(hex(&kept.bytes)) {
            return refuse(ErrorCode::WrongDigest);
        }
        kept.complete = true;
    }
    if let Some(Fault::KeepAndCut) = fault {
        drop(office);
        panic!("the connection is cut, as it was to be");
    }
    let offset = part.offset + content.len() as u64;
    Json(describe(part.id, kept, offset)).into_response()
}

fn hex(bytes: &[u8]) -> String {
    super::shared::base16(&Sha256::digest(bytes).into())
}

fn describe(id: AttachmentId, kept: &Kept, received: u64) -> Attachment {
    Attachment {
        id,
        total_bytes: kept.total,
        received_bytes: received,
        complete: kept.complete,
        sha256: kept.complete.then(|| hex(&kept.bytes)),
        access_control: Default::default(),
        uploaded_at: Timestamp(1),
        expires_at: Timestamp(2),
    }
}

async fn metadata(State(office): State<Shared>, Path(id): Path<AttachmentId>) -> Response {
    let office = office.lock().unwrap();
    match office.files.get(&id) {
        Some(kept) => Json(describe(id, kept, kept.bytes.len() as u64)).into_response(),
        None => refuse(ErrorCode::NotFound),
    }
}

async fn delete(State(office): State<Shared>, Path(id): Path<AttachmentId>) -> Response {
    let mut office = office.lock().unwrap();
    office.files.remove(&id);
    office.deleted.push(id);
    StatusCode::NO_CONTENT.into_response()
}

async fn content(State(office): State<Shared>, Path(id): Path<AttachmentId>, headers: HeaderMap) -> Response {
    let (fault, from, whole) = {
        let mut office = office.lock().unwrap();
        let range = headers[header::RANGE].to_str().unwrap().strip_prefix("bytes=").unwrap();
        let from: u64 = range.strip_suffix('-').unwrap().parse().unwrap();
        office.asked.push(from);
        let fault = office.faults.pop_front();
        let Some(kept) = office.files.get(&id) else { return refuse(ErrorCode::NotFound) };
        (fault, from, kept.bytes.clone())
    };
    let total = whole.len();
    let mut range = format!("bytes {from}-{}/{total}", total - 1);
    let mut bytes = whole[from as usize..].to_vec();
    let mut cut = None;
    match fault {
        Some(Fault::Cut(after)) => cut = Some(after),
        Some(Fault::Refuse(code)) => return refuse(code),
        Some(Fault::Change(at)) => bytes[at] ^= 1,
        Some(Fault::SayRange(said)) => said.clone_into(&mut range),
        Some(Fault::Shift(by)) => bytes.rotate_left(by as usize),
        Some(Fault::Longer(by)) => bytes.extend(vec![0; by]),
        Some(Fault::Shorter(by)) => bytes.truncate(bytes.len() - by),
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::KeepAndCut) | None => {}
    }
    let end = bytes.len();
    let pieces: Vec<Result<Bytes, std::io::Error>> = match cut {
        Some(after) => {
            vec![Ok(bytes[..after.min(end)].to_vec().into()), Err(std::io::ErrorKind::ConnectionReset.into())]
        }
        None => bytes.chunks(100_000).map(|piece| Ok(piece.to_vec().into())).collect(),
    };
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(header::CONTENT_RANGE, range)
        .body(body)
        .unwrap()
}

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
        (Fault::Refuse(ErrorCode::NotFound), TransferFailure::Expired),
        (Fault::Refuse(ErrorCode::MethodNotAllowed), TransferFailure::ServerTrouble),
    ] {
        let there = Folder::new();
        server.office().faults.clear();
        server.fail_next([fault]);
        let id = client.fetch(&file, &there);
        assert_eq!(client.failed().await, reason);
        assert!(listing(&there).is_empty(), "{:?} is left after {reason:?}", listing(&there));
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
        (ErrorCode::WrongDigest, TransferFailure::Damaged),
    ] {
        server.office().faults.clear();
        server.fail_next([Fault::Refuse(code)]);
        client.send(&here.path().join("scan.png"));
        assert_eq!(client.failed().await, reason);
    }
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
