//! The engine's one task: takes every input, changes the state, publishes a snapshot.

use std::{sync::Arc, time::Duration};

use bedside_call::Rings;
use bedside_media::frame::VideoFrame;
use bedside_protocol::{
    CallId, PresenceStatus, UserId,
    socket::{Event, Request},
    user::{Presence, UserProfile},
};
use bedside_ui_contract::{
    Command, DeviceKind, Failure, Levels, Notice, Snapshot, StatsSample,
    snapshot::{ConnectionView, HistoryView, NoticeView, Settings},
};
use tokio::{
    runtime::Handle,
    sync::{broadcast, mpsc, watch},
    time::{Instant, MissedTickBehavior},
};

use super::{
    EngineConfig,
    calling::{LiveCall, Measured},
    feeds::{Feeds, News, Outcome},
};
use crate::{
    api::Api,
    chat::{Chat, ChatEvent, Input},
    clock::Translation,
    consultation::ConsultationEvent,
    idle::Idleness,
    peer::NetworkOptions,
    profile::{Profile, ProfileError, Remembered},
    secrets::SecretStore,
    socket::{Socket, SocketEvent},
    studio::{Studio, StudioEvent},
    tap::MediaTap,
};

/// How often levels are told and deadlines looked at.
const TICK: Duration = Duration::from_millis(100);

/// A device that takes longer to close is left behind when the program ends.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Where the actor publishes.
pub(super) struct Outlets {
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) levels: watch::Sender<Levels>,
    pub(super) stats: broadcast::Sender<StatsSample>,
    pub(super) remote: watch::Sender<Option<VideoFrame>>,
}

/// Whether anybody is signed in.
pub(super) enum Account {
    Restoring,
    SignedOut {
        failure: Option<Failure>,
    },
    SigningIn,
    /// And what they say of themselves.
    SignedIn {
        user: UserProfile,
        status: PresenceStatus,
    },
}

/// Somebody one may call.
pub(super) struct Person {
    pub(super) user: UserProfile,
    pub(super) presence: Presence,
}

pub(super) struct Actor {
    pub(super) profile: Profile,
    pub(super) secrets: Arc<dyn SecretStore>,
    pub(super) network: NetworkOptions,
    pub(super) tap: Option<Arc<dyn MediaTap>>,
    pub(super) calls: Handle,
    pub(super) seed: u64,
    pub(super) outlets: Outlets,
    pub(super) feeds: Feeds,
    pub(super) media_events: mpsc::UnboundedSender<ConsultationEvent>,
    pub(super) studio: Studio,
    pub(super) api: Option<Api>,
    pub(super) socket: Option<Socket>,
    pub(super) chat: Option<Chat>,
    pub(super) account: Account,
    /// The sign-in of the last run is being tried, or will be again.
    pub(super) restoring: bool,
    pub(super) connection: ConnectionView,
    pub(super) idle: bool,
    /// What the server was told of this person in its present session.
    pub(super) told_presence: Option<PresenceStatus>,
    pub(super) people: Vec<Person>,
    pub(super) people_loaded: bool,
    /// They are being fetched, and whether something changed meanwhile.
    pub(super) fetching_people: Option<bool>,
    pub(super) call: Option<LiveCall>,
    /// Of what the server says of calls.
    pub(super) times: Translation,
    pub(super) rings: Rings,
    pub(super) measured: Measured,
    pub(super) history: HistoryView,
    /// Pages that were asked for so far.
    pub(super) history_asked: u32,
    pub(super) notices: Vec<NoticeView>,
    pub(super) next_notice: u32,
    revision: u64,
    /// The call that the messenger was told of last.
    told_call: Option<(CallId, UserId)>,
    /// Everything is being closed, and when that is done.
    closed: Option<watch::Receiver<bool>>,
}

