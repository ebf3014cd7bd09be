//! The clinic's archive: an account that the server names, whose devices read along where records must be kept.
//!
//! Who that is, is the server's word. So it is remembered, another word is told in every conversation, and the archive
//! takes nobody's place: the two of a conversation stay who they are, and it is nobody whose reading is waited for.

use bedside_protocol::UserId;
use bedside_ui_contract::Notice;

use super::{Outcome, Worker};
use crate::chat::journal::{Content, KeyChange};

/// The archive that the conversations know of. A list of none or one: no record is another thing than no archive.
const ARCHIVE: &[u8] = b"archive";

impl Worker {
    /// After a start: what the server says now may be another than what the conversations were told last.
    pub(super) fn recall_archive(&mut self) {
        let now = self.config.archive;
        match self.journal.value::<Vec<UserId>>(ARCHIVE) {
            Ok(Some(told)) => self.config.archive = told.first().copied(),
            Ok(None) => self.note(ARCHIVE, &Vec::from_iter(now)),
            Err(error) => self.store_failed(error),
        }
        self.archive_is(now);
    }

    /// The server says who the archive is.
    pub(super) fn archive_is(&mut self, archive: Option<UserId>) {
        let before = std::mem::replace(&mut self.config.archive, archive);
        if before == archive {
            return;
        }
        self.journal.together();
        let mut blocked = false;
        for id in self.rooms.keys().copied().collect::<Vec<_>>() {
            let device = self.config.device;
            let Some(live) = self.rooms.get_mut(&id) else { continue };
            if live.room.removed || !live.knows_others(device) {
                continue;
            }
            if live.room.verified && live.room.changed.iter().all(|change| !change.archive) {
                let user = archive.or(before).unwrap_or(self.config.me.id);
                live.room.changed.push(KeyChange { user, at: crate::clock::now(), archive: true });
                blocked = true;
            }
            self.happened_again(id, Content::ArchiveChanged { present: archive.is_some() });
            self.keep(id);
        }
        self.note(ARCHIVE, &Vec::from_iter(archive));
        if let Err(error) = self.journal.commit() {
            self.store_failed(error);
        }
        if blocked {
            self.notify(Notice::ArchiveChanged);
        }
        if self.online {
            // What was not believed of a conversation before may make sense now.
            let api = self.config.api.clone();
            self.start(async move { Outcome::Listed(api.conversations().await) });
        }
    }
}
