//! The messenger's task: one input after the other, everything written before anything is said.
//!
//! [`opening`] comes by what is on the disk, and [`learning`] by what the server says there is. [`groups`] brings each
//! conversation ([`live`]) further, with [`packages`], [`joining`] and [`members`]. [`reading`] takes what the logs
//! bring, [`writing`] says what is to be said, [`commands`] does what the person wants, [`checking`] compares codes,
//! [`devices`] keeps their devices, [`archive`] minds the clinic's archive, [`files`] sends and fetches files,
//! [`recovery`] begins anew where the disk failed, [`renewing`] makes new keys, [`view`] shows it all.

mod archive;
mod checking;
mod commands;
mod devices;
mod files;
mod groups;
mod hearing;
mod joining;
#[cfg(test)]
mod killed;
mod learning;
mod live;
mod members;
mod opening;
mod packages;
mod reading;
mod recovery;
mod renewing;
mod view;
mod writing;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bedside_call::rate::TokenBucket;
use bedside_e2ee::{
    PublicIdentity,
    mls::{Device, GroupId, MlsError},
};
use bedside_protocol::{
    CallId, Conversation, ConversationId, DeviceId, EntryId, Secret, UserId,
    conversation::{
        Appended, ClaimedKeyPackage, Founded, GroupInfo, KeyPackagesLeft, LogEntry, OwnDevice, WaitingWelcome,
    },
    socket::Event,
};
use bedside_ui_contract::{
    Failure, Notice,
    chat::{ChatView, CheckCodeView, InstallationView},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use self::{
    devices::Revocations,
    live::{Live, Membership},
    opening::{Held, unlocked},
    packages::{HandedOut, Offered},
    recovery::Stuck,
};
use super::{
    ChatConfig, ChatEvent, Input,
    inbox::Inbox,
    journal::Journal,
    trust::Trust,
    vault::{Local, Vault, VaultError},
};
use crate::{
    api::ApiError,
    signal::SignalBody,
    socket::SocketError,
    transfer::{TransferEvent, Transfers},
};

/// Whom this person may call, and their newest calls, as the server said last.
const PEOPLE: &[u8] = b"people";
const CALLS: &[u8] = b"calls";
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);

/// What a request that was started brought.
enum Outcome {
    Listed(Result<Vec<Conversation>, ApiError>),
    Fetched(ConversationId, Result<Conversation, ApiError>),
    Welcomes(Result<Vec<WaitingWelcome>, ApiError>),
    KeyPackages(Result<KeyPackagesLeft, ApiError>),
    Published(Result<KeyPackagesLeft, ApiError>),
    /// The conversation with this person, made or found.
    Prepared(UserId, Result<Conversation, ApiError>),
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
    Founded(ConversationId, Result<Founded, ApiError>),
    Committed(ConversationId, EntryId, Result<Appended, ApiError>),
    Info(ConversationId, Result<GroupInfo, ApiError>),
    /// The log from a position on.
    Entries(ConversationId, u64, Result<Vec<LogEntry>, ApiError>),
    Sent(ConversationId, EntryId, Result<Appended, SocketError>),
    Devices {
        seen: BTreeSet<DeviceId>,
        answer: Result<Vec<OwnDevice>, ApiError>,
    },
    Revoked(DeviceId, Result<(), ApiError>),
    CheckCode(ConversationId, Vec<PublicIdentity>, Option<CheckCodeView>),
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
    /// How often the list of conversations could not be fetched since it last could.
    list_failures: u32,
    online: bool,
    events: mpsc::UnboundedSender<ChatEvent>,
    shown: watch::Sender<ChatView>,
    outcomes: mpsc::UnboundedSender<(u32, Outcome)>,
    in_call: Option<(CallId, UserId)>,
    /// Lets this device signal in the call.
    room_token: Option<(CallId, Secret)>,
    viewed: Option<ConversationId>,
    /// Wanted as soon as there is a conversation with them.
    prepare: BTreeSet<UserId>,
    installations: Vec<InstallationView>,
    revocations: Revocations,
    /// Devices that the server is being asked to shut out, and when it is asked again after it has not.
    shutting_out: BTreeSet<DeviceId>,
    shut_out_at: Option<Instant>,
    shut_out_failures: u32,
    publishing: bool,
    /// How often key packages may still be made: how many are left is the server's word.
    refills: TokenBucket,
    /// The key packages that the server hands out, as far as is known.
    handed_out: Option<HandedOut>,
    offered: Option<Offered>,
    look_at_packages: Instant,
    transfers: Transfers,
    transfer_events: mpsc::UnboundedSender<TransferEvent>,
    /// Signals in conversations that are being founded.
    early_signals: Vec<(CallId, UserId, SignalBody)>,
    /// Conversations that are being fetched, and whether something changed meanwhile.
    fetching: BTreeMap<ConversationId, bool>,
    /// More changed than is fetched one by one: all are fetched.
    list_again: bool,
    /// The same for this person's devices.
    fetching_devices: Option<bool>,
    /// Welcomes of no use that the server is being told of.
    dropping: Arc<Semaphore>,
    /// Welcomes into conversations that are being fetched.
    early_welcomes: BTreeMap<ConversationId, WaitingWelcome>,
    /// Something could not be written: nothing is done until it can.
    stuck: Option<Stuck>,
    /// How often the task began anew from the disk: what was asked before that is not heeded any more.
    generation: u32,
}

/// Where the task tells what it has to tell, itself included.
struct Channels {
    events: mpsc::UnboundedSender<ChatEvent>,
    shown: watch::Sender<ChatView>,
    outcomes: mpsc::UnboundedSender<(u32, Outcome)>,
    transfer_events: mpsc::UnboundedSender<TransferEvent>,
}