/// Starts the actor and returns the self-view.
pub(super) fn spawn(
    config: EngineConfig,
    commands: mpsc::UnboundedReceiver<super::Ask>,
    outlets: Outlets,
) -> Result<super::Frames, ProfileError> {
    let profile = Profile::open(&config.profile)?;
    let (media_events, media_in) = mpsc::unbounded_channel();
    let (studio_events, studio_in) = mpsc::unbounded_channel();
    let studio = Studio::new(&config.sources, profile.get(), studio_events, config.tap.clone());
    let self_view = studio.self_view();
    let actor = Actor {
        profile,
        secrets: config.secrets,
        network: config.network,
        tap: config.tap,
        calls: config.calls,
        seed: config.seed,
        outlets,
        feeds: Feeds::new(),
        media_events,
        studio,
        api: None,
        socket: None,
        chat: None,
        account: Account::Restoring,
        restoring: false,
        connection: ConnectionView::Idle,
        idle: false,
        told_presence: None,
        people: Vec::new(),
        people_loaded: false,
        fetching_people: None,
        call: None,
        times: Translation::default(),
        rings: Rings::new(Instant::now().into_std()),
        measured: Measured::default(),
        history: HistoryView::default(),
        history_asked: 0,
        notices: Vec::new(),
        next_notice: 1,
        revision: 0,
        told_call: None,
        closed: None,
    };
    let inboxes = Inboxes { commands, media: media_in, studio: studio_in };
    tokio::spawn(actor.run(inboxes, Idleness::watch(config.idle)));
    Ok(self_view)
}

struct Inboxes {
    commands: mpsc::UnboundedReceiver<super::Ask>,
    media: mpsc::UnboundedReceiver<ConsultationEvent>,
    studio: mpsc::UnboundedReceiver<StudioEvent>,
}

impl Actor {
    async fn run(mut self, mut inboxes: Inboxes, mut idleness: Idleness) {
        let mut network = crate::network::Watcher::start(self.network.address_changes.take());
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.restore();
        self.publish();
        loop {
            tokio::select! {
                command = inboxes.commands.recv() => match command {
                    Some(ask) => self.asked(ask),
                    None => break,
                },
                Some(news) = self.feeds.next(self.chat.as_ref()) => self.news(news),
                Some(event) = inboxes.media.recv() => self.media_event(event),
                Some(event) = inboxes.studio.recv() => self.studio_event(event),
                () = network.changed() => self.network_changed(),
                idle = idleness.changed() => self.idle = idle,
                _ = tick.tick() => self.tick(),
            }
            idleness.in_call(self.call.as_ref().is_some_and(|call| call.phase().is_answered()));
            self.follow_call();
            self.tell_presence();
            self.publish();
        }
        self.leave_call_for_good();
        self.studio.close();
    }

    fn asked(&mut self, ask: super::Ask) {
        match ask {
            super::Ask::Command(command) => self.command(command),
            super::Ask::Close(done) => {
                // Whoever asks again waits for the same end.
                let closed = self.closed.take().unwrap_or_else(|| self.close());
                let mut waits = closed.clone();
                self.closed = Some(closed);
                tokio::spawn(async move {
                    let _ = waits.wait_for(|closed| *closed).await;
                    let _ = done.send(());
                });
            }
            super::Ask::Messages { conversation_id, from, count, answer } => {
                if let Ok(id) = conversation_id.parse() {
                    self.tell_chat(Input::Messages { id, from, count, answer });
                }
            }
            super::Ask::Search { text, conversation_id, answer } => {
                let within = conversation_id.and_then(|id| id.parse().ok());
                self.tell_chat(Input::Search { text, within, answer });
            }
        }
    }

    /// Begins to close everything; says when it is done.
    fn close(&mut self) -> watch::Receiver<bool> {
        self.leave_call();
        self.studio.close();
        let (socket, chat, devices) = (self.socket.take(), self.chat.take(), self.studio.closed());
        let (tell, closed) = watch::channel(false);
        tokio::spawn(async move {
            let messages = async {
                if let Some(socket) = socket {
                    socket.close().await;
                }
                if let Some(chat) = chat {
                    chat.close().await;
                }
            };
            // What is being written of the call is whole then.
            let _ = tokio::join!(messages, tokio::time::timeout(CLOSE_PATIENCE, devices));
            tell.send_replace(true);
        });
        closed
    }

    pub(super) fn tell_chat(&self, input: Input) {
        if let Some(chat) = &self.chat {
            chat.tell(input);
        }
    }

    /// Messages written in a call belong to it, and so does the notice that it may last longer.
    fn follow_call(&mut self) {
        let call = self.call.as_ref().filter(|call| !call.phase().is_final());
        let call = call.and_then(|call| call.id().map(|id| (id, call.peer_id)));
        if std::mem::replace(&mut self.told_call, call) != call {
            self.forget_extension();
            self.tell_chat(Input::InCall(call));
        }
    }

    fn news(&mut self, news: News) {
        match news {
            News::Outcome(outcome) => self.outcome(*outcome),
            News::Socket(event) => self.socket_event(event),
            News::Chat(event) => self.chat_event(event),
        }
    }

