//! What the person wants of a conversation, of its code, of their devices.

use bedside_protocol::{
    CallId, Conversation, ConversationId, ConversationKind, UserId, conversation::CreateConversation,
};
use bedside_ui_contract::{Command, Failure, chat::VaultView};
use uuid::Uuid;

use super::{Outcome, Worker};
use crate::{
    api::ApiError,
    chat::{
        body::{Body, text_fits},
        vault::VaultError,
    },
    transfer::Transfers,
};

impl Worker {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::StartConversation { user_ids, title } => self.start_conversation(&user_ids, title),
            Command::ViewConversation { conversation_id } => {
                self.viewed = conversation_id.and_then(|id| id.parse().ok());
                if let Some(live) = self.viewed.and_then(|id| self.rooms.get_mut(&id)) {
                    live.wanted = true;
                    let id = live.room.id();
                    self.step(id);
                }
            }
            Command::SendMessage { conversation_id, text, reply_to } => {
                let reply_to = reply_to.and_then(|id| id.parse().ok());
                self.with(&conversation_id, |worker, id| worker.write(id, text, reply_to));
            }
            Command::EditMessage { conversation_id, message_id, text } => {
                self.with_message(&conversation_id, &message_id, |worker, id, message| {
                    if worker.may_write(id, &text) {
                        worker.say(id, Body::Edit { message, text });
                    }
                });
            }
            Command::DeleteMessage { conversation_id, message_id } => {
                self.with_message(&conversation_id, &message_id, Self::delete);
            }
            Command::MarkRead { conversation_id, index } => {
                self.with(&conversation_id, |worker, id| worker.mark_read(id, index));
            }
            Command::SetTyping { conversation_id, typing } => {
                self.with(&conversation_id, |worker, id| worker.type_in(id, typing));
            }
            Command::ShowCheckCode { conversation_id } => self.with(&conversation_id, Self::compute_code),
            Command::AcceptOwnDevices { conversation_id, fingerprints } => {
                self.with(&conversation_id, |worker, id| worker.accept_own_devices(id, &fingerprints));
            }
            Command::ConfirmCheckCode { conversation_id, code, with } => {
                let with: Vec<UserId> = with.iter().filter_map(|user| user.parse().ok()).collect();
                self.with(&conversation_id, |worker, id| worker.confirm_code(id, &code, &with));
            }
            Command::ResetCheck { conversation_id } => self.with(&conversation_id, Self::reset_check),
            Command::AcknowledgeKeyChange { conversation_id, changes } => {
                self.with(&conversation_id, |worker, id| worker.acknowledge_change(id, &changes));
            }
            Command::SendFiles { conversation_id, paths } => {
                self.with(&conversation_id, |worker, id| worker.send_files(id, paths));
            }
            Command::SaveFile { conversation_id, message_id, folder } => {
                self.with_message(&conversation_id, &message_id, |worker, id, message| {
                    worker.save_file(id, message, folder);
                });
            }
            Command::PauseTransfer { id } => self.with_transfer(&id, Transfers::pause),
            Command::ResumeTransfer { id } => self.with_transfer(&id, Transfers::resume),
            Command::CancelTransfer { id } => self.with_transfer(&id, Transfers::cancel),
            Command::LoadInstallations => self.fetch_devices(),
            Command::RenameInstallation { device_id, name } => self.rename_device(&device_id, name),
            Command::RevokeInstallation { device_id } => self.revoke_device(&device_id),
            Command::SetPassphrase { passphrase } => self.keep_under(passphrase),
            // Everything else is the engine's, or opens what is open.
            _ => {}
        }
    }

    fn with(&mut self, id: &str, act: impl FnOnce(&mut Self, ConversationId)) {
        if let Ok(id) = id.parse()
            && self.rooms.contains_key(&id)
        {
            act(self, id);
        }
    }

    fn with_message(&mut self, id: &str, message: &str, act: impl FnOnce(&mut Self, ConversationId, Uuid)) {
        if let Ok(message) = message.parse() {
            self.with(id, |worker, id| act(worker, id, message));
        }
    }

    /// The conversation of two.
    pub(super) fn direct(&self, peer: UserId) -> Option<ConversationId> {
        let found = self.rooms.values().find(|live| live.room.peer == Some(peer));
        found.map(|live| live.room.id())
    }

    fn start_conversation(&mut self, user_ids: &[String], title: Option<String>) {
        let users: Vec<UserId> = user_ids.iter().filter_map(|id| id.parse().ok()).collect();
        let kind = match (users.as_slice(), &title) {
            ([], _) => return,
            ([one], None) => {
                let one = *one;
                return self.prepare(one);
            }
            _ => ConversationKind::Group,
        };
        if !self.online {
            return self.notify_failure(Failure::ClinicAway);
        }
        let api = self.config.api.clone();
        let body = CreateConversation { kind, participants: users };
        self.start(async move { Outcome::Created { title, answer: api.create_conversation(&body).await } });
    }

    pub(super) fn created(&mut self, title: Option<String>, answer: Result<Conversation, ApiError>) {
        let conversation = match answer {
            Ok(conversation) => conversation,
            Err(error) => return self.notify_failure(error.failure_when_signed_in()),
        };
        let id = conversation.id;
        self.fetched(id, Ok(conversation));
        if let Some(live) = self.rooms.get_mut(&id) {
            live.wanted = true;
        }
        let title = title.map(|title| title.trim().chars().take(80).collect::<String>());
        if let Some(title) = title.filter(|title| !title.is_empty()) {
            self.say(id, Body::Title { title, sent_at: crate::clock::now() });
        }
        self.step(id);
    }

    /// Whether something may be said here now; if not, the person is told why.
    pub(super) fn may_speak(&self, id: ConversationId) -> bool {
        let Some(live) = self.rooms.get(&id) else { return false };
        if !live.room.changed.is_empty() {
            self.notify_failure(Failure::KeyChanged);
        }
        live.room.changed.is_empty() && !live.room.removed
    }

    /// The same for this text.
    fn may_write(&self, id: ConversationId, text: &str) -> bool {
        if text.trim().is_empty() || !self.may_speak(id) {
            return false;
        }
        if !text_fits(text) {
            self.notify_failure(Failure::TooLong);
            return false;
        }
        true
    }

    fn write(&mut self, id: ConversationId, text: String, reply_to: Option<Uuid>) {
        if !self.may_write(id, &text) {
            return;
        }
        let call = self.call_in(id);
        self.say(id, Body::Text { text, reply_to, call, sent_at: crate::clock::now() });
    }

    /// The call that is held with the people of a conversation.
    pub(super) fn call_in(&self, id: ConversationId) -> Option<CallId> {
        let (call, peer) = self.in_call?;
        (self.direct(peer) == Some(id)).then_some(call)
    }

    /// What waits and was not sealed yet need not be said at all.
    fn delete(&mut self, id: ConversationId, message: Uuid) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        let before = live.room.waiting.len();
        live.room.waiting.retain(|waiting| waiting.id != message || waiting.sealed);
        if live.room.waiting.len() == before {
            self.say(id, Body::Delete { message });
        } else {
            live.room.revision += 1;
            self.keep(id);
        }
    }

    fn mark_read(&mut self, id: ConversationId, index: u32) {
        let seen = index.saturating_add(1);
        if let Err(error) = self.seen_until(id, seen) {
            return self.store_failed(error);
        }
        if let Some(live) = self.rooms.get_mut(&id) {
            live.room.seen_here = live.room.seen_here.max(seen.min(live.room.total));
        }
        self.keep(id);
        self.tell_receipt(id);
    }

    /// Keeps on disk what lived in memory.
    fn keep_under(&mut self, passphrase: String) {
        if self.vault.view != VaultView::Temporary {
            return;
        }
        let passphrase = zeroize::Zeroizing::new(passphrase);
        let kept = self.vault.keep_under(&passphrase).and_then(|()| self.vault.identity());
        match kept {
            Ok(identity) => {
                self.reopen(identity);
                self.tell_of_keys();
            }
            Err(VaultError::ShortPassphrase) => self.notify_failure(Failure::TooShort),
            Err(error) => {
                tracing::warn!(%error, "messages could not be kept under a passphrase");
                self.notify_failure(Failure::StorageFull);
            }
        }
    }
}
