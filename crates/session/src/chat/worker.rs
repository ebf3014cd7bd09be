//! The messenger's task: one input after the other, everything written before anything is said.
//!
//! [`groups`] brings this device into its conversations, [`reading`] takes what the logs bring, [`writing`] says what is
//! to be said, [`commands`] does what the person wants, [`files`] sends and fetches files, [`view`] shows it all.

mod commands;
mod files;
mod groups;
mod reading;
mod view;
mod writing;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use bedside_e2ee::{
    DeviceIdentity, PublicIdentity,
    mls::{Device, GroupId, MembersDecide, MlsError},
    store::StoreError,
};
use bedside_protocol::{
    CallId, Conversation, ConversationId, DeviceId, EntryId, UserId,
    conversation::{
        Appended, ClaimedKeyPackage, EntryKind, GroupInfo, KeyPackagesLeft, LogEntry, OwnDevice,
        WaitingWelcome,
    },
    socket::Event,
};
use bedside_ui_contract::{
    Command, Failure, Notice,
    chat::{ChatView, CheckCodeView, InstallationView, VaultView},
};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{
    ChatConfig, ChatEvent, Input,
    journal::{Journal, Room},
    trust::Trust,
    vault::{self, Local, Opening, Place, Vault, VaultError},
};
use crate::{
    api::ApiError,
    signal::SignalBody,
    socket::SocketError,
    transfer::{TransferEvent, Transfers},
};

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);
/// What failed is tried again after this long, and then after ever longer.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// What a request that was started brought.
enum Outcome {
    Listed(Result<Vec<Conversation>, ApiError>),
    Fetched(ConversationId, Result<Conversation, ApiError>),
    Welcomes(Result<Vec<WaitingWelcome>, ApiError>),
    KeyPackages(Result<KeyPackagesLeft, ApiError>),
    /// A conversation was asked for, to be given a name if it is new.
    Created {
        title: Option<String>,
        answer: Result<Conversation, ApiError>,
    },
    Claimed {
        id: ConversationId,
        founding: bool,
        answer: Result<Vec<(UserId, ClaimedKeyPackage)>, ApiError>,
    },
    Founded(ConversationId, Result<(), ApiError>),
    Committed(ConversationId, EntryId, Result<Appended, ApiError>),
    Info(ConversationId, Result<GroupInfo, ApiError>),
    Entries(ConversationId, Result<Vec<LogEntry>, ApiError>),
    Sent(ConversationId, EntryId, Result<Appended, SocketError>),
    Devices(Result<Vec<OwnDevice>, ApiError>),
    Revoked(DeviceId, Result<(), ApiError>),
    CheckCode(ConversationId, Vec<PublicIdentity>, Option<CheckCodeView>),
}

/// How this device stands to a conversation's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    /// Not in it.
    Outside,
    /// Has asked to come in, from outside.
    Joining,
    /// In it.
    Member,
}

/// A conversation while the task runs.
struct Live {
    room: Room,
    membership: Membership,
    /// The group's devices, as far as this one is in it.
    members: Vec<PublicIdentity>,
    /// Somebody wants the group, though nothing waits.
    wanted: bool,
    /// It was in the group and lost its place in it.
    rejoining: bool,
    /// A request about the group is under way.
    busy: bool,
    retry_at: Option<Instant>,
    failures: u32,
    /// How often it joined, or tried to, since somebody else was understood last.
    attempts: u32,
    welcome: Option<WaitingWelcome>,
    /// When people without a device in the group are looked for again.
    look_again: Option<Instant>,
    /// Entries under way, and where what waits went in this epoch.
    in_flight: HashSet<EntryId>,
    sealed: HashMap<Uuid, EntryId>,
    kinds: HashMap<EntryId, (EntryKind, Option<CallId>)>,
    /// When others are told what has arrived.
    receipt_at: Option<Instant>,
    /// What the server was told that this device has.
    acknowledged: u64,
    /// Entries in a row that made no sense.
    refused: u32,
    typing: BTreeMap<UserId, Instant>,
    check_code: Option<CheckCodeView>,
}

impl Live {
    fn new(room: Room) -> Self {
        Self {
            room,
            membership: Membership::Outside,
            members: Vec::new(),
            wanted: false,
            rejoining: false,
            busy: false,
            retry_at: None,
            failures: 0,
            attempts: 0,
            welcome: None,
            look_again: None,
            in_flight: HashSet::new(),
            sealed: HashMap::new(),
            kinds: HashMap::new(),
            receipt_at: None,
            acknowledged: 0,
            refused: 0,
            typing: BTreeMap::new(),
            check_code: None,
        }
    }

