//! New keys for this device in groups in which nothing else brings them.
//!
//! Every change of a group brings new keys for whoever makes it. Where nobody comes or goes there is no change, and
//! whoever once stole this device's keys could read along for good. So a device that says something where its keys are
//! old makes new ones, once its words are in the log: nothing that is said waits for that, and no call changes its keys
//! under way. That it has brought receipts counts as saying something. Nobody is told: who is in the group and their
//! identities stay as they are.

use std::time::Duration;

use bedside_e2ee::mls::{Change, MlsError};
use bedside_protocol::{ConversationId, Timestamp};
use tokio::time::Instant;

use super::{Membership, Worker, group};

/// For so long the keys of a device serve in one group, and then until it says something there.
const RENEW_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);
/// How far ahead the clock may have been.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);
/// What was said comes first, and what is answered at once. Also when to try again where another change was quicker.
const PAUSE: Duration = Duration::from_secs(3);
/// Devices that have all said something make way for each other.
const STEP: Duration = Duration::from_secs(1);

/// Whether keys of `made` are old; also when nobody can tell, as they are of a time that has not come.
fn are_old(made: Timestamp, now: Timestamp) -> bool {
    let older_than = |span: Duration, since: Timestamp, until: Timestamp| {
        u128::from(until.millis_since(since)) >= span.as_millis()
    };
    older_than(RENEW_AFTER, made, now) || older_than(CLOCK_SKEW, now, made)
}

impl Worker {
    /// The log has something that this device said.
    pub(super) fn spoke(&mut self, id: ConversationId) {
        let own = self.own_device();
        let Some(live) = self.rooms.get_mut(&id) else { return };
        let now = crate::clock::now();
        if are_old(*live.room.renewed.get_or_insert(now), now) && live.renew_at.is_none() {
            let place = live.members.iter().position(|member| member.device == own).unwrap_or_default();
            let turn = STEP.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX));
            live.renew_at = Some(Instant::now() + PAUSE + turn);
        }
    }

    /// Makes new keys for this device if they are still old and nothing else is going on.
    pub(super) fn renew(&mut self, id: ConversationId) {
        let (me, name, calls) = (self.me(), group(id), self.in_call.is_some());
        let unsent = self.device.unsent(&name);
        let position = self.device.position(&name);
        let Some(live) = self.rooms.get_mut(&id) else { return };
        live.renew_at = None;
        let old = live.room.renewed.is_some_and(|made| are_old(made, crate::clock::now()));
        if !old || live.membership != Membership::Member || !live.room.changed.is_empty() {
            return;
        }
        live.renew_at = Some(Instant::now() + PAUSE);
        let idle = self.online
            && !calls
            && !live.busy
            && live.retry_at.is_none()
            && live.is_ready(me)
            && live.room.waiting.is_empty()
            && unsent.is_ok_and(|unsent| unsent.is_empty())
            && position == Ok(live.room.server.next_position);
        if !idle {
            return;
        }
        match self.device.commit(&name, &Change::Update) {
            Ok(commit) => self.offer_commit(id, commit),
            Err(MlsError::CommitPending) => {}
            Err(error) => self.mls_failed(id, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_old_after_a_week_and_where_the_clock_went_back() {
        let (hour, day) = (3600 * 1000, 24 * 3600 * 1000);
        let made = Timestamp(100 * day);
        for (now, old) in [
            (made.0, false),
            (made.0 + 7 * day - 1, false),
            (made.0 + 7 * day, true),
            (made.0 + 70 * day, true),
            (made.0 - hour + 1, false),
            (made.0 - hour, true),
            (0, true),
        ] {
            assert_eq!(are_old(made, Timestamp(now)), old, "{now}");
        }
    }
}
