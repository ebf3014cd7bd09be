//! Who is there and who is engaged: the exchange's book of users and devices.

use std::collections::{HashMap, HashSet};

use bedside_protocol::{CallId, DeviceId, UserId};

use super::Actor;

#[derive(Default)]
struct Person {
    /// Devices whose socket is there.
    up: HashSet<DeviceId>,
    /// The one call this person is in, makes, or is rung for.
    call: Option<CallId>,
    undisturbed: bool,
}

impl Person {
    /// Whether nothing is known that would be missed.
    fn is_blank(&self) -> bool {
        self.up.is_empty() && self.call.is_none() && !self.undisturbed
    }
}

#[derive(Default)]
pub(super) struct People {
    persons: HashMap<UserId, Person>,
    owners: HashMap<DeviceId, UserId>,
}

impl People {
    pub(super) fn up(&mut self, actor: Actor) {
        // A device that changed hands is no longer its former user's.
        if let Some(former) = self.owners.insert(actor.device, actor.user).filter(|user| *user != actor.user)
            && let Some(person) = self.persons.get_mut(&former)
        {
            person.up.remove(&actor.device);
        }
        self.persons.entry(actor.user).or_default().up.insert(actor.device);
    }

    /// The user whose device went, if it was there.
    pub(super) fn down(&mut self, device: DeviceId) -> Option<UserId> {
        let user = self.owners.remove(&device)?;
        if let Some(person) = self.persons.get_mut(&user) {
            person.up.remove(&device);
        }
        self.drop_if_blank(user);
        Some(user)
    }

    pub(super) fn is_up(&self, device: DeviceId) -> bool {
        self.owners.contains_key(&device)
    }

    pub(super) fn is_reachable(&self, user: UserId) -> bool {
        self.persons.get(&user).is_some_and(|person| !person.up.is_empty())
    }

    pub(super) fn set_undisturbed(&mut self, user: UserId, undisturbed: bool) {
        self.persons.entry(user).or_default().undisturbed = undisturbed;
        self.drop_if_blank(user);
    }

    pub(super) fn is_undisturbed(&self, user: UserId) -> bool {
        self.persons.get(&user).is_some_and(|person| person.undisturbed)
    }

    pub(super) fn call_of(&self, user: UserId) -> Option<CallId> {
        self.persons.get(&user)?.call
    }

    pub(super) fn engage(&mut self, user: UserId, call: CallId) {
        self.persons.entry(user).or_default().call = Some(call);
    }

    /// Frees `user` if `call` is what engages them; says whether it was.
    pub(super) fn free(&mut self, user: UserId, call: CallId) -> bool {
        let Some(person) = self.persons.get_mut(&user).filter(|person| person.call == Some(call)) else {
            return false;
        };
        person.call = None;
        self.drop_if_blank(user);
        true
    }

    fn drop_if_blank(&mut self, user: UserId) {
        if self.persons.get(&user).is_some_and(Person::is_blank) {
            self.persons.remove(&user);
        }
    }
}
