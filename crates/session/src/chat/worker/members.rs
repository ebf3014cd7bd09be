//! Who is in a conversation's group, and who came in that was not before.

use std::collections::{BTreeMap, BTreeSet};

use bedside_e2ee::{PublicIdentity, mls::MlsError, store::StoreError};
use bedside_protocol::{ConversationId, UserId};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Live, Membership, Worker, group, learning::peer_of, reading::At};
use crate::chat::{
    body::Body,
    journal::{Content, Waiting},
};

impl Worker {
    /// Reads from the local store how this device stands to a group.
    pub(super) fn look_at_group(&mut self, id: ConversationId) {
        let (membership, members) = match self.device.members(&group(id)) {
            Ok(members) => (Membership::Member, members.into_iter().map(|member| member.identity).collect()),
            Err(MlsError::Joining) => (Membership::Joining, Vec::new()),
            Err(MlsError::UnknownGroup | MlsError::Removed) => (Membership::Outside, Vec::new()),
            Err(error) => {
                self.mls_failed(id, &error);
                (Membership::Outside, Vec::new())
            }
        };
        let Some(live) = self.rooms.get_mut(&id) else { return };
        if live.members != members {
            live.check_code = None;
        }
        (live.membership, live.members) = (membership, members);
        self.look_for_strays();
    }

    /// Somebody came online, or has published key packages: their first device may be there now.
    pub(super) fn reachable(&mut self, user: UserId) {
        let now = Instant::now();
        for id in self.rooms.keys().copied().collect::<Vec<_>>() {
            let Some(live) = self.rooms.get_mut(&id) else { continue };
            if live.others(self.config.me.id).any(|other| other == user) && live.lacks(user) {
                // An answer that is on its way may be from before: it is asked once more after that.
                live.look_again = Some(now);
                self.step(id);
            }
        }
    }

    /// Who comes in later can't read what the group is called: whoever let them in says it once more, or, where they
    /// came by themselves, the first of those who were there. It leaves with the next step.
    pub(super) fn tell_the_name(
        &mut self,
        id: ConversationId,
        joined: &[PublicIdentity],
        by_itself: bool,
        own: bool,
    ) {
        let device = self.own_device();
        let Some(live) = self.rooms.get_mut(&id).filter(|_| !joined.is_empty()) else { return };
        let were_there = live.members.iter().filter(|member| !joined.contains(member));
        let first = were_there.map(|member| member.device).min() == Some(device);
        if let Some(title) = live.room.title.clone()
            && if by_itself { first } else { own }
        {
            let body = Body::Title { title: title.reveal().clone(), sent_at: crate::clock::now() };
            live.room.waiting.push(Waiting { id: Uuid::now_v7(), body, sealed: false });
        }
    }

    /// After a start: whoever came in while the last run ended is told of.
    pub(super) fn check_again(&mut self, id: ConversationId) {
        let Some(live) = self.rooms.get(&id) else { return };
        let told = |member| live.room.told_of.contains(member);
        let untold = !live.members.is_empty()
            && (live.members.len() != live.room.told_of.len() || !live.members.iter().all(told));
        if untold {
            self.came_in(id, false);
        }
        let verified = |live: &&Live| live.room.verified && live.room.changed.is_empty();
        if self.rooms.get(&id).filter(verified).is_some() {
            self.newcomers_in(id, &[]);
        }
    }

    /// A list from before the other of two was written down.
    pub(super) fn name_the_peer(&mut self, id: ConversationId) {
        let (me, archive) = (self.me(), self.config.archive);
        if let Some(live) = self.rooms.get_mut(&id)
            && live.room.peer.is_none()
        {
            live.room.peer = peer_of(&live.room.server, me, archive);
        }
    }

    /// [`Worker::tell_who_is_here`] where no entry of the log brings it about, written at once.
    pub(super) fn came_in(&mut self, id: ConversationId, again: bool) {
        let Some(live) = self.rooms.get(&id) else { return };
        let at = At { position: live.room.processed.saturating_sub(1), at: crate::clock::now() };
        self.journal.together();
        let written = self.tell_who_is_here(id, at, again).and_then(|()| {
            self.keep(id);
            self.journal.commit()
        });
        if let Err(error) = written {
            self.journal.abandon();
            self.store_failed(error);
        }
    }

    /// This device is in the group by a way on which the log does not name everybody: it founded it, was let in, or came
    /// in from outside. Says whose devices are new and whose are gone since the list told of the group, or, where it
    /// never did, who is here with more than one. `again`: it was here before, though the list may not know it.
    pub(super) fn tell_who_is_here(
        &mut self,
        id: ConversationId,
        at: At,
        again: bool,
    ) -> Result<(), StoreError> {
        let (device, me) = (self.own_device(), self.device.identity().public());
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        let knew = live.knows_others(device);
        let now = live.members.clone();
        let before = std::mem::replace(&mut live.room.told_of, now.clone());
        if again || knew {
            self.happened(id, at, &me, Content::Rejoined)?;
        }
        if knew {
            for member in now.iter().filter(|member| !before.contains(member)) {
                let content = Content::DeviceJoined { user: member.user, by_itself: false };
                self.happened(id, at, member, content)?;
            }
            for member in before.iter().filter(|member| !now.contains(member)) {
                self.happened(id, at, &me, Content::DeviceLeft { user: member.user })?;
            }
        } else {
            let mut devices = BTreeMap::<UserId, u32>::new();
            for member in &now {
                *devices.entry(member.user).or_default() += 1;
            }
            for (user, count) in devices.into_iter().filter(|(_, count)| *count > 1) {
                self.happened(id, at, &me, Content::SeveralDevices { user, count })?;
            }
        }
        self.newcomers_in(id, &before);
        Ok(())
    }

    /// Members that were not members before: told, and where the code had been compared, told loudly.
    pub(super) fn newcomers_in(&mut self, id: ConversationId, before: &[PublicIdentity]) {
        let me = self.me();
        let Some(live) = self.rooms.get(&id) else { return };
        let unchecked: BTreeSet<UserId> = live
            .members
            .iter()
            .filter(|member| !before.contains(member) && !self.checked(live, member))
            .map(|member| member.user)
            .collect();
        if unchecked.is_empty() {
            // Everybody in it may have been checked elsewhere.
            let verified = live.room.verified || (self.all_checked(live) && live.members.len() > 1);
            if let Some(live) = self.rooms.get_mut(&id) {
                live.room.verified = verified;
            }
            return;
        }
        // In whatever conversation: of somebody whose key was checked, another key is news.
        let compared = live.room.verified;
        let changed =
            unchecked.into_iter().filter(|user| compared || (*user != me && self.trust.knows_one_of(*user)));
        for user in changed.collect::<Vec<_>>() {
            self.key_changed(id, user);
        }
    }
}
