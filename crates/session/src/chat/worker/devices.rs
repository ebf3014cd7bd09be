//! This person's own devices: listed, named, and put out of every conversation when they are revoked.
//!
//! A device leaves the groups because one of its person's other devices removes it. That needs nobody's leave: the wish
//! is on the disk before anybody is asked, the groups are left whatever the server answers, and the server is asked
//! until it has shut the device out.

use std::collections::{BTreeMap, BTreeSet};

use bedside_protocol::{DeviceId, ErrorCode, Pii, Timestamp, conversation::OwnDevice, user::DeviceType};
use bedside_ui_contract::{Notice, chat::InstallationView};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Outcome, Worker, groups::refused_with, live::pause_after};
use crate::{api::ApiError, chat::ChatEvent};

/// Own devices that are to leave every group, for good.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Revocations(BTreeMap<DeviceId, Revocation>);

/// What is known of one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Revocation {
    /// As it was listed last.
    listed: Option<Listed>,
    /// The server has shut it out.
    shut_out: bool,
    /// It is only the server's word that it was revoked, on another device.
    hearsay: bool,
}

/// What a list of devices showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Listed {
    name: Pii<String>,
    device_type: DeviceType,
    created_at: Timestamp,
}

impl Revocations {
    /// The name of their record.
    pub(super) const NAME: &[u8] = b"revocations";

    pub(super) fn contains(&self, device: DeviceId) -> bool {
        self.0.contains_key(&device)
    }

    /// Whether the server is still to be asked about it.
    fn is_open(&self, device: DeviceId) -> bool {
        self.0.get(&device).is_some_and(|revocation| !revocation.shut_out)
    }

    /// A device that this installation was and is no longer.
    pub(super) fn add_former(&mut self, device: DeviceId) {
        self.0.entry(device).or_default();
    }

    /// Whoever this is now is not to leave.
    pub(super) fn keep(&mut self, device: DeviceId) {
        self.0.remove(&device);
    }

    /// Those that were listed once, as they were.
    pub(super) fn views(&self) -> impl Iterator<Item = InstallationView> {
        self.0.iter().filter_map(|(device, revocation)| {
            let listed = revocation.listed.as_ref()?;
            Some(InstallationView {
                device_id: device.to_string(),
                name: listed.name.reveal().clone(),
                device_type: listed.device_type,
                current: false,
                created_at: listed.created_at,
                last_used_at: None,
                leaving: 0,
                revoking: !revocation.shut_out,
            })
        })
    }
}

impl From<&InstallationView> for Listed {
    fn from(view: &InstallationView) -> Self {
        let name = Pii::new(view.name.clone());
        Self { name, device_type: view.device_type, created_at: view.created_at }
    }
}

fn view(device: OwnDevice) -> InstallationView {
    InstallationView {
        device_id: device.id.to_string(),
        name: device.name.into_inner(),
        device_type: device.device_type,
        current: device.current,
        created_at: device.created_at,
        last_used_at: device.last_used_at,
        leaving: 0,
        revoking: false,
    }
}

impl Worker {
    /// Tells whose keys these are, and whether they are there at the next start.
    pub(super) fn tell_of_keys(&self) {
        let lasting = self.vault.is_lasting();
        let _ = self.events.send(ChatEvent::Keys { device: self.own_device(), lasting });
    }

    /// Asks for this person's devices, once at a time.
    pub(super) fn fetch_devices(&mut self) {
        if let Some(again) = &mut self.fetching_devices {
            *again = true;
            return;
        }
        self.fetching_devices = Some(false);
        let seen = self.own_others();
        let api = self.config.api.clone();
        self.start(async move { Outcome::Devices { seen, answer: api.devices().await } });
    }

    /// This person's other devices in any group.
    fn own_others(&self) -> BTreeSet<DeviceId> {
        let (me, own) = (self.me(), self.own_device());
        let members = self.rooms.values().flat_map(|live| &live.members);
        members
            .filter(|member| member.user == me && member.device != own)
            .map(|member| member.device)
            .collect()
    }

    /// Looks at the list again where a device of this person's is in a group and in no list.
    pub(super) fn look_for_strays(&mut self) {
        let listed = |device: &DeviceId| {
            let name = device.to_string();
            self.installations.iter().any(|one| one.device_id == name)
        };
        let stray = |device: &DeviceId| !listed(device) && !self.revocations.contains(*device);
        if self.online && !self.installations.is_empty() && self.own_others().iter().any(stray) {
            self.fetch_devices();
        }
    }

    /// `seen` were in groups when the list was asked for: those that it does not have are no devices of the account.
    pub(super) fn devices_fetched(
        &mut self,
        seen: &BTreeSet<DeviceId>,
        answer: Result<Vec<OwnDevice>, ApiError>,
    ) {
        let again = self.fetching_devices.take() == Some(true);
        if let Ok(mut devices) = answer {
            devices.sort_by_key(|device| (!device.current, std::cmp::Reverse(device.last_used_at)));
            // A list without this device is none of this account's.
            if devices.iter().any(|device| device.id == self.own_device()) {
                self.compare_list(&devices, seen);
            }
            let known: Vec<_> = self.installations.iter().map(|one| one.device_id.clone()).collect();
            let first = known.is_empty();
            self.installations = devices.into_iter().map(view).collect();
            for added in self.installations.iter().filter(|one| !first && !known.contains(&one.device_id)) {
                self.notify(Notice::DeviceAdded { name: added.name.clone() });
            }
        }
        if again {
            self.fetch_devices();
        }
    }