/// Runs the task until its handle is dropped.
pub(super) async fn run(
    config: ChatConfig,
    mut inputs: Inbox<Input>,
    events: mpsc::UnboundedSender<ChatEvent>,
    shown: watch::Sender<ChatView>,
) {
    let mut held = Held::default();
    let Some(vault) = unlocked(&config, &mut inputs, &mut held, &events, &shown).await else { return };
    serve(config, vault, held, inputs, events, shown).await;
}

/// The same with an open vault, and what came while it was opened.
async fn serve(
    config: ChatConfig,
    vault: Vault,
    held: Held,
    mut inputs: Inbox<Input>,
    events: mpsc::UnboundedSender<ChatEvent>,
    shown: watch::Sender<ChatView>,
) {
    let (outcomes, mut brought) = mpsc::unbounded_channel();
    let (transfer_events, mut transferred) = mpsc::unbounded_channel();
    let channels = Channels { events, shown, outcomes, transfer_events };
    let opened = blocking(|| {
        let mut worker = Worker::open(config, vault, channels)?;
        held.inputs.into_iter().for_each(|input| worker.told(input));
        if held.refused {
            worker.notify_failure(Failure::TooManyWaiting);
        }
        worker.publish();
        Ok::<_, VaultError>(worker)
    });
    let mut worker = match opened {
        Ok(worker) => worker,
        Err(error) => return tracing::error!(%error, "messages can't be used"),
    };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let next = tokio::select! {
            input = inputs.recv() => match input {
                Some(input) => Next::Told(input),
                None => return blocking(|| worker.close()),
            },
            Some((generation, outcome)) = brought.recv() => Next::Brought(generation, outcome),
            Some(event) = transferred.recv() => Next::Transferred(event),
            _ = tick.tick() => Next::Tick,
        };
        blocking(|| worker.wake(next));
    }
}

/// What the task wakes up for.
enum Next {
    Told(Input),
    Brought(u32, Outcome),
    Transferred(TransferEvent),
    Tick,
}

/// Does what may wait for the disk, and for seconds where that is slow or a passphrase is set: calls and the window go
/// on meanwhile.
fn blocking<T>(act: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(act),
        // Of one thread: a test's.
        _ => act(),
    }
}

impl Worker {
    /// What is on its way to the disk arrives there.
    fn close(self) {
        if let Err(error) = self.vault.barrier() {
            tracing::warn!(%error, "the last messages may not be on the disk");
        }
    }

    fn wake(&mut self, next: Next) {
        match next {
            Next::Told(input) => self.told(input),
            Next::Tick => self.tick(),
            Next::Brought(generation, outcome) => {
                if generation == self.generation && self.stuck.is_none() {
                    self.outcome(outcome);
                }
            }
            Next::Transferred(event) => {
                if self.stuck.is_none() {
                    self.transfer_event(event);
                }
            }
        }
        self.recover();
        self.publish();
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
            Input::Entered { call, room_token } => self.room_token = Some((call, room_token)),
            Input::Signal { call, peer, signal } => self.signal(call, peer, signal),
            Input::Files { call, link } => self.transfers.attach(call, link),
            Input::ReadReceipts(on) => self.config.read_receipts = on,
            Input::Archive(archive) => self.archive_is(archive),
            Input::People(people) => self.note(PEOPLE, &people),
            Input::Calls(calls) => self.note(CALLS, &calls),
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
            Outcome::Published(answer) => self.key_packages_taken(answer),
            Outcome::Created { title, answer } => self.created(title, answer),
            Outcome::Prepared(user, answer) => self.prepared(user, answer),
            Outcome::Claimed { id, founding, answer } => self.claimed(id, founding, answer),
            Outcome::Founded(id, answer) => self.founded(id, answer),
            Outcome::Committed(id, entry, answer) => self.committed(id, entry, answer),
            Outcome::Info(id, answer) => self.informed(id, answer),
            Outcome::Entries(id, from, answer) => self.entries_fetched(id, from, answer),
            Outcome::Sent(id, entry, answer) => self.sent(id, entry, answer),
            Outcome::Devices { seen, answer } => self.devices_fetched(&seen, answer),
            Outcome::Revoked(device, answer) => self.device_revoked(device, answer),
            Outcome::CheckCode(id, members, code) => self.code_computed(id, &members, code),
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.stuck.is_some() {
            return;
        }
        if self.online && self.shut_out_at.is_some_and(|at| at <= now) {
            self.shut_out_all();
        }
        if self.look_at_packages <= now {
            self.look_after_key_packages();
        }
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
            if self.rooms.get(&id).is_some_and(|live| due(&live.renew_at)) {
                self.renew(id);
            }
        }
    }

    /// Starts a request; its outcome comes back as an input.
    fn start(&self, work: impl Future<Output = Outcome> + Send + 'static) {
        let (outcomes, generation) = (self.outcomes.clone(), self.generation);
        tokio::spawn(async move {
            let _ = outcomes.send((generation, work.await));
        });
    }

    fn notify(&self, notice: Notice) {
        let _ = self.events.send(ChatEvent::Notice(notice));
    }

    fn notify_failure(&self, failure: Failure) {
        self.notify(Notice::Failed { failure });
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

    /// Writes something down for the next start.
    fn note<T: Serialize>(&mut self, name: &[u8], value: &T) {
        if let Err(error) = self.journal.write_value(name, value) {
            self.store_failed(error);
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
