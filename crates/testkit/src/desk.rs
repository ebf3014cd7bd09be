//! Somebody at their desk with one conversation open.

use std::sync::Arc;

use bedside_ui_contract::{
    Command, Snapshot,
    chat::{CheckCodeView, ConversationState, ConversationView, MessageContent, MessageView},
    snapshot::AccountView,
};

use crate::clinic::{Clinic, Computer, PASSWORD, Seat};

/// A person, their computer, and the conversation that is looked at.
pub struct Desk {
    /// Their engine.
    pub seat: Seat,
    computer: Computer,
    /// The conversation's id.
    pub conversation: String,
}

impl Desk {
    /// Somebody who has just signed in on a new computer.
    ///
    /// # Panics
    /// When that fails.
    pub async fn new(clinic: &Clinic, login: &str) -> Self {
        Self::at(clinic, &clinic.url(), login).await
    }

    /// The same, with another address for the clinic's.
    ///
    /// # Panics
    /// When that fails.
    pub async fn at(clinic: &Clinic, url: &str, login: &str) -> Self {
        Self::on(clinic.computer(login), url, login).await
    }

    /// The same, on a certain computer.
    ///
    /// # Panics
    /// When that fails.
    pub async fn on(computer: Computer, url: &str, login: &str) -> Self {
        let mut seat = computer.clone().start();
        seat.sign_in(url, login, PASSWORD).await;
        Self { seat, computer, conversation: String::new() }
    }

    /// Somebody whose app runs already, and the conversation that they look at.
    #[must_use]
    pub const fn sitting(seat: Seat, computer: Computer, conversation: String) -> Self {
        Self { seat, computer, conversation }
    }

    /// Opens the conversation with somebody and waits until it can be used.
    ///
    /// # Panics
    /// When it never can.
    pub async fn open(&mut self, login: &str) {
        let peer = self.seat.person(login);
        self.seat.ask(Command::StartConversation { user_ids: vec![peer.clone()], title: None });
        self.find("a conversation that can be used", |one| {
            one.peer_id.as_deref() == Some(&peer) && one.state == ConversationState::Ready
        })
        .await;
    }

    /// Founds a group.
    ///
    /// # Panics
    /// When it never can be used.
    pub async fn found(&mut self, title: &str, user_ids: Vec<String>) {
        self.seat.ask(Command::StartConversation { user_ids, title: Some(title.to_owned()) });
        self.join(title).await;
    }

