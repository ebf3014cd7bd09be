//! A small server on loopback for the tests of files; it misbehaves when told to.

use std::{
    collections::{HashMap, VecDeque},
    future::IntoFuture as _,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bedside_e2ee::store::MemoryStore;
use bedside_protocol::{
    AttachmentId, ConversationId, EntryId, ErrorCode, Problem, Timestamp,
    attachment::{Attachment, PART_BYTES, UploadPart},
};
use bedside_ui_contract::chat::{TransferFailure, TransferState};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{SharedFile, TransferEvent, TransferId, Transfers, testing::Folder};
use crate::api::testing;

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
    pub(super) bytes: Vec<u8>,
    total: u64,
    complete: bool,
    /// Every byte that ever came for a place, whole parts or not.
    seen: HashMap<u64, Vec<u8>>,
}

#[derive(Default)]
pub(super) struct Office {
    pub(super) files: HashMap<AttachmentId, Kept>,
    pub(super) faults: VecDeque<Fault>,
    /// Offsets of parts and ranges, in the order of the requests.
    pub(super) asked: Vec<u64>,
    pub(super) deleted: Vec<AttachmentId>,
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
        let router = testing::sign_in_route()
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
        let api = testing::signed_in(&self.address).await;
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

pub(super) fn hex(bytes: &[u8]) -> String {
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
