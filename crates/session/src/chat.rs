//! Conversations: who is in them, what is said, and that nobody else can read or change it.
//!
//! One task ([`worker`]) owns this device's MLS groups and its messages on disk. It reads each conversation's log from
//! the server in order, and says what it has to say into it. A call's signals travel the same way, so whoever could
//! stand between two people would have to stand in their conversation, where it shows.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`vault`] | this installation's identity and the key of everything on disk |
//! | [`disk`] | records in one file |
//! | [`journal`] | conversations and their messages, as records |
//! | [`body`] | what members tell each other |
//! | [`trust`] | whose devices were checked |
//! | `sample` | a long conversation, to be measured; with the feature of that name |
//! | [`inbox`] | what the engine tells, and when that is enough for now |
//! | [`worker`] | what happens when |

pub mod body;
mod disk;
mod inbox;
mod journal;
#[cfg(feature = "sample")]
pub mod sample;
mod trust;
mod vault;
mod worker;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bedside_e2ee::PublicIdentity;
use bedside_protocol::{
    CallId, ConversationId, DeviceId, Secret, UserId,
    call::CallRecord,
    socket::Event,
    user::{Contact, UserProfile},
};
use bedside_ui_contract::{
    Command, Notice,
    chat::{ChatView, ConversationView, MessagePage, SearchHit},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

pub(crate) use vault::installed;

use crate::{
    api::Api, consultation::FrameKeys, secrets::SecretStore, signal::SignalBody, socket::Socket,
    transfer::FileLink,
};

/// What is on its way to the disk has this long to arrive there when the program ends.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// What a messenger is started with.
pub(crate) struct ChatConfig {
    pub(crate) api: Api,
    pub(crate) socket: Socket,
    pub(crate) secrets: Arc<dyn SecretStore>,
    /// The profile's folder.
    pub(crate) folder: PathBuf,
    pub(crate) me: UserProfile,
    pub(crate) device: DeviceId,
    /// What this installation was before and can't be again: devices whose keys ended with a run.
    pub(crate) gone: Vec<DeviceId>,
    /// The account that holds the clinic's archive key.
    pub(crate) archive: Option<UserId>,
    /// Tell others what was read.
    pub(crate) read_receipts: bool,
}

/// What the engine tells its messenger.
pub(crate) enum Input {
    /// The line is up; what was missed comes by itself only when the session was resumed.
    Online { resumed: bool },
    /// The line is down.
    Offline,
    /// Something happened on the server.
    Event(Box<Event>),
    /// The person wants something of a conversation.
    Command(Command),
    /// Somebody can be reached: perhaps their devices have keys now.
    Reachable(UserId),
    /// A call with somebody begins: their conversation is wanted.
    Prepare(UserId),
    /// The call that messages written now belong to.
    InCall(Option<(CallId, UserId)>),
    /// What lets this device signal in a call.
    Entered { call: CallId, room_token: Secret },
    /// For the other side of a call.
    Signal { call: CallId, peer: UserId, signal: SignalBody },
    /// The call's channel for files is open.
    Files { call: CallId, link: FileLink },
    /// Tell others what was read, or not.
    ReadReceipts(bool),
    /// Which account holds the clinic's archive key.
    Archive(Option<UserId>),
    /// Whom this person may call, to be known at the next start.
    People(Vec<Contact>),
    /// Their newest calls, likewise.
    Calls(Vec<CallRecord>),
    /// A stretch of a list.
    Messages { id: ConversationId, from: u32, count: u32, answer: oneshot::Sender<MessagePage> },
    /// Messages that hold a text.
    Search { text: String, within: Option<ConversationId>, answer: oneshot::Sender<Vec<SearchHit>> },
}

/// What the messenger tells the engine.
pub(crate) enum ChatEvent {
    /// [`Chat::view`] has changed.
    Changed,
    /// The other side of a call says something. Who it is, is proven.
    Signal { call: CallId, from: PublicIdentity, signal: SignalBody },
    /// What the frames of a call can be sealed with, in the group's present epoch.
    FrameKeys { call: CallId, keys: FrameKeys },
    /// What was known when the app was open last.
    Known { user: UserId, people: Vec<Contact>, calls: Vec<CallRecord> },
    /// There are keys for this device, which outlive this run or not.
    Keys { device: DeviceId, lasting: bool },
    /// The person should know.
    Notice(Notice),
}

/// A handle to the messenger's task, which ends with it.
pub(crate) struct Chat {
    inputs: inbox::Outbox<Input>,
    view: watch::Receiver<ChatView>,
    device: DeviceId,
    task: JoinHandle<()>,
}

impl Chat {
    /// Starts the task.
    pub(crate) fn start(config: ChatConfig, events: mpsc::UnboundedSender<ChatEvent>) -> Self {
        let (inputs, inbox) = inbox::channel();
        let (shown, view) = watch::channel(ChatView::default());
        let device = config.device;
        let task = tokio::spawn(worker::run(config, inbox, events, shown));
        Self { inputs, view, device, task }
    }

    /// Ends the task: what it was told is done, and all of it on the disk.
    pub(crate) async fn close(self) {
        let Self { inputs, task, .. } = self;
        drop(inputs);
        if tokio::time::timeout(CLOSE_WITHIN, task).await.is_err() {
            tracing::warn!("the messenger takes too long to end");
        }
    }

    /// Which device it is of.
    pub(crate) const fn device(&self) -> DeviceId {
        self.device
    }

    /// Tells it something.
    pub(crate) fn tell(&self, input: Input) {
        self.inputs.tell(input);
    }

    /// Waits until it has taken in enough of what it was told to be told more of the server's.
    pub(crate) fn room(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inputs.room()
    }

    /// What the window shows.
    pub(crate) fn view(&self) -> ChatView {
        self.view.borrow().clone()
    }

    /// The conversation of two, if there is one.
    pub(crate) fn direct(&self, peer: UserId) -> Option<ConversationView> {
        let peer = peer.to_string();
        let view = self.view.borrow();
        view.conversations.iter().find(|one| one.peer_id.as_deref() == Some(&*peer)).cloned()
    }
}