    fn chat_event(&mut self, event: ChatEvent) {
        match event {
            // The next snapshot has it.
            ChatEvent::Changed => {}
            ChatEvent::Signal { call, from, signal } => self.signal_arrived(call, &from, signal),
            ChatEvent::FrameKeys { call, keys } => self.frame_keys(call, keys),
            ChatEvent::Known { user, people, calls } => self.known(user, people, &calls),
            ChatEvent::Keys { device, lasting } => self.has_keys(device, lasting),
            ChatEvent::Notice(notice) => self.notify(notice),
        }
    }

    fn command(&mut self, command: Command) {
        tracing::debug!(?command, "command");
        match command {
            Command::SignIn { server_url, login, password } => self.sign_in(server_url, login, password),
            Command::SignOut => self.sign_out(),
            Command::Reconnect => self.with_socket(Socket::connect_now),
            Command::SetPresence { status } => self.set_presence(status),
            Command::Call { user_id, call_type } => {
                if let Ok(user_id) = user_id.parse::<UserId>() {
                    self.place_call(user_id, call_type);
                }
            }
            Command::Answer { call_type } => self.answer(call_type),
            Command::Decline => self.decline(),
            Command::HangUp => self.hang_up(),
            Command::ExtendCall => self.extend_call(),
            Command::DismissCall => self.dismiss_call(),
            Command::SetMuted { muted } => self.set_muted(muted),
            Command::SetCameraOn { on } => self.set_camera_on(on),
            Command::SelectDevice { kind, id } => self.select_device(kind, id),
            Command::RefreshDevices => self.studio.refresh(),
            Command::RetryDevices => self.studio.try_again(),
            Command::SetPreview { on } => self.studio.set_preview(on),
            Command::TestSpeaker => self.studio.test_speaker(),
            Command::LoadHistory { page } => self.load_history(page),
            Command::SetSettings { settings } => self.set_settings(settings),
            Command::DismissNotice { id } => self.notices.retain(|notice| notice.id != id),
            Command::StartConversation { .. }
            | Command::ViewConversation { .. }
            | Command::SendMessage { .. }
            | Command::EditMessage { .. }
            | Command::DeleteMessage { .. }
            | Command::MarkRead { .. }
            | Command::SetTyping { .. }
            | Command::ShowCheckCode { .. }
            | Command::AcceptOwnDevices { .. }
            | Command::ConfirmCheckCode { .. }
            | Command::ResetCheck { .. }
            | Command::AcknowledgeKeyChange { .. }
            | Command::SendFiles { .. }
            | Command::SaveFile { .. }
            | Command::PauseTransfer { .. }
            | Command::ResumeTransfer { .. }
            | Command::CancelTransfer { .. }
            | Command::LoadInstallations
            | Command::RenameInstallation { .. }
            | Command::RevokeInstallation { .. }
            | Command::UnlockVault { .. }
            | Command::SetPassphrase { .. } => self.tell_chat(Input::Command(command)),
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Recalled(what) => self.recalled(what),
            Outcome::Restored(answer) => self.restored(answer),
            Outcome::PatienceOver => self.patience_over(),
            Outcome::Clinic(answer) => self.clinic_known(answer),
            Outcome::SignedIn { api, clinic, signed_in } => self.signed_in(api, Some(clinic), signed_in),
            Outcome::SignInFailed(error) => self.sign_in_failed(&error),
            Outcome::Contacts(answer) => self.contacts_fetched(answer),
            Outcome::History { page, asked, answer } => self.history_fetched(page, asked, answer),
            Outcome::Placed { placing, answer } => self.placed(placing, answer),
            Outcome::Measured(answer) => self.measured_sent(&answer),
            Outcome::Extended(answer) => self.extended(answer),
            Outcome::Answered { call_id, answer } => self.answered(call_id, answer),
        }
    }

    fn socket_event(&mut self, event: SocketEvent) {
        match event {
            SocketEvent::Up(welcome) => {
                tracing::info!(resumed = welcome.resumed, "online");
                self.tell_chat(Input::Online { resumed: welcome.resumed });
                self.reconcile_call(&welcome.calls);
                self.is_now(welcome.user);
                self.send_measured();
                if !welcome.resumed {
                    self.told_presence = None;
                    self.fetch_clinic();
                    self.fetch_contacts();
                }
                if self.history.page > 0 {
                    self.load_history(self.history.page);
                }
            }
            SocketEvent::Event(event) => self.server_event(*event),
            SocketEvent::State(state) => {
                if state != ConnectionView::Online {
                    self.tell_chat(Input::Offline);
                }
                self.connection = state;
            }
            SocketEvent::SignedOut => self.signed_out_elsewhere(),
        }
    }

