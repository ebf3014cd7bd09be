//! Who can be reached. One service behind the REST routes and the socket messages for presence.
//!
//! Facts come from the sockets (a device is there or gone), from the call service (somebody is in a call) and
//! from people (away, do not disturb). Whenever the merged result changes, one task tells everybody who may
//! know: those whom the directory lists as contacts, and nobody else.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bedside_protocol::{
    CallId, DeviceId, ErrorCode, PresenceStatus, Problem, UserId, rest::UpdatePresence, socket::Event,
    user::Presence,
};
use tokio::{sync::Notify, time::Instant};

mod merge;

use self::merge::{Device, Line, Person};
use crate::{clock, directory::Directory, fault::Fault, hub::Hub, identity::Identity};

/// How long after a fault of the database's contacts are told what they could not be told then.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Presence of everybody. Cheap to clone.
#[derive(Clone)]
pub struct PresenceService(Arc<Shared>);

struct Shared {
    directory: Directory,
    hub: Hub,
    grace: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    people: HashMap<UserId, Person>,
    /// What contacts were told last.
    told: HashMap<UserId, Presence>,
    dirty: HashSet<UserId>,
}

impl PresenceService {
    /// The service; contacts are told by [`PresenceService::publish`].
    #[must_use]
    pub fn new(directory: Directory, hub: Hub, grace: Duration) -> Self {
        let shared = Shared { directory, hub, grace, state: Mutex::default(), changed: Notify::new() };
        Self(Arc::new(shared))
    }

    /// A device has a socket (again). After a hello that resumed nothing it counts as online until it says
    /// otherwise; a resumed one keeps what it said.
    pub fn device_connected(&self, who: &Identity, resumed: bool) {
        self.change(who.user, |person| {
            let device = person.devices.entry(who.device).or_insert_with(|| Device {
                status: PresenceStatus::Online,
                device_type: who.device_type,
                heard_at: clock::now(),
                line: Line::Open,
            });
            device.line = Line::Open;
            device.heard_at = clock::now();
            if !resumed {
                device.status = PresenceStatus::Online;
            }
        });
    }

    /// A device's socket is gone and none replaced it. It counts as there for the grace, unless it said goodbye.
    pub fn device_disconnected(&self, who: &Identity, said_goodbye: bool) {
        if said_goodbye || self.0.grace.is_zero() {
            self.change(who.user, |person| person.lose(who.device, Line::Gone { since: Instant::now() }));
            return;
        }
        let since = Instant::now();
        let lost = Line::Lost { since };
        self.change(who.user, |person| person.lose(who.device, lost));
        let (service, who, grace) = (self.clone(), *who, self.0.grace);
        tokio::spawn(async move {
            tokio::time::sleep_until(since + grace).await;
            service.change(who.user, |person| {
                if person.devices.get(&who.device).is_some_and(|device| device.line == lost) {
                    person.lose(who.device, Line::Gone { since: Instant::now() });
                }
            });
        });
    }

    /// Something arrived from a device.
    pub fn heard(&self, who: &Identity) {
        if let Some(device) =
            self.lock().people.get_mut(&who.user).and_then(|person| person.devices.get_mut(&who.device))
        {
            device.heard_at = clock::now();
        }
    }

    /// What a person says of themselves, through either API.
    ///
    /// # Errors
    /// `invalid_value` for `busy` and `offline`, which follow from facts.
    pub fn update(&self, who: &Identity, update: &UpdatePresence) -> Result<Presence, Fault> {
        match update.status {
            PresenceStatus::Online
            | PresenceStatus::Away
            | PresenceStatus::Idle
            | PresenceStatus::DoNotDisturb => {}
            PresenceStatus::Busy | PresenceStatus::Offline => {
                return Err(Problem::new(ErrorCode::InvalidValue)
                    .with_detail("busy follows from being in a call and offline from being disconnected; say online, away, idle or do_not_disturb.")
                    .into());
            }
        }
        self.change(who.user, |person| {
            // Without a socket the device can't be reached, whatever it says.
            let Some(device) = person.devices.get_mut(&who.device) else { return };
            device.status = update.status;
            device.heard_at = clock::now();
        });
        Ok(self.snapshot(who.user))
    }

    /// Somebody is in a call, or no longer.
    pub fn set_call(&self, user: UserId, call: Option<CallId>) {
        self.change(user, |person| person.call = call);
    }