    /// Waits before it tries again, longer each time.
    fn failed(&mut self, now: Instant) {
        self.busy = false;
        let pause = RETRY.saturating_mul(1 << self.failures.min(6)).min(LONGEST_RETRY);
        self.failures += 1;
        self.retry_at = Some(now + pause);
    }

    /// Comes in again, later each time: whoever keeps pushing this device out must not keep it busy.
    fn try_later(&mut self, now: Instant) {
        self.busy = false;
        let pause = match self.attempts.checked_sub(1) {
            Some(before) => RETRY.saturating_mul(1 << before.min(6)).min(LONGEST_RETRY),
            None => Duration::ZERO,
        };
        self.attempts = self.attempts.saturating_add(1);
        self.retry_at = Some(now + pause);
    }

    /// Whether the next attempt has been put off on purpose.
    const fn backs_off(&self) -> bool {
        self.retry_at.is_some()
    }

    /// The log goes on, and what it has is not known here yet.
    const fn expect_more(&mut self) {
        let next = &mut self.room.server.next_position;
        *next = next.saturating_add(1);
    }

    fn succeeded(&mut self) {
        self.busy = false;
        self.failures = 0;
        self.retry_at = None;
    }

    /// Everybody but `me`.
    fn others(&self, me: UserId) -> impl Iterator<Item = UserId> {
        self.room.server.participants.iter().map(|person| person.id).filter(move |id| *id != me)
    }
}

/// The task's state once the vault is open.
struct Worker {
    config: ChatConfig,
    vault: Vault,
    journal: Journal,
    device: Device<Local>,
    trust: Trust,
    rooms: BTreeMap<ConversationId, Live>,
    loaded: bool,
    online: bool,
    events: mpsc::UnboundedSender<ChatEvent>,
    shown: watch::Sender<ChatView>,
    outcomes: mpsc::UnboundedSender<Outcome>,
    in_call: Option<(CallId, UserId)>,
    viewed: Option<ConversationId>,
    /// Wanted as soon as there is a conversation with them.
    prepare: BTreeSet<UserId>,
    installations: Vec<InstallationView>,
    /// Own devices that were revoked and are to leave every group.
    revoked: BTreeSet<DeviceId>,
    publishing: bool,
    transfers: Transfers,
    transfer_events: mpsc::UnboundedSender<TransferEvent>,
    /// Signals in conversations that are being founded.
    early_signals: Vec<(CallId, UserId, SignalBody)>,
    /// Welcomes into conversations that are being fetched.
    early_welcomes: BTreeMap<ConversationId, WaitingWelcome>,
    /// Own devices that were revoked and left the server's list, as they were there.
    leaving: Vec<InstallationView>,
}

/// Where the task tells what it has to tell, itself included.
struct Channels {
    events: mpsc::UnboundedSender<ChatEvent>,
    shown: watch::Sender<ChatView>,
    outcomes: mpsc::UnboundedSender<Outcome>,
    transfer_events: mpsc::UnboundedSender<TransferEvent>,
}

/// Runs the task until its handle is dropped.
pub(super) async fn run(
    config: ChatConfig,
    mut inputs: mpsc::UnboundedReceiver<Input>,
    events: mpsc::UnboundedSender<ChatEvent>,
    shown: watch::Sender<ChatView>,
) {
    let mut waiting = Vec::new();
    let Some(vault) = unlocked(&config, &mut inputs, &mut waiting, &events, &shown).await else { return };
    let (outcomes, mut brought) = mpsc::unbounded_channel();
    let (transfer_events, mut transferred) = mpsc::unbounded_channel();
    let channels = Channels { events, shown, outcomes, transfer_events };
    let mut worker = match Worker::open(config, vault, channels) {
        Ok(worker) => worker,
        Err(error) => return tracing::error!(%error, "messages can't be used"),
    };
    for input in waiting {
        worker.input(input);
    }
    worker.publish();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            input = inputs.recv() => match input {
                Some(input) => worker.input(input),
                None => return worker.close(),
            },
            Some(outcome) = brought.recv() => worker.outcome(outcome),
            Some(event) = transferred.recv() => worker.transfer_event(event),
            _ = tick.tick() => worker.tick(),
        }
        worker.publish();
    }
}