    /// Waits for the group of that name.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn join(&mut self, title: &str) {
        self.find("the group", |one| one.title == title && one.state == ConversationState::Ready).await;
    }

    async fn find(&mut self, what: &str, wanted: impl Fn(&ConversationView) -> bool) {
        let snapshot =
            self.seat.until(what, |snapshot| snapshot.chat.conversations.iter().any(&wanted)).await;
        let found = snapshot.chat.conversations.iter().find(|one| wanted(one)).expect("it was there");
        self.conversation.clone_from(&found.id);
    }

    /// The app is closed and started again on the same computer.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(self) -> Self {
        let Self { seat, computer, conversation } = self;
        drop(seat);
        let seat = computer.clone().start();
        Self { seat, computer, conversation }
    }

    /// The same, and meanwhile the profile was deleted, all but what is in the keyring.
    ///
    /// # Panics
    /// When there was none.
    pub async fn restart_without_messages(self) -> Self {
        let Self { seat, computer, .. } = self;
        drop(seat);
        loop {
            // The engine's task may still be closing its files.
            let removed = std::fs::read_dir(&computer.profile).expect("a profile").flatten().all(|entry| {
                entry.path().extension().is_none_or(|kind| kind != "redb")
                    || std::fs::remove_file(entry.path()).is_ok()
            });
            if removed {
                break;
            }
            tokio::task::yield_now().await;
        }
        let mut seat = computer.clone().start();
        seat.until("signed in, with people", |snapshot| snapshot.people_loaded).await;
        Self { seat, computer, conversation: String::new() }
    }

    /// The user's id.
    ///
    /// # Panics
    /// When nobody is signed in.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.seat.engine.snapshots().borrow().account {
            AccountView::SignedIn { user_id, .. } => user_id.clone(),
            _ => panic!("nobody is signed in"),
        }
    }

    /// Asks something of the conversation.
    pub fn ask(&self, command: impl FnOnce(String) -> Command) {
        self.seat.ask(command(self.conversation.clone()));
    }

    /// Writes something.
    pub fn write(&self, text: &str) {
        self.ask(|conversation_id| Command::SendMessage {
            conversation_id,
            text: text.to_owned(),
            reply_to: None,
        });
    }

    /// Writes something in answer to a message.
    pub fn answer(&self, text: &str, to: &str) {
        self.ask(|conversation_id| Command::SendMessage {
            conversation_id,
            text: text.to_owned(),
            reply_to: Some(to.to_owned()),
        });
    }

    /// Changes what was written.
    pub fn edit(&self, id: &str, text: &str) {
        self.ask(|conversation_id| Command::EditMessage {
            conversation_id,
            message_id: id.to_owned(),
            text: text.to_owned(),
        });
    }

    /// Takes back what was written.
    pub fn delete(&self, id: &str) {
        self.ask(|conversation_id| Command::DeleteMessage { conversation_id, message_id: id.to_owned() });
    }

    /// Reads the conversation's code, once it is there.
    ///
    /// # Panics
    /// When it never is.
    pub async fn code(&mut self) -> CheckCodeView {
        self.ask(|conversation_id| Command::ShowCheckCode { conversation_id });
        self.until("a code", |one| one.check_code.is_some()).await.check_code.expect("it was there")
    }

    /// Says that this code was compared with these people, by id, and is the same.
    pub fn confirm(&self, code: CheckCodeView, with: Vec<String>) {
        self.ask(|conversation_id| Command::ConfirmCheckCode { conversation_id, code, with });
    }

    /// Goes on although keys changed: those that are shown.
    pub fn acknowledge_key_change(&self) {
        let snapshot = self.seat.engine.snapshots().borrow().clone();
        let shown = snapshot.chat.conversations.iter().find(|one| one.id == self.conversation);
        let changes = shown.map(|one| one.changed.clone()).unwrap_or_default();
        self.ask(|conversation_id| Command::AcknowledgeKeyChange { conversation_id, changes });
    }

    /// Says that all devices in the conversation that claim to be this person's are theirs.
    ///
    /// # Panics
    /// When there is no conversation.
    pub async fn accept_own_devices(&mut self) {
        let members = self.until("the members", |_| true).await.members;
        let own = members.into_iter().filter(|member| member.own).flat_map(|member| member.devices);
        let fingerprints = own.map(|device| device.fingerprint).collect();
        self.ask(|conversation_id| Command::AcceptOwnDevices { conversation_id, fingerprints });
    }

    /// Everything that is there has been seen.
    ///
    /// # Panics
    /// When there is nothing.
    pub async fn read_all(&mut self) {
        let total = self.until("something to read", |one| one.total > 0).await.total;
        self.ask(|conversation_id| Command::MarkRead { conversation_id, index: total - 1 });
    }

    /// The conversation in a snapshot.
    fn of<'a>(conversation: &str, snapshot: &'a Snapshot) -> Option<&'a ConversationView> {
        snapshot.chat.conversations.iter().find(|one| one.id == conversation)
    }

    /// Waits until the conversation is as wanted.
    ///
    /// # Panics
    /// When it never is.
    pub async fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&ConversationView) -> bool,
    ) -> ConversationView {
        let id = self.conversation.clone();
        let snapshot: Arc<Snapshot> =
            self.seat.until(what, |snapshot| Self::of(&id, snapshot).is_some_and(&wanted)).await;
        Self::of(&id, &snapshot).expect("it was there").clone()
    }

    /// All lines of the list.
    pub async fn items(&self) -> Vec<MessageView> {
        self.seat.engine.messages(self.conversation.clone(), 0, 500).await.items
    }

    /// All texts of the list.
    pub async fn texts(&self) -> Vec<String> {
        let text = |item: MessageView| match item.content {
            MessageContent::Text { text } => Some(text),
            _ => None,
        };
        self.items().await.into_iter().filter_map(text).collect()
    }

    /// Waits until the list is as wanted: looks again whenever it changes.
    ///
    /// # Panics
    /// When it never is.
    pub async fn until_items(
        &mut self,
        what: &str,
        wanted: impl Fn(&[MessageView]) -> bool,
    ) -> Vec<MessageView> {
        loop {
            let revision = self.until(what, |_| true).await.revision;
            let items = self.items().await;
            if wanted(&items) {
                return items;
            }
            self.until(what, |one| one.revision != revision).await;
        }
    }

    /// The same for its texts.
    ///
    /// # Panics
    /// When it never is.
    pub async fn until_texts(&mut self, what: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        loop {
            let revision = self.until(what, |_| true).await.revision;
            let texts = self.texts().await;
            if wanted(&texts) {
                return texts;
            }
            self.until(what, |one| one.revision != revision).await;
        }
    }
}