    /// The presence of `user` as `viewer` may see it.
    ///
    /// # Errors
    /// `not_found` when they are not contacts, or the database failed.
    pub async fn view(&self, viewer: UserId, user: UserId) -> Result<Presence, Fault> {
        if viewer != user && !self.0.directory.may_talk(viewer, user).await? {
            return Err(ErrorCode::NotFound.into());
        }
        let mut presence = self.snapshot(user);
        if presence.last_seen.is_none() {
            let kept = self.0.directory.last_seen(user).await?;
            presence.last_seen = kept.at;
            presence.device_type = kept.device_type;
        }
        Ok(presence)
    }

    /// The presence of `user` as of now, from memory alone. For callers that have checked who may see it.
    #[must_use]
    pub fn snapshot(&self, user: UserId) -> Presence {
        self.lock().people.get(&user).map_or_else(|| Person::default().presence(user), |p| p.presence(user))
    }

    /// The merged status of `user`.
    #[must_use]
    pub fn status(&self, user: UserId) -> PresenceStatus {
        self.snapshot(user).status
    }

    /// Forgets devices that have been gone for longer than `retention`.
    pub fn sweep(&self, retention: Duration) {
        let now = Instant::now();
        let mut state = self.lock();
        let State { people, told, dirty } = &mut *state;
        people.retain(|user, person| {
            person.devices.retain(|_, device| {
                !matches!(device.line, Line::Gone { since } if now.duration_since(since) >= retention)
            });
            // Somebody whose going offline has been told needs no memory.
            let keep = !person.devices.is_empty() || person.call.is_some() || dirty.contains(user);
            if !keep {
                told.remove(user);
            }
            keep
        });
    }

    /// Writes down that those who are connected now were heard from: after a power cut nobody knows it any more.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_present(&self) -> Result<(), Fault> {
        let present: Vec<UserId> = {
            let state = self.lock();
            let there = state.people.iter().filter(|(_, person)| person.status() != PresenceStatus::Offline);
            there.map(|(user, _)| *user).collect()
        };
        self.0.directory.note_seen_now(&present).await
    }

    /// Tells contacts of every change, from now on.
    pub(crate) async fn publish(self) {
        loop {
            self.0.changed.notified().await;
            let dirty = std::mem::take(&mut self.lock().dirty);
            let mut failed = None;
            for user in dirty {
                if let Err(fault) = self.tell(user).await {
                    self.lock().dirty.insert(user);
                    failed = Some(fault);
                }
            }
            if let Some(fault) = failed {
                fault.log();
                tokio::time::sleep(RETRY_AFTER).await;
                self.0.changed.notify_one();
            }
        }
    }

    fn change(&self, user: UserId, change: impl FnOnce(&mut Person)) {
        let mut state = self.lock();
        let person = state.people.entry(user).or_default();
        change(person);
        state.dirty.insert(user);
        drop(state);
        self.0.changed.notify_one();
    }

    async fn tell(&self, user: UserId) -> Result<(), Fault> {
        // First, since this may fail: what could not be told must not count as told.
        let watchers = self.0.directory.contact_ids(user).await?;
        let Some((was, now)) = self.untold(user) else { return Ok(()) };
        self.lock().told.insert(user, now.clone());
        let offline = now.status == PresenceStatus::Offline;
        let turned = match (was == PresenceStatus::Offline, offline) {
            (true, false) => Some(Event::UserOnline { user_id: user }),
            (false, true) => Some(Event::UserOffline { user_id: user, last_seen: now.last_seen }),
            (true, true) | (false, false) => None,
        };
        let kept = now.last_seen.zip(now.device_type);
        let update = Event::PresenceUpdate(now);
        for watcher in watchers {
            self.0.hub.send_to_user(watcher, &update);
            if let Some(turned) = &turned {
                self.0.hub.send_to_user(watcher, turned);
            }
        }
        // Last: a disk that is full keeps nobody from learning who came and left.
        if let Some((at, device_type)) = kept
            && let Err(fault) = self.0.directory.note_last_seen(user, at, device_type).await
        {
            fault.log();
        }
        Ok(())
    }

    /// The status that contacts know, and the presence that they do not know yet.
    fn untold(&self, user: UserId) -> Option<(PresenceStatus, Presence)> {
        let state = self.lock();
        let now = state.people.get(&user)?.presence(user);
        let told = state.told.get(&user);
        let was = told.map_or(PresenceStatus::Offline, |told| told.status);
        let same = told.is_none_or(|told| {
            told.current_call_id == now.current_call_id && told.device_type == now.device_type
        });
        (was != now.status || !same).then_some((was, now))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Person {
    fn lose(&mut self, device: DeviceId, line: Line) {
        if let Some(device) = self.devices.get_mut(&device) {
            device.line = line;
            if matches!(line, Line::Lost { .. }) {
                device.heard_at = clock::now();
            }
        }
    }
}

#[cfg(test)]
mod tests;
