//! A conversation while the messenger runs: its room, how this device stands to its group, and what is under way.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use bedside_call::rate::TokenBucket;
use bedside_e2ee::PublicIdentity;
use bedside_protocol::{
    CallId, ConversationKind, DeviceId, EntryId, UserId,
    conversation::{EntryKind, WaitingWelcome},
};
use bedside_ui_contract::chat::CheckCodeView;
use tokio::time::Instant;
use uuid::Uuid;

use super::groups::WELCOME_PATIENCE;
use crate::chat::journal::Room;

/// What failed is tried again after this long, and then after ever longer.
const RETRY: Duration = Duration::from_secs(1);

const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// How long to wait after so many failures before the last.
pub(super) fn pause_after(failures: u32) -> Duration {
    RETRY.saturating_mul(1 << failures.min(6)).min(LONGEST_RETRY)
}

/// So many times in a row this device comes into a group from outside, and then once in so long: whoever keeps pushing it
/// out must neither keep it busy nor fill the conversation with its coming and going.
const COMING_IN: u32 = 10;
const COMING_IN_EVERY: Duration = Duration::from_secs(30 * 60);

/// How this device stands to a conversation's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// Not in it.
    Outside,
    /// Has asked to come in, from outside.
    Joining,
    /// In it.
    Member,
}

/// A conversation while the task runs.
pub(super) struct Live {
    pub(super) room: Room,
    pub(super) membership: Membership,
    /// The group's devices, as far as this one is in it.
    pub(super) members: Vec<PublicIdentity>,
    /// Somebody wants the group, though nothing waits.
    pub(super) wanted: bool,
    /// It was in the group and lost its place in it.
    pub(super) rejoining: bool,
    /// A request about the group is under way.
    pub(super) busy: bool,
    pub(super) retry_at: Option<Instant>,
    pub(super) failures: u32,
    /// How often it joined, or tried to, since somebody else was understood last.
    pub(super) attempts: u32,
    /// How often it may still come in from outside.
    entries: TokenBucket,
    /// It does not come in from outside before.
    pub(super) outside_until: Option<Instant>,
    /// It was pushed out more often than it comes in again at once.
    pub(super) pushed_out: bool,
    pub(super) welcome: Option<WaitingWelcome>,
    /// When people without a device in the group are looked for again.
    pub(super) look_again: Option<Instant>,
    /// When this device makes new keys for itself.
    pub(super) renew_at: Option<Instant>,
    /// Entries under way, and where what waits went in this epoch.
    pub(super) in_flight: HashSet<EntryId>,
    pub(super) sealed: HashMap<Uuid, EntryId>,
    pub(super) kinds: HashMap<EntryId, (EntryKind, Option<CallId>)>,
    /// When others are told what has arrived.
    pub(super) receipt_at: Option<Instant>,
    /// What the server was told that this device has.
    pub(super) acknowledged: u64,
    /// Somebody else's words were opened in this epoch: this device is where the others are.
    pub(super) understood: bool,
    /// Entries in a row that made no sense, and whose they were, as the server says.
    pub(super) refused: u32,
    pub(super) refused_of: BTreeSet<UserId>,
    /// The server said that the epoch is over, and since then so often had nothing new in the log.
    pub(super) stale: Option<u32>,
    /// How often in a row the group's information led nowhere.
    pub(super) useless: u32,
    /// The group is founded in the place of the one whose information has this position.
    pub(super) replaces: Option<u64>,
    pub(super) typing: BTreeMap<UserId, Instant>,
    pub(super) check_code: Option<CheckCodeView>,
}

