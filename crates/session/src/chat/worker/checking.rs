//! Comparing codes: what is shown to be read out, and whose devices count as checked afterwards.
//!
//! A code is of all devices in a group, so whoever reads it out says two things: this is what I see, and those of these
//! devices that claim to be mine are mine. The second is why no code is shown, and none confirmed, while a device of
//! one's own is in it that the person has not accepted. What is confirmed is what was on the screen, and what follows
//! from it is trust in the devices of those who read the same code: nobody else vouched for theirs.

use bedside_e2ee::{PublicIdentity, check_code::CheckCode};
use bedside_protocol::{ConversationId, UserId};
use bedside_ui_contract::{
    Failure,
    chat::{CheckCodeView, CheckEmojiView, KeyChangeView},
};

use super::{Live, Outcome, Worker, view::fingerprint};
use crate::chat::{journal::Content, trust::Trust};

impl Worker {
    /// Whether a device in a conversation is known to be whose it says it is.
    pub(super) fn checked(&self, live: &Live, identity: &PublicIdentity) -> bool {
        identity.device == self.own_device()
            || self.trust.knows(identity)
            || live.room.archive.contains(identity)
    }

    pub(super) fn all_checked(&self, live: &Live) -> bool {
        live.members.iter().all(|member| self.checked(live, member))
    }

    /// Whether this is the clinic's archive, as the server says, and neither of two people who talk.
    pub(super) fn is_archive(&self, live: &Live, user: UserId) -> bool {
        Some(user) == self.config.archive && live.room.peer != Some(user)
    }

    /// The code to be read out.
    pub(super) fn code<'a>(&self, live: &'a Live) -> Option<&'a CheckCodeView> {
        live.check_code.as_ref().filter(|_| self.vouches(live))
    }

    /// Whether this person has accepted every device in a conversation that claims to be theirs.
    fn vouches(&self, live: &Live) -> bool {
        let me = self.me();
        live.members.iter().all(|member| member.user != me || self.checked(live, member))
    }

    pub(super) fn compute_code(&mut self, id: ConversationId) {
        let Some(live) = self.rooms.get(&id) else { return };
        if live.check_code.is_some() || live.members.len() < 2 || !self.vouches(live) {
            return;
        }
        let members = live.members.clone();
        self.start(async move {
            let computed = {
                let members = members.clone();
                tokio::task::spawn_blocking(move || CheckCode::of(&members).ok()).await.ok().flatten()
            };
            Outcome::CheckCode(id, members, computed.map(|code| code_view(&code)))
        });
    }

    pub(super) fn code_computed(
        &mut self,
        id: ConversationId,
        members: &[PublicIdentity],
        code: Option<CheckCodeView>,
    ) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        // A code of members who are not the members any more must not be compared.
        if live.members == members {
            live.check_code = code;
        }
    }

    /// The person says of the devices with these fingerprints that they are their own.
    pub(super) fn accept_own_devices(&mut self, id: ConversationId, fingerprints: &[String]) {
        let me = self.me();
        let Some(live) = self.rooms.get(&id) else { return };
        let own = live.members.iter().filter(|member| member.user == me);
        let accepted: Vec<_> =
            own.filter(|member| fingerprints.contains(&fingerprint(member))).copied().collect();
        self.trust.add(&accepted);
        self.keep_trust();
    }

    /// The code on the screen was compared with these people, and they read the same.
    pub(super) fn confirm_code(&mut self, id: ConversationId, shown: &CheckCodeView, with: &[UserId]) {
        let Some(live) = self.rooms.get(&id) else { return };
        if self.code(live) != Some(shown) {
            return self.notify_failure(Failure::CodeChanged);
        }
        let me = self.me();
        let (archive, people): (Vec<_>, Vec<_>) =
            live.members.iter().copied().partition(|member| self.is_archive(live, member.user));
        let vouched: Vec<_> =
            people.into_iter().filter(|member| member.user != me && with.contains(&member.user)).collect();
        if vouched.is_empty() {
            return;
        }
        self.trust.add(&vouched);
        self.keep_trust();
        if let Some(live) = self.rooms.get_mut(&id) {
            // Both see the same archive here; that it is the clinic's nobody has vouched for.
            live.room.archive = archive;
        }
        let Some(live) = self.rooms.get(&id) else { return };
        let verified = self.all_checked(live);
        let settled = |user: UserId| {
            live.members.iter().filter(|member| member.user == user).all(|member| self.checked(live, member))
        };
        let changed = live.room.changed.iter().filter(|change| !change.archive && !settled(change.user));
        let changed = changed.cloned().collect();
        if let Some(live) = self.rooms.get_mut(&id) {
            (live.room.verified, live.room.changed) = (verified, changed);
        }
        self.happened_here(id, Content::Verified);
        self.keep(id);
        self.step(id);
    }

    pub(super) fn reset_check(&mut self, id: ConversationId) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        // What is blocked stays so: a code that does not match is no reason to go on.
        self.trust.remove(&live.members);
        live.room.archive.clear();
        live.room.verified = false;
        self.keep_trust();
        self.keep(id);
    }

    /// The person goes on although these keys changed: what was on the screen, which may be less than there is by now.
    pub(super) fn acknowledge_change(&mut self, id: ConversationId, shown: &[KeyChangeView]) {
        let Some(live) = self.rooms.get(&id) else { return };
        if self.key_changes(live) != shown {
            return self.notify_failure(Failure::CodeChanged);
        }
        let Some(live) = self.rooms.get_mut(&id) else { return };
        live.room.verified = false;
        live.room.changed.clear();
        self.keep(id);
        self.step(id);
    }

    fn keep_trust(&mut self) {
        if let Err(error) = self.journal.write_value(Trust::NAME, &self.trust) {
            self.store_failed(error);
        }
        self.barrier();
    }
}

fn code_view(code: &CheckCode) -> CheckCodeView {
    CheckCodeView {
        emoji: code
            .emoji
            .iter()
            .map(|one| CheckEmojiView { symbol: one.symbol.to_owned(), name: one.name.to_owned() })
            .collect(),
        digits: code.digits.iter().map(|group| format!("{group:04}")).collect(),
    }
}
