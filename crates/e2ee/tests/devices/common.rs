//! A model of the delivery service and of the people around it, for tests of groups.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use bedside_e2ee::{
    DeviceIdentity, PublicIdentity,
    mls::{Authority, Change, Device, Event, GroupId, MessageId, MlsError, Outgoing, OwnDevicesLeave},
    store::{Batch, MemoryStore, Store, StoreError},
};
use bedside_protocol::{DeviceId, Sealed, UserId};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The present, in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the library checks key packages by the system's clock")]
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// The name of the group that most tests have.
pub(crate) fn group() -> GroupId {
    GroupId::new(*b"conversation").unwrap()
}

/// A store that can be killed: at the given write from now, before or after it took effect.
#[derive(Clone, Default)]
pub(crate) struct Mortal {
    pub(crate) inner: MemoryStore,
    kill: Rc<RefCell<Option<(u32, bool)>>>,
}

impl Mortal {
    /// Dies at write number `after` from now (0 is the next); with `written`, just after it took effect.
    pub(crate) fn die(&self, after: u32, written: bool) {
        *self.kill.borrow_mut() = Some((after, written));
    }

    /// Whether it died; lives again from now on.
    pub(crate) fn revive(&self) -> bool {
        let died = matches!(*self.kill.borrow(), Some((u32::MAX, _)));
        *self.kill.borrow_mut() = None;
        died
    }
}

impl Store for Mortal {
    fn get(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        if matches!(*self.kill.borrow(), Some((u32::MAX, _))) {
            return Err(StoreError::Unavailable);
        }
        self.inner.get(key)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut kill = self.kill.borrow_mut();
        match &mut *kill {
            None => self.inner.apply(batch),
            Some((u32::MAX, _)) => Err(StoreError::Unavailable),
            Some((0, written)) => {
                if *written {
                    self.inner.apply(batch)?;
                }
                *kill = Some((u32::MAX, false));
                Err(StoreError::Unavailable)
            }
            Some((after, _)) => {
                *after -= 1;
                self.inner.apply(batch)
            }
        }
    }
}

/// What the server answers to an entry that it is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    /// The log's epoch is another one.
    Stale,
    /// The log has it already.
    Known,
}

/// One group on the server: the log, its epoch, welcomes that wait, and group information.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) epoch: u64,
    /// Welcomes with the position after their commit.
    pub(crate) welcomes: Vec<(Vec<u8>, u64)>,
    /// Group information with the position after its commit.
    pub(crate) info: Option<(Vec<u8>, u64)>,
}

impl Log {
    /// Takes an entry if it is of the log's epoch.
    pub(crate) fn offer(&mut self, outgoing: &Outgoing) -> Answer {
        if self.entries.contains(&outgoing.entry.0) {
            return Answer::Known;
        }
        if outgoing.epoch != self.epoch {
            return Answer::Stale;
        }
        self.entries.push(outgoing.entry.0.clone());
        let after = self.entries.len() as u64;
        if outgoing.commit {
            self.epoch += 1;
            self.welcomes.extend(outgoing.welcome.iter().map(|welcome| (welcome.0.clone(), after)));
            self.info = outgoing.group_info.as_ref().map(|info| (info.0.clone(), after));
        }
        Answer::Taken
    }
}

/// A device with a store that can be killed, and what its window has shown.
pub(crate) struct Person {
    pub(crate) identity: PublicIdentity,
    exported: Zeroizing<Vec<u8>>,
    pub(crate) store: Mortal,
    pub(crate) device: Device<Mortal>,
    /// Events of the group, by position: what a window keeps.
    pub(crate) shown: BTreeMap<u64, Event>,
}

impl Person {
    pub(crate) fn of(user: UserId) -> Self {
        Self::under(Box::new(OwnDevicesLeave), user)
    }

    /// Somebody with an app that permits what it likes.
    pub(crate) fn under(authority: Box<dyn Authority>, user: UserId) -> Self {
        let identity = DeviceIdentity::generate(user, DeviceId::random()).unwrap();
        let (public, exported, store) = (identity.public(), identity.export(), Mortal::default());
        let device = Device::open(identity, store.clone(), authority);
        Self { identity: public, exported, store, device, shown: BTreeMap::new() }
    }

