//! Files in conversations: sent when they are on their way, listed when they are there.

use std::path::PathBuf;

use bedside_protocol::{ConversationId, Pii};
use bedside_ui_contract::Notice;
use uuid::Uuid;

use super::Worker;
use crate::{
    chat::{
        body::Body,
        journal::{Content, Waiting},
    },
    transfer::{SharedFile, TransferEvent, TransferId, Transfers},
};

impl Worker {
    pub(super) fn send_files(&mut self, id: ConversationId, paths: Vec<String>) {
        if !self.may_speak(id) {
            return;
        }
        // In a call with them, straight to the other person.
        let call = self.call_in(id);
        for path in paths.into_iter().map(PathBuf::from) {
            let _ = match call {
                Some(call) => self.transfers.offer_in_call(path, id, call),
                None => self.transfers.send_by_server(path, id),
            };
        }
    }

    /// Fetches the file of a message into a folder.
    pub(super) fn save_file(&mut self, id: ConversationId, message: Uuid, folder: Option<String>) {
        let place = self.journal.place(id, message).ok().flatten();
        let item = place.and_then(|place| self.journal.item(id, place).ok().flatten());
        let Some(Content::File { file, .. }) = item.map(|item| item.content) else { return };
        let folder = folder.map(PathBuf::from).unwrap_or_else(|| downloads(&self.config.folder));
        let _ = self.transfers.fetch(*file, id, bedside_protocol::EntryId(message), folder);
    }

    pub(super) fn with_transfer(&self, id: &str, act: impl FnOnce(&Transfers, TransferId)) {
        if let Ok(id) = id.parse() {
            act(&self.transfers, id);
        }
    }

    pub(super) fn transfer_event(&mut self, event: TransferEvent) {
        match event {
            // The next view has it.
            TransferEvent::Changed => {}
            TransferEvent::Uploaded { transfer, conversation_id, message_id, file } => {
                self.announce_file(conversation_id, message_id.0, file);
                self.transfers.settled(transfer);
            }
            TransferEvent::Offered { conversation_id, message_id, file, .. } => {
                self.announce_file(conversation_id, message_id.0, file);
            }
            TransferEvent::Delivered { .. } => {}
            TransferEvent::Saved { conversation_id, message_id, path, .. } => {
                self.file_saved(conversation_id, message_id.0, path);
            }
            TransferEvent::Failed { name, reason, .. } => {
                self.notify(Notice::Transfer { file: name, reason });
            }
        }
    }

    /// The file can be had: its message can be said. It is told again after a crash, and where its place changed: what
    /// was offered in a call that ended is on the server now.
    fn announce_file(&mut self, id: ConversationId, message: Uuid, file: SharedFile) {
        let call = self.call_in(id);
        let said = self.journal.place(id, message).ok().flatten();
        let said = said.and_then(|place| self.journal.item(id, place).ok().flatten());
        let known = said.is_some_and(|item| match item.content {
            Content::File { file: said, .. } => said.source == file.source,
            _ => true,
        });
        let Some(live) = self.rooms.get_mut(&id) else { return };
        let waits = live.room.waiting.iter().any(|waiting| {
            waiting.id == message
                && matches!(&waiting.body, Body::File { file: said, .. } if said.source == file.source)
        });
        if known || waits {
            return;
        }
        let body = Body::File { file: Box::new(file), call, sent_at: crate::clock::now() };
        live.room.waiting.push(Waiting { id: message, body, sealed: false });
        live.room.revision += 1;
        self.keep(id);
        self.step(id);
    }

    fn file_saved(&mut self, id: ConversationId, message: Uuid, path: PathBuf) {
        let Ok(Some(place)) = self.journal.place(id, message) else { return };
        let Some(live) = self.rooms.get_mut(&id) else { return };
        let marked = self.journal.change(&mut live.room, place, |item| match &mut item.content {
            Content::File { saved, .. } => {
                *saved = Some(Pii::new(path.to_string_lossy().into_owned()));
                true
            }
            _ => false,
        });
        if let Err(error) = marked {
            self.store_failed(error);
        }
    }
}

/// Where files go when nobody says where.
fn downloads(otherwise: &std::path::Path) -> PathBuf {
    dirs::download_dir().or_else(dirs::home_dir).unwrap_or_else(|| otherwise.to_path_buf())
}
