//! Who is in a conversation's group, and who came in that was not before.

use bedside_e2ee::{PublicIdentity, mls::MlsError};
use bedside_protocol::{ConversationId, ConversationKind, UserId};
use tokio::time::Instant;

use uuid::Uuid;

use super::{Live, Membership, Worker, group};
use crate::chat::{body::Body, journal::Waiting};

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
        let verified = |live: &&Live| live.room.verified && live.room.changed.is_empty();
        if self.rooms.get(&id).filter(verified).is_some() {
            self.newcomers_in(id, &[]);
        }
    }

    /// Members that were not members before: told, and where the code had been compared, told loudly.
    pub(super) fn newcomers_in(&mut self, id: ConversationId, before: &[PublicIdentity]) {
        let (own, me) = (self.own_device(), self.me());
        let Some(live) = self.rooms.get_mut(&id) else { return };
        // In whatever conversation: of somebody whose key was compared, another key is news.
        let first = before.iter().all(|member| member.device == own);
        let close = first || live.room.server.kind == ConversationKind::Direct;
        let mut unchecked: Vec<_> = live
            .members
            .iter()
            .filter(|member| member.device != own && !before.contains(member))
            .filter(|member| !self.trust.knows(member))
            .map(|member| member.user)
            .collect();
        if live.room.verified {
            unchecked.dedup();
            for user in unchecked {
                self.key_changed(id, user);
            }
        } else if !unchecked.is_empty() {
            unchecked.retain(|user| close && *user != me && self.trust.knows_one_of(*user));
            unchecked.dedup();
            for user in unchecked {
                self.key_changed(id, user);
            }
        } else {
            // Everybody in it was compared elsewhere.
            live.room.verified =
                live.members.iter().all(|member| member.device == own || self.trust.knows(member))
                    && live.members.len() > 1;
        }
    }
}