    fn server_event(&mut self, event: Event) {
        match event {
            Event::PresenceUpdate(presence) => self.presence_changed(presence),
            Event::UserOnline { .. } | Event::UserOffline { .. } => {}
            Event::ContactsChanged => self.fetch_contacts(),
            Event::GoingAway { .. } => {}
            Event::CallRinging { .. }
            | Event::CallAccepted { .. }
            | Event::CallDeclined { .. }
            | Event::CallBusy { .. }
            | Event::CallConnecting { .. }
            | Event::CallConnected { .. }
            | Event::CallReconnecting { .. }
            | Event::CallTypeChanged { .. }
            | Event::CallExpiring { .. }
            | Event::CallExtended { .. }
            | Event::CallEnded { .. }
            | Event::CallMissed { .. }
            | Event::CallError { .. } => self.call_event(event),
            Event::Offer(_)
            | Event::Answer(_)
            | Event::Ice(_)
            | Event::ChatMessage(_)
            | Event::ChatDelivered(_)
            | Event::ChatRead(_)
            | Event::GroupCommit(_)
            | Event::GroupFounded(_)
            | Event::ChatTyping(_)
            | Event::GroupWelcome(_)
            | Event::ConversationChanged { .. }
            | Event::DevicesChanged
            | Event::KeyPackagesLow(_)
            | Event::KeyPackagesPublished { .. } => self.tell_chat(Input::Event(Box::new(event))),
        }
    }

    fn studio_event(&mut self, event: StudioEvent) {
        match event {
            StudioEvent::Changed => {}
            StudioEvent::Closed => self.studio.open_wanted(),
            StudioEvent::Works(kind) => self.forget_trouble(kind),
            StudioEvent::Trouble { kind, trouble, replaced_by } => {
                // Of each kind the newest counts: what took over is told a moment after what is wrong.
                self.forget_trouble(kind);
                self.notify(Notice::Device { device: kind, trouble, replaced_by });
            }
        }
    }

    fn network_changed(&mut self) {
        tracing::info!("the network changed");
        self.with_socket(Socket::connect_now);
        if let Some(call) = &self.call {
            call.network_changed();
        }
    }

    fn tick(&mut self) {
        let levels = self.studio.levels();
        self.outlets.levels.send_if_modified(|shown| std::mem::replace(shown, levels) != levels);
        self.studio.tick();
        self.check_deadlines();
    }

    fn select_device(&mut self, kind: DeviceKind, id: String) {
        if !self.studio.select(kind, &id) {
            return;
        }
        self.remember(|remembered| match kind {
            DeviceKind::Camera => remembered.camera = Some(id),
            DeviceKind::Microphone => remembered.microphone = Some(id),
            DeviceKind::Speaker => remembered.speaker = Some(id),
        });
    }

    fn set_settings(&mut self, settings: Settings) {
        self.studio.set_processing(&settings);
        self.tell_chat(Input::ReadReceipts(settings.read_receipts));
        self.remember(|remembered| remembered.settings = settings);
    }

    /// Remembers a change; a profile that can't be written costs the memory, not the call.
    pub(super) fn remember(&mut self, change: impl FnOnce(&mut Remembered)) {
        if let Err(error) = self.profile.update(change) {
            tracing::warn!(%error, "the profile could not be written");
        }
    }

    pub(super) fn with_socket(&self, act: impl FnOnce(&Socket)) {
        if let Some(socket) = &self.socket {
            act(socket);
        }
    }

    pub(super) fn tell(&self, request: Request) {
        self.with_socket(|socket| socket.tell(request));
    }

    fn publish(&mut self) {
        if let Some(server) = self.socket.as_ref().and_then(Socket::server_now) {
            self.times.follow(server, crate::clock::now());
        }
        let mut snapshot = self.view();
        snapshot.revision = self.revision;
        if *self.outlets.snapshots.borrow().as_ref() == snapshot && self.revision > 0 {
            return;
        }
        self.revision += 1;
        snapshot.revision = self.revision;
        self.outlets.snapshots.send_replace(Arc::new(snapshot));
    }
}