impl Live {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            membership: Membership::Outside,
            members: Vec::new(),
            wanted: false,
            rejoining: false,
            busy: false,
            retry_at: None,
            failures: 0,
            attempts: 0,
            entries: TokenBucket::slow(COMING_IN_EVERY, COMING_IN, Instant::now().into_std()),
            outside_until: None,
            pushed_out: false,
            welcome: None,
            look_again: None,
            renew_at: None,
            in_flight: HashSet::new(),
            sealed: HashMap::new(),
            kinds: HashMap::new(),
            // What came before the last run ended may be untold.
            receipt_at: Some(Instant::now()),
            acknowledged: 0,
            understood: false,
            refused: 0,
            refused_of: BTreeSet::new(),
            stale: None,
            useless: 0,
            replaces: None,
            typing: BTreeMap::new(),
            check_code: None,
        }
    }

    /// Waits before it tries again, longer each time.
    pub(super) fn failed(&mut self, now: Instant) {
        self.busy = false;
        let pause = pause_after(self.failures);
        self.failures += 1;
        self.retry_at = Some(now + pause);
    }

    /// Lost its place in the group, or did not get one: it comes in from outside, later each time.
    pub(super) fn is_outside(&mut self, now: Instant) {
        self.busy = false;
        self.membership = Membership::Outside;
        let pause = match self.attempts.checked_sub(1) {
            Some(before) => pause_after(before),
            None => Duration::ZERO,
        };
        self.attempts = self.attempts.saturating_add(1);
        self.pushed_out = false;
        self.stays_outside(now + pause);
    }

    /// Whether it may come in from outside now; counted if so.
    pub(super) fn may_come_in(&mut self, now: Instant) -> bool {
        let spent = self.entries.take(now.into_std()).err();
        self.pushed_out = spent.is_some();
        if let Some(wait) = spent {
            self.busy = false;
            self.stays_outside(now + wait);
        }
        spent.is_none()
    }

    /// It could not come in: that costs nobody anything.
    pub(super) fn did_not_come_in(&mut self) {
        self.entries.give_back();
    }

    /// The log makes sense here.
    pub(super) fn follows(&mut self) {
        self.refused = 0;
        self.refused_of.clear();
        self.stale = None;
        self.useless = 0;
    }

    /// The server says that the epoch is over.
    pub(super) fn is_stale(&mut self) {
        self.stale.get_or_insert(0);
        self.expect_more();
    }

    fn stays_outside(&mut self, until: Instant) {
        self.outside_until = Some(until);
        self.retry_at = Some(until);
    }

    /// The log goes on, and what it has is not known here yet.
    const fn expect_more(&mut self) {
        let next = &mut self.room.server.next_position;
        *next = next.saturating_add(1);
    }

    pub(super) fn succeeded(&mut self) {
        self.busy = false;
        self.failures = 0;
        self.retry_at = None;
    }

    /// Everybody but `me`.
    pub(super) fn others(&self, me: UserId) -> impl Iterator<Item = UserId> {
        self.room.server.participants.iter().map(|person| person.id).filter(move |id| *id != me)
    }
}

impl Live {
    /// Somebody has founded the group: where that is news, they are about to let this device in.
    pub(super) fn was_founded(&mut self) {
        let is_news = !std::mem::replace(&mut self.room.server.founded, true);
        if is_news && self.membership == Membership::Outside && self.welcome.is_none() {
            self.retry_at = Some(Instant::now() + WELCOME_PATIENCE);
        }
    }

    /// Whether the list has told of this group with anybody in it but this device.
    pub(super) fn knows_others(&self, device: DeviceId) -> bool {
        self.room.told_of.iter().any(|member| member.device != device)
    }

    /// Whether somebody has no device in the group.
    pub(super) fn lacks(&self, user: UserId) -> bool {
        self.members.iter().all(|member| member.user != user)
    }

    /// Whether what is written reaches those it is for.
    pub(super) fn is_ready(&self, me: UserId) -> bool {
        let mut others = self.others(me);
        self.membership == Membership::Member
            && match self.room.server.kind {
                ConversationKind::Direct => others.all(|user| !self.lacks(user)),
                ConversationKind::Group => others.any(|user| !self.lacks(user)),
            }
    }

    /// What had been given to the group before it was lost is given to it again.
    pub(super) fn unseal(&mut self) {
        self.sealed.clear();
        self.kinds.clear();
        self.in_flight.clear();
        for waiting in &mut self.room.waiting {
            waiting.sealed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use bedside_protocol::{Conversation, ConversationId, Timestamp};

    use super::*;

    fn conversation() -> Live {
        Live::new(Room::new(Conversation {
            id: ConversationId::random(),
            kind: ConversationKind::Direct,
            participants: Vec::new(),
            created_at: Timestamp(0),
            founded: true,
            epoch: 1,
            first_position: 0,
            next_position: 0,
            last_message_at: None,
        }))
    }

    /// How often this device comes in from outside in a day in which it is put out again within a second each time.
    fn times_in_a_day(live: &mut Live, understood: bool) -> u32 {
        let start = Instant::now();
        let mut times = 0;
        for now in (0..24 * 3600).map(|second| start + Duration::from_secs(second)) {
            if live.outside_until.is_none_or(|until| until <= now) && live.may_come_in(now) {
                times += 1;
                if understood {
                    live.attempts = 0;
                }
                live.is_outside(now);
            }
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_put_out_over_and_over_comes_in_a_few_times_and_then_seldom() {
        for understood in [false, true] {
            let mut live = conversation();
            let times = times_in_a_day(&mut live, understood);
            assert!((48..=58).contains(&times), "{times} times, others understood: {understood}");
            assert_eq!(live.retry_at, live.outside_until, "it tries again by itself");
        }
    }
}