/// Opens the vault; while it is locked, waits for its passphrase and keeps what else it is told.
async fn unlocked(
    config: &ChatConfig,
    inputs: &mut mpsc::UnboundedReceiver<Input>,
    waiting: &mut Vec<Input>,
    events: &mpsc::UnboundedSender<ChatEvent>,
    shown: &watch::Sender<ChatView>,
) -> Option<Vault> {
    let place = Place { folder: config.folder.clone(), user: config.me.id, device: config.device };
    let (secrets, at) = (config.secrets.clone(), place.clone());
    let opening = tokio::task::spawn_blocking(move || vault::open(secrets.as_ref(), &at)).await.ok()?;
    let mut wrong = false;
    match opening {
        Ok(Opening::Open(vault)) => return Some(*vault),
        Ok(Opening::Locked) => {}
        Err(error) => {
            tracing::error!(%error, "the vault can't be opened");
            shown.send_modify(|view| view.vault = VaultView::Broken);
            let _ = events.send(ChatEvent::Changed);
            return None;
        }
    }
    loop {
        shown.send_modify(|view| view.vault = VaultView::Locked { wrong });
        let _ = events.send(ChatEvent::Changed);
        match inputs.recv().await? {
            Input::Command(Command::UnlockVault { passphrase }) => {
                let at = place.clone();
                let passphrase = zeroize::Zeroizing::new(passphrase);
                match tokio::task::spawn_blocking(move || vault::unlock(&at, &passphrase)).await.ok()? {
                    Ok(vault) => return Some(vault),
                    Err(error) => {
                        tracing::info!(%error, "the vault stays locked");
                        wrong = true;
                    }
                }
            }
            // Nobody waits for an answer longer than needed; what the line brings is caught up with later.
            Input::Messages { .. } | Input::Search { .. } | Input::Event(_) => {}
            other => waiting.push(other),
        }
    }
}

impl Worker {
    fn open(config: ChatConfig, vault: Vault, channels: Channels) -> Result<Self, VaultError> {
        let Channels { events, shown, outcomes, transfer_events } = channels;
        let device = Device::open(vault.identity()?, vault.local.clone(), Box::new(MembersDecide));
        let journal = Journal::new(vault.local.clone());
        let trust = journal.value(Trust::NAME)?.unwrap_or_default();
        let revoked = journal.value(b"revoked")?.unwrap_or_default();
        let rooms = journal.rooms()?.into_iter().map(|room| (room.id(), Live::new(room))).collect();
        let transfers = Transfers::new(config.api.clone(), vault.local.clone(), transfer_events.clone())?;
        let mut worker = Self {
            config,
            vault,
            journal,
            device,
            trust,
            rooms,
            loaded: false,
            online: false,
            events,
            shown,
            outcomes,
            in_call: None,
            viewed: None,
            prepare: BTreeSet::new(),
            installations: Vec::new(),
            revoked,
            publishing: false,
            early_signals: Vec::new(),
            early_welcomes: BTreeMap::new(),
            leaving: Vec::new(),
            transfers,
            transfer_events,
        };
        for id in worker.rooms.keys().copied().collect::<Vec<_>>() {
            worker.look_at_group(id);
            worker.catch_up(id);
            worker.check_again(id);
        }
        Ok(worker)
    }

    /// The vault lies elsewhere now.
    fn reopen(&mut self, identity: DeviceIdentity) {
        self.device = Device::open(identity, self.vault.local.clone(), Box::new(MembersDecide));
        self.journal = Journal::new(self.vault.local.clone());
        let (api, local) = (self.config.api.clone(), self.vault.local.clone());
        match Transfers::new(api, local, self.transfer_events.clone()) {
            Ok(transfers) => self.transfers = transfers,
            Err(error) => self.store_failed(error),
        }
    }