    /// Takes over what was revoked on another device, and takes back what the server had only forgotten for a while.
    fn compare_list(&mut self, devices: &[OwnDevice], seen: &BTreeSet<DeviceId>) {
        let listed: BTreeSet<DeviceId> = devices.iter().map(|device| device.id).collect();
        let back = |(device, one): (&DeviceId, &Revocation)| {
            (one.hearsay && listed.contains(device)).then_some(*device)
        };
        let back: Vec<_> = self.revocations.0.iter().filter_map(back).collect();
        let gone: Vec<_> =
            seen.difference(&listed).copied().filter(|device| !self.revocations.contains(*device)).collect();
        if back.is_empty() && gone.is_empty() {
            return;
        }
        for device in back {
            self.revocations.0.remove(&device);
        }
        for device in gone {
            let name = device.to_string();
            let before = self.installations.iter().find(|one| one.device_id == name);
            let listed = before.map(Listed::from);
            if let Some(listed) = &listed {
                self.notify(Notice::DeviceRemoved { name: listed.name.reveal().clone() });
            }
            self.revocations.0.insert(device, Revocation { listed, shut_out: true, hearsay: true });
        }
        if self.keep_revocations() {
            self.step_all();
        }
    }

    pub(super) fn rename_device(&self, id: &str, name: String) {
        let Ok(id) = id.parse::<DeviceId>() else { return };
        let api = self.config.api.clone();
        self.start(async move {
            if let Err(error) = api.rename_device(id, name).await {
                tracing::warn!(%error, "a device could not be named");
            }
            Outcome::Devices { seen: BTreeSet::new(), answer: api.devices().await }
        });
    }

    /// The person wants a device out: it leaves every group, and the server shuts it out.
    pub(super) fn revoke_device(&mut self, id: &str) {
        let Ok(device) = id.parse::<DeviceId>() else { return };
        if device == self.own_device() {
            return;
        }
        let listed = self.installations.iter().find(|one| one.device_id == id).map(Listed::from);
        self.revocations.0.insert(device, Revocation { listed, shut_out: false, hearsay: false });
        if self.keep_revocations() {
            self.step_all();
            self.shut_out(device);
        }
    }

    fn keep_revocations(&mut self) -> bool {
        if let Err(error) = self.journal.write_value(Revocations::NAME, &self.revocations) {
            self.store_failed(error);
            return false;
        }
        self.barrier()
    }

    fn shut_out(&mut self, device: DeviceId) {
        if self.shutting_out.insert(device) {
            let api = self.config.api.clone();
            self.start(async move { Outcome::Revoked(device, api.revoke_device(device).await) });
        }
    }

    /// Asks the server once more to shut out what is to be shut out.
    pub(super) fn shut_out_all(&mut self) {
        self.shut_out_at = None;
        let open = self.revocations.0.keys().copied().filter(|device| self.revocations.is_open(*device));
        for device in open.collect::<Vec<_>>() {
            self.shut_out(device);
        }
    }

    /// The server has shut a device out, or not yet.
    pub(super) fn device_revoked(&mut self, device: DeviceId, answer: Result<(), ApiError>) {
        self.shutting_out.remove(&device);
        match answer {
            Err(error) if !refused_with(&error, ErrorCode::NotFound) => {
                tracing::warn!(%error, "the server has not shut out a revoked device");
                if self.shut_out_failures == 0 {
                    self.notify_failure(error.failure());
                }
                self.shut_out_at.get_or_insert(Instant::now() + pause_after(self.shut_out_failures));
                self.shut_out_failures = self.shut_out_failures.saturating_add(1);
            }
            // What it does not know is out already.
            Ok(()) | Err(_) => {
                self.shut_out_failures = 0;
                if let Some(revocation) = self.revocations.0.get_mut(&device) {
                    revocation.shut_out = true;
                    self.keep_revocations();
                }
                self.fetch_devices();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_leave_is_the_same_after_a_restart() {
        let device = DeviceId::random();
        let mut revocations = Revocations::default();
        let listed = Listed {
            name: Pii::new("desk".into()),
            device_type: DeviceType::Desktop,
            created_at: Timestamp(5),
        };
        revocations.0.insert(device, Revocation { listed: Some(listed), shut_out: false, hearsay: false });
        let bytes = serde_json::to_vec(&revocations).unwrap();
        let again: Revocations = serde_json::from_slice(&bytes).unwrap();
        assert!(again.contains(device) && again.is_open(device));
        assert_eq!(again.views().collect::<Vec<_>>(), revocations.views().collect::<Vec<_>>());
        assert!(again.views().all(|view| view.revoking && view.name == "desk"));
    }
}
