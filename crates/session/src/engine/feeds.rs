//! What comes in for one account.
//!
//! Each account has channels of its own, and they end with it: what was asked for it is given up, and what is said of it
//! late is heard by nobody. So nothing of one person is ever taken for something of the next.

use bedside_protocol::{
    CallId,
    call::CallRecord,
    rest::{CallTicket, ClinicInfo, Page, SignedIn},
    user::Contact,
};
use tokio::sync::mpsc;

use super::calling::Placing;
use crate::{
    api::{Api, ApiError},
    chat::{Chat, ChatEvent},
    socket::{SocketError, SocketEvent},
};

/// What the server has said and nobody has heard yet; beyond it the line waits.
const SOCKET_EVENTS: usize = 256;

/// What a request that was started brought.
pub(super) enum Outcome {
    /// Whether there is a sign-in of an earlier run.
    Recalled(Recalled),
    /// What the server says of it.
    Restored(Result<SignedIn, ApiError>),
    /// It takes long to say so.
    PatienceOver,
    Clinic(Result<ClinicInfo, ApiError>),
    SignedIn {
        api: Api,
        clinic: ClinicInfo,
        signed_in: SignedIn,
    },
    SignInFailed(ApiError),
    Contacts(Result<Vec<Contact>, ApiError>),
    History {
        page: u32,
        /// Its place among the pages that were asked for.
        asked: u32,
        answer: Result<Page<CallRecord>, ApiError>,
    },
    Placed {
        placing: Placing,
        answer: Result<CallTicket, SocketError>,
    },
    Answered {
        call_id: CallId,
        answer: Result<CallTicket, SocketError>,
    },
    /// The call with its new end, or why there is none.
    Extended(Result<CallRecord, SocketError>),
    /// What was measured has arrived, or not.
    Measured(Result<(), ApiError>),
}

/// What is there of the sign-in of the last run.
pub(super) enum Recalled {
    There,
    Nothing,
    /// It is there, and the keys of the device that it is of are not.
    WithoutKeys,
}

/// Something that came in.
pub(super) enum News {
    /// Of a request.
    Outcome(Box<Outcome>),
    /// Of the line to the server.
    Socket(SocketEvent),
    /// Of the messenger.
    Chat(ChatEvent),
}

/// The channels of one account, or of the attempt to have one.
pub(super) struct Feeds {
    outcomes: (mpsc::UnboundedSender<Box<Outcome>>, mpsc::UnboundedReceiver<Box<Outcome>>),
    socket: (mpsc::Sender<SocketEvent>, mpsc::Receiver<SocketEvent>),
    chat: (mpsc::UnboundedSender<ChatEvent>, mpsc::UnboundedReceiver<ChatEvent>),
}

impl Feeds {
    pub(super) fn new() -> Self {
        Self {
            outcomes: mpsc::unbounded_channel(),
            socket: mpsc::channel(SOCKET_EVENTS),
            chat: mpsc::unbounded_channel(),
        }
    }

    /// Starts a request, which ends with the account at the latest; its outcome comes back as news.
    pub(super) fn spawn(&self, work: impl Future<Output = Outcome> + Send + 'static) {
        let outcomes = self.outcomes.0.clone();
        tokio::spawn(async move {
            tokio::select! {
                outcome = work => drop(outcomes.send(Box::new(outcome))),
                () = outcomes.closed() => {}
            }
        });
    }

    /// Where the account's line tells.
    pub(super) fn of_socket(&self) -> mpsc::Sender<SocketEvent> {
        self.socket.0.clone()
    }

    /// Where the account's messenger tells.
    pub(super) fn of_chat(&self) -> mpsc::UnboundedSender<ChatEvent> {
        self.chat.0.clone()
    }

    /// What comes next. Of the server only once the messenger has taken in enough of what the server said before: until
    /// then it waits on the line, and no more than this many events of it are in memory.
    pub(super) async fn next(&mut self, chat: Option<&Chat>) -> Option<News> {
        let socket = async {
            if let Some(chat) = chat {
                chat.room().await;
            }
            self.socket.1.recv().await
        };
        tokio::select! {
            outcome = self.outcomes.1.recv() => outcome.map(News::Outcome),
            event = socket => event.map(News::Socket),
            event = self.chat.1.recv() => event.map(News::Chat),
        }
    }
}