    /// What is on its way to the disk arrives there.
    fn close(self) {
        if let Err(error) = self.vault.barrier() {
            tracing::warn!(%error, "the last messages may not be on the disk");
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Online { resumed } => self.came_online(resumed),
            Input::Offline => self.online = false,
            Input::Event(event) => self.event(*event),
            Input::Command(command) => self.command(command),
            Input::Reachable(user) => self.reachable(user),
            Input::Prepare(user) => self.prepare(user),
            Input::InCall(call) => self.in_call(call),
            Input::Signal { call, peer, signal } => self.signal(call, peer, signal),
            Input::Files { call, link } => self.transfers.attach(call, link),
            Input::ReadReceipts(on) => self.config.read_receipts = on,
            Input::Messages { id, from, count, answer } => {
                let _ = answer.send(self.page(id, from, count));
            }
            Input::Search { text, within, answer } => self.search(text, within, answer),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::ChatTyping(typing) => self.somebody_types(&typing),
            Event::GroupWelcome(welcome) => self.welcomed(welcome),
            Event::ConversationChanged { conversation_id } => self.fetch_conversation(conversation_id),
            Event::DevicesChanged => self.fetch_devices(),
            Event::KeyPackagesLow(left) => self.refill(left),
            Event::KeyPackagesPublished { user_id } => self.reachable(user_id),
            event => {
                if let Some(entry) = event.log_entry() {
                    self.entry_came(entry);
                }
            }
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Listed(answer) => self.listed(answer),
            Outcome::Fetched(id, answer) => self.fetched(id, answer),
            Outcome::Welcomes(answer) => {
                for welcome in answer.unwrap_or_default() {
                    self.welcomed(welcome);
                }
            }
            Outcome::KeyPackages(answer) => self.key_packages_counted(answer),
            Outcome::Created { title, answer } => self.created(title, answer),
            Outcome::Claimed { id, founding, answer } => self.claimed(id, founding, answer),
            Outcome::Founded(id, answer) => self.founded(id, answer),
            Outcome::Committed(id, entry, answer) => self.committed(id, entry, answer),
            Outcome::Info(id, answer) => self.informed(id, answer),
            Outcome::Entries(id, answer) => self.entries_fetched(id, answer),
            Outcome::Sent(id, entry, answer) => self.sent(id, entry, answer),
            Outcome::Devices(answer) => self.devices_fetched(answer),
            Outcome::Revoked(device, answer) => self.device_revoked(device, answer),
            Outcome::CheckCode(id, members, code) => self.code_computed(id, &members, code),
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        for id in self.rooms.keys().copied().collect::<Vec<_>>() {
            let Some(live) = self.rooms.get_mut(&id) else { continue };
            live.typing.retain(|_, until| *until > now);
            if live.receipt_at.is_some_and(|at| at <= now) {
                live.receipt_at = None;
                self.tell_receipt(id);
            }
            let due = |at: &Option<Instant>| at.is_some_and(|at| at <= now);
            if self.rooms.get(&id).is_some_and(|live| due(&live.retry_at) || due(&live.look_again)) {
                self.step(id);
            }
        }
    }

    /// Starts a request; its outcome comes back as an input.
    fn start(&self, work: impl Future<Output = Outcome> + Send + 'static) {
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            let _ = outcomes.send(work.await);
        });
    }

    fn notify(&self, notice: Notice) {
        let _ = self.events.send(ChatEvent::Notice(notice));
    }

    fn notify_failure(&self, failure: Failure) {
        self.notify(Notice::Failed { failure });
    }

    /// The local store failed. What was not written has not happened, and is tried again.
    fn store_failed(&mut self, error: StoreError) {
        tracing::error!(%error, "the local store failed");
        if self.vault.view != VaultView::Broken {
            self.vault.view = VaultView::Broken;
        }
    }

    /// A group operation failed in a way that asks for nothing but trying again.
    fn mls_failed(&mut self, id: ConversationId, error: &MlsError) {
        if let MlsError::Store(error) = error {
            self.store_failed(*error);
        }
        tracing::warn!(conversation = %id, %error, "a group operation failed");
        if let Some(live) = self.rooms.get_mut(&id) {
            live.failed(Instant::now());
        }
    }

    /// Writes what is known of a conversation beside its list.
    fn keep(&mut self, id: ConversationId) {
        let Some(live) = self.rooms.get(&id) else { return };
        if let Err(error) = self.journal.write(&live.room) {
            self.store_failed(error);
        }
    }

    /// Before anything leaves: what it follows from is on the disk. False when it is not.
    fn barrier(&mut self) -> bool {
        match self.vault.barrier() {
            Ok(()) => true,
            Err(error) => {
                self.store_failed(error);
                false
            }
        }
    }

    fn me(&self) -> UserId {
        self.config.me.id
    }

    fn own_device(&self) -> DeviceId {
        self.config.device
    }
}

/// The name of a conversation's group.
fn group(id: ConversationId) -> GroupId {
    // Sixteen bytes are within the limit of sixty-four.
    GroupId::new(*id.0.as_bytes()).unwrap_or_else(|_| unreachable!("a UUID is short enough"))
}

/// The same name for the same ciphertext, so that the server knows what it has already, also after a restart.
fn entry_id(entry: &[u8]) -> EntryId {
    let digest: [u8; 32] = Sha256::digest(entry).into();
    let (first, _) = digest.split_at(16);
    EntryId(uuid::Builder::from_custom_bytes(first.try_into().unwrap_or_default()).into_uuid())
}

/// Seconds since 1970.
fn now_seconds() -> u64 {
    crate::clock::now().0.unsigned_abs() / 1000
}
