//! What groups cost on this machine, as JSON on standard output: messages sealed and opened per second, and the time to
//! add a device, in groups of 2, 6 and 50 devices. Records live in memory; `cargo xtask bench e2ee` runs it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bedside_e2ee::{
    DeviceIdentity,
    mls::{Change, Device, GroupId, MessageId, MlsError, OwnDevicesLeave},
    store::MemoryStore,
};
use bedside_protocol::{DeviceId, UserId};
use uuid::Uuid;

/// How long sealing is measured.
const MEASURE: Duration = Duration::from_secs(2);
/// A message of the length that people write.
const BODY: &[u8; 120] = &[b'a'; 120];
/// Devices that are added to each group.
const ADDED: u32 = 5;

type Member = Device<MemoryStore>;
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[expect(clippy::disallowed_methods, reason = "a measurement looks at the clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "key packages are valid from now on")]
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn member() -> Outcome<Member> {
    let identity = DeviceIdentity::generate(UserId::random(), DeviceId::random())?;
    Ok(Device::open(identity, MemoryStore::default(), Box::new(OwnDevicesLeave)))
}

/// A group of `size` devices, of which two are kept: who founded it, and one other. Their log has one entry.
fn group(id: &GroupId, size: usize) -> Outcome<(Member, Member)> {
    let (mut founder, mut other) = (member()?, member()?);
    founder.create(id, seconds())?;
    let mut packages = other.key_packages(1, false, seconds())?;
    for _ in 2..size {
        packages.extend(member()?.key_packages(1, false, seconds())?);
    }
    let commit = founder.commit(id, &Change::Add(packages))?;
    read(&mut founder, id, 0, &commit.entry.0)?;
    let welcome = commit.welcome.ok_or("a commit that adds has a welcome")?;
    other.join(&welcome.0, 1)?;
    Ok((founder, other))
}

fn read(device: &mut Member, id: &GroupId, position: u64, entry: &[u8]) -> Result<(), MlsError> {
    device.receive(id, position, entry, None)?;
    device.acknowledge(id, position)
}

fn figures(size: usize) -> Outcome<String> {
    let id = GroupId::new(*b"conversation")?;
    let (mut ana, mut ben) = group(&id, size)?;
    // What was sealed waits until the log has it, which here is at once.
    let mut entries = Vec::new();
    let begun = now();
    while now() - begun < MEASURE {
        let outgoing = ana.send(&id, MessageId(Uuid::new_v4()), BODY)?;
        entries.push(outgoing.entry);
        read(&mut ana, &id, entries.len() as u64, &entries[entries.len() - 1].0)?;
    }
    let sealed = entries.len() as f64 / (now() - begun).as_secs_f64();
    let begun = now();
    for (position, entry) in (1..).zip(&entries) {
        read(&mut ben, &id, position, &entry.0)?;
    }
    let opened = entries.len() as f64 / (now() - begun).as_secs_f64();
    let end = entries.len() as u64 + 1;
    let mut adding = Duration::ZERO;
    for position in end..end + u64::from(ADDED) {
        let package = member()?.key_packages(1, false, seconds())?;
        let begun = now();
        let commit = ana.commit(&id, &Change::Add(package))?;
        read(&mut ana, &id, position, &commit.entry.0)?;
        read(&mut ben, &id, position, &commit.entry.0)?;
        adding += now() - begun;
    }
    let add_ms = adding.as_secs_f64() * 1e3 / f64::from(ADDED);
    Ok(format!(
        "{{\"devices\": {size}, \"sealed_per_s\": {sealed:.0}, \"opened_per_s\": {opened:.0}, \"add_ms\": {add_ms:.1}}}"
    ))
}

fn main() -> Outcome<()> {
    let rows = [2, 6, 50].into_iter().map(figures).collect::<Result<Vec<_>, _>>()?;
    println!("[{}]", rows.join(", "));
    Ok(())
}