    pub(crate) fn new() -> Self {
        Self::of(UserId::random())
    }

    /// The process ends and starts again; only what is in the store remains, and what the window kept.
    pub(crate) fn restart(&mut self) {
        self.store.revive();
        let identity = DeviceIdentity::import(&self.exported).unwrap();
        self.device = Device::open(identity, self.store.clone(), Box::new(OwnDevicesLeave));
    }

    /// The profile is deleted, but for the identity in the keyring.
    pub(crate) fn lose_state(&mut self) {
        self.store = Mortal::default();
        self.restart();
    }

    pub(crate) fn key_package(&mut self) -> Sealed {
        self.device.key_packages(1, false, now()).unwrap().remove(0)
    }

    /// Reads all that the log has; what was read before a crash is taken from the device.
    pub(crate) fn catch_up(&mut self, log: &Log) -> Result<(), MlsError> {
        for (position, event) in self.device.events(&group())? {
            self.shown.insert(position, event);
            self.device.acknowledge(&group(), position)?;
        }
        let from = self.device.position(&group())?;
        for (position, entry) in log.entries.iter().enumerate().skip(usize::try_from(from).unwrap()) {
            let position = position as u64;
            if let Some(event) = self.device.receive(&group(), position, entry, None)? {
                self.shown.insert(position, event);
                self.device.acknowledge(&group(), position)?;
            }
        }
        Ok(())
    }

    /// Offers the server everything that waits, reading the log when an epoch is over, until nothing is stale.
    pub(crate) fn flush(&mut self, log: &mut Log) -> Result<(), MlsError> {
        loop {
            self.catch_up(log)?;
            let unsent = self.device.unsent(&group())?;
            if unsent.iter().all(|outgoing| log.offer(outgoing) != Answer::Stale) {
                return self.catch_up(log);
            }
        }
    }

    pub(crate) fn say(&mut self, text: &str) -> MessageId {
        let id = MessageId(Uuid::new_v4());
        self.device.send(&group(), id, text.as_bytes()).unwrap();
        id
    }

    /// What was said, in order: sender, id, text.
    pub(crate) fn heard(&self) -> Vec<(DeviceId, MessageId, String)> {
        let message = |event: &Event| match event {
            Event::Message { sender, id, body, .. } => {
                Some((sender.device, *id, String::from_utf8(body.0.to_vec()).unwrap()))
            }
            _ => None,
        };
        self.shown.values().filter_map(message).collect()
    }

    pub(crate) fn last(&self) -> &Event {
        self.shown.values().next_back().unwrap()
    }

    pub(crate) fn devices(&mut self) -> Vec<DeviceId> {
        let mut devices: Vec<_> =
            self.device.members(&group()).unwrap().iter().map(|member| member.identity.device).collect();
        devices.sort_unstable();
        devices
    }
}

/// People in one group, everybody having read everything.
pub(crate) fn together<const N: usize>() -> (Log, [Person; N]) {
    group_of(std::array::from_fn(|_| Person::new()))
}

/// One user's devices in one group: they may put each other out.
pub(crate) fn devices_together<const N: usize>() -> (Log, [Person; N]) {
    let user = UserId::random();
    group_of(std::array::from_fn(|_| Person::of(user)))
}

fn group_of<const N: usize>(mut people: [Person; N]) -> (Log, [Person; N]) {
    let log = gather(&mut people);
    (log, people)
}

/// Makes these devices a group.
pub(crate) fn gather(people: &mut [Person]) -> Log {
    let (first, others) = people.split_first_mut().unwrap();
    let info = first.device.create(&group(), now()).unwrap();
    let mut log = Log { info: Some((info.0, 0)), ..Log::default() };
    if others.is_empty() {
        return log;
    }
    let packages = others.iter_mut().map(Person::key_package).collect();
    first.device.commit(&group(), &Change::Add(packages)).unwrap();
    first.flush(&mut log).unwrap();
    let (welcome, position) = log.welcomes.pop().unwrap();
    for other in others {
        other.device.join(&welcome, position).unwrap();
    }
    log
}
