//! What the fuzz targets share: a group of devices, made once per process and copied for each input.

use std::{sync::OnceLock, time::SystemTime};

use bedside_e2ee::{
    DeviceIdentity,
    mls::{Change, Device, Event, GroupId, MessageId, MlsError, OwnDevicesLeave},
    store::{Batch, MemoryStore, Records, Store as _},
};
use bedside_protocol::{DeviceId, EntryId, UserId};
use zeroize::Zeroizing;

/// A device as it can be made again and again.
struct Frozen {
    identity: Zeroizing<Vec<u8>>,
    records: Records,
}

impl Frozen {
    fn of(identity: &Zeroizing<Vec<u8>>, store: &MemoryStore) -> Self {
        Self { identity: identity.clone(), records: store.records() }
    }

    fn thaw(&self) -> Device<MemoryStore> {
        let store = MemoryStore::default();
        let mut batch = Batch::default();
        for (key, value) in &self.records {
            batch.put(key.clone(), value.clone());
        }
        store.apply(batch).expect("memory takes it");
        let identity = DeviceIdentity::import(&self.identity).expect("an identity");
        Device::open(identity, store, Box::new(OwnDevicesLeave))
    }
}

/// Alice and Bob in a group, Carol at its door, and genuine bytes of every kind.
pub struct Room {
    /// The group.
    pub group: GroupId,
    /// Where Bob reads on.
    pub position: u64,
    /// A message of Alice's, for that place.
    pub message: Vec<u8>,
    /// A commit of Alice's that adds Carol, for the same place.
    pub commit: Vec<u8>,
    /// Carol's welcome.
    pub welcome: Vec<u8>,
    /// What Carol needs to come from outside.
    pub group_info: Vec<u8>,
    /// One of Dave's.
    pub key_package: Vec<u8>,
    bob: Frozen,
    carol: Frozen,
}

impl Room {
    /// Shows the room to `look`.
    pub fn with(look: impl FnOnce(&Self)) {
        static ROOM: OnceLock<Room> = OnceLock::new();
        look(ROOM.get_or_init(Self::furnish));
    }

    fn furnish() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs();
        let device = || {
            let identity =
                DeviceIdentity::generate(UserId::random(), DeviceId::random()).expect("an identity");
            let (exported, store) = (identity.export(), MemoryStore::default());
            (Device::open(identity, store.clone(), Box::new(OwnDevicesLeave)), exported, store)
        };
        let group = GroupId::new(*b"conversation").expect("a name");
        let [
            (mut alice, ..),
            (mut bob, bob_key, bob_store),
            (mut carol, carol_key, carol_store),
            (mut dave, ..),
        ] = [device(), device(), device(), device()];
        let package = |device: &mut Device<MemoryStore>| {
            device.key_packages(1, false, now).expect("a key package").remove(0)
        };
        alice.create(&group, now).expect("a group");
        let add = Change::Add(vec![package(&mut bob)]);
        let added = alice.commit(&group, &add).expect("a commit");
        alice.receive(&group, 0, &added.entry.0, None).expect("her own commit");
        bob.join(&added.welcome.expect("a welcome").0, 1).expect("he is in");
        let message = alice.send(&group, MessageId(EntryId::random().0), b"hello").expect("a message");
        let commit = alice.commit(&group, &Change::Add(vec![package(&mut carol)])).expect("a commit");
        Self {
            group,
            position: 1,
            message: message.entry.0,
            commit: commit.entry.0,
            welcome: commit.welcome.expect("a welcome").0,
            group_info: commit.group_info.expect("group information").0,
            key_package: package(&mut dave).0,
            bob: Frozen::of(&bob_key, &bob_store),
            carol: Frozen::of(&carol_key, &carol_store),
        }
    }

    /// Bob, as he was.
    pub fn bob(&self) -> Device<MemoryStore> {
        self.bob.thaw()
    }

    /// Carol, as she was.
    pub fn carol(&self) -> Device<MemoryStore> {
        self.carol.thaw()
    }

    /// An entry for the log, as the input says, and whether it is genuine.
    pub fn entry(&self, input: &[u8]) -> (Vec<u8>, bool) {
        match input.split_first() {
            Some((b'c', rest)) => Self::change(rest, &self.commit),
            Some((b'm', rest)) => Self::change(rest, &self.message),
            _ => Self::change(input, &self.message),
        }
    }

    /// The input itself, or (where it begins with `~`) the genuine bytes with the changes that it lists: place (two
    /// bytes), what to do, with which byte. Says whether the result is genuine.
    pub fn change(input: &[u8], genuine: &[u8]) -> (Vec<u8>, bool) {
        let Some((b'~', changes)) = input.split_first() else { return (input.to_vec(), input == genuine) };
        let mut bytes = genuine.to_vec();
        for change in changes.chunks_exact(4) {
            let place = usize::from(u16::from_be_bytes([change[0], change[1]]));
            if bytes.is_empty() {
                break;
            }
            let place = place % bytes.len();
            match change[2] % 5 {
                0 => bytes[place] ^= change[3],
                1 => bytes[place] = change[3],
                2 => bytes.insert(place, change[3]),
                3 => drop(bytes.remove(place)),
                _ => bytes.truncate(place),
            }
        }
        let same = bytes == genuine;
        (bytes, same)
    }

    /// Whether an entry was taken as a message or a change.
    pub fn is_accepted(outcome: &Result<Option<Event>, MlsError>) -> bool {
        matches!(outcome, Ok(Some(Event::Message { .. } | Event::Changed { .. } | Event::Removed { .. })))
    }
}
