//! How the messenger comes by its vault, and by what is in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
    sync::Arc,
};

use bedside_call::rate::TokenBucket;
use bedside_e2ee::store::StoreError;
use bedside_e2ee::{
    DeviceIdentity,
    mls::{Device, OwnDevicesLeave},
};
use bedside_ui_contract::{
    Command, Failure, Notice,
    chat::{ChatView, VaultView},
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use super::{
    CALLS, Channels, Live, PEOPLE, Revocations, Worker,
    live::pause_after,
    packages::{FIRST_LOOK, HandedOut, REFILL_EVERY, REFILLS},
};
use crate::{
    chat::{
        ChatConfig, ChatEvent, Input,
        inbox::Inbox,
        journal::{Journal, Room},
        trust::Trust,
        vault::{self, Opening, Place, Vault, VaultError},
    },
    transfer::Transfers,
};

/// Welcomes that the server is told at once to be of no use.
const MOST_DROPPING: usize = 8;
/// As much as can be wanted of a messenger that can't do anything yet.
const MOST_HELD: usize = 256;

/// What was told while nothing could be done yet, as far as it matters afterwards.
#[derive(Default)]
pub(super) struct Held {
    pub(super) inputs: Vec<Input>,
    /// Something that the person wanted was too much.
    pub(super) refused: bool,
}

impl Held {
    fn hold(&mut self, input: Input) {
        match &input {
            // Nobody waits for an answer longer than needed; what the server says is caught up with later.
            Input::Messages { .. } | Input::Search { .. } | Input::Event(_) | Input::Reachable(_) => return,
            // Only the last counts.
            Input::Online { .. } | Input::Offline => {
                self.inputs.retain(|held| !matches!(held, Input::Online { .. } | Input::Offline));
            }
            Input::InCall(_)
            | Input::ReadReceipts(_)
            | Input::Archive(_)
            | Input::People(_)
            | Input::Calls(_) => {
                self.inputs.retain(|held| discriminant(held) != discriminant(&input));
            }
            Input::Command(_)
            | Input::Prepare(_)
            | Input::Entered { .. }
            | Input::Signal { .. }
            | Input::Files { .. } => {}
        }
        if self.inputs.len() < MOST_HELD {
            self.inputs.push(input);
        } else {
            tracing::warn!("too much is wanted of a messenger that is not open yet");
            self.refused |= matches!(input, Input::Command(_));
        }
    }
}

/// Opens the vault; while it is locked, waits for its passphrase and keeps what else it is told.
pub(super) async fn unlocked(
    config: &ChatConfig,
    inputs: &mut Inbox<Input>,
    held: &mut Held,
    events: &mpsc::UnboundedSender<ChatEvent>,
    shown: &watch::Sender<ChatView>,
) -> Option<Vault> {
    let place = Place { folder: config.folder.clone(), user: config.me.id, device: config.device };
    let show = |vault| {
        shown.send_modify(|view| view.vault = vault);
        let _ = events.send(ChatEvent::Changed);
    };
    let mut failures = 0;
    let opened = loop {
        let (secrets, at) = (config.secrets.clone(), place.clone());
        let mut opening = tokio::task::spawn_blocking(move || vault::open(secrets.as_ref(), &at));
        // The keyring may be asking for its password, and calls ring all the same: the server's events are taken in.
        let opened = hold_until(inputs, held, &mut opening).await.ok()?;
        let Err(VaultError::Store(StoreError::Unavailable)) = opened else { break opened };
        show(VaultView::Unwritable);
        hold_until(inputs, held, &mut std::pin::pin!(tokio::time::sleep(pause_after(failures)))).await;
        failures += 1;
        if inputs.is_over() {
            return None;
        }
    };
    let mut wrong = false;
    match opened {
        Ok(Opening::Open(vault)) => return Some(*vault),
        Ok(Opening::Locked) => {}
        Err(error) => {
            tracing::error!(%error, "the vault can't be opened");
            show(VaultView::Broken);
            return None;
        }
    }
    loop {
        show(VaultView::Locked { wrong, unlocking: false });
        match inputs.recv().await? {
            Input::Command(Command::UnlockVault { passphrase }) => {
                show(VaultView::Locked { wrong, unlocking: true });
                let at = place.clone();
                let passphrase = zeroize::Zeroizing::new(passphrase);
                match tokio::task::spawn_blocking(move || vault::unlock(&at, &passphrase)).await.ok()? {
                    Ok(vault) => return Some(vault),
                    Err(VaultError::WrongPassphrase) => wrong = true,
                    Err(VaultError::Store(StoreError::Unavailable)) => {
                        wrong = false;
                        let notice = Notice::Failed { failure: Failure::StorageFull };
                        let _ = events.send(ChatEvent::Notice(notice));
                    }
                    Err(error) => {
                        tracing::error!(%error, "the vault can't be opened");
                        show(VaultView::Broken);
                        return None;
                    }
                }
            }
            other => held.hold(other),
        }
    }
}

/// Waits for something; what was told before everybody left is done all the same.
async fn hold_until<T>(
    inputs: &mut Inbox<Input>,
    held: &mut Held,
    done: &mut (impl Future<Output = T> + Unpin),
) -> T {
    loop {
        tokio::select! {
            done = &mut *done => return done,
            Some(input) = inputs.recv() => held.hold(input),
        }
    }
}

impl Worker {
    pub(super) fn open(config: ChatConfig, vault: Vault, channels: Channels) -> Result<Self, VaultError> {
        let Channels { events, shown, outcomes, transfer_events } = channels;
        let device = Device::open(vault.identity()?, vault.local.clone(), Box::new(OwnDevicesLeave));
        let journal = Journal::new(vault.local.clone());
        let transfers = Transfers::new(config.api.clone(), vault.local.clone(), transfer_events.clone())?;
        let mut worker = Self {
            config,
            vault,
            journal,
            device,
            trust: Trust::default(),
            rooms: BTreeMap::new(),
            loaded: false,
            list_failures: 0,
            online: false,
            events,
            shown,
            outcomes,
            in_call: None,
            room_token: None,
            viewed: None,
            prepare: BTreeSet::new(),
            installations: Vec::new(),
            revocations: Revocations::default(),
            shutting_out: BTreeSet::new(),
            shut_out_at: None,
            shut_out_failures: 0,
            publishing: false,
            refills: TokenBucket::slow(REFILL_EVERY, REFILLS, Instant::now().into_std()),
            handed_out: None,
            offered: None,
            look_at_packages: Instant::now() + FIRST_LOOK,
            fetching: BTreeMap::new(),
            list_again: false,
            fetching_devices: None,
            dropping: Arc::new(Semaphore::new(MOST_DROPPING)),
            early_signals: Vec::new(),
            early_welcomes: BTreeMap::new(),
            stuck: None,
            generation: 0,
            transfers,
            transfer_events,
        };
        worker.succeed_former()?;
        worker.read_all()?;
        worker.tell_of_keys();
        worker.tell_what_was_known()?;
        Ok(worker)
    }

    /// Takes from the disk all that the task works with.
    pub(super) fn read_all(&mut self) -> Result<(), VaultError> {
        self.trust = self.journal.value(Trust::NAME)?.unwrap_or_default();
        self.revocations = self.journal.value(Revocations::NAME)?.unwrap_or_default();
        self.handed_out = self.journal.value(HandedOut::NAME)?;
        self.rooms = self.journal.rooms()?.into_iter().map(|room| (room.id(), Live::new(room))).collect();
        for id in self.rooms.keys().copied().collect::<Vec<_>>() {
            self.name_the_peer(id);
            self.look_at_group(id);
            self.catch_up(id);
            self.check_again(id);
        }
        self.recall_archive();
        Ok(())
    }

    /// Where this identity takes the place of another: that one's groups are forgotten, it is to leave them, and every
    /// conversation is come into anew. Messages, what waits and who was compared are the account's, and stay.
    fn succeed_former(&mut self) -> Result<(), VaultError> {
        let own = self.own_device();
        let former = self.vault.former.take();
        let mut revocations: Revocations = self.journal.value(Revocations::NAME)?.unwrap_or_default();
        for device in self.config.gone.iter().copied().chain(former.map(|former| former.device)) {
            revocations.add_former(device);
        }
        revocations.keep(own);
        self.journal.together();
        self.journal.write_value(Revocations::NAME, &revocations)?;
        if let Some(former) = former {
            self.device.forget_all()?;
            // Whose key it was needs no comparing: this installation's, and it has erased it.
            let mut trust: Trust = self.journal.value(Trust::NAME)?.unwrap_or_default();
            trust.add(&[former]);
            self.journal.write_value(Trust::NAME, &trust)?;
            for room in self.journal.rooms()? {
                let mut live = Live::new(Room { removed: false, ..room });
                live.unseal();
                self.journal.write(&live.room)?;
            }
        }
        self.journal.commit()?;
        if former.is_some_and(|former| former.device != own) {
            self.notify(Notice::NewDevice);
        }
        Ok(self.vault.moved_in()?)
    }

    /// Until the server says what is so now, what it said last is better than nothing.
    fn tell_what_was_known(&self) -> Result<(), VaultError> {
        let people = self.journal.value(PEOPLE)?.unwrap_or_default();
        let calls = self.journal.value(CALLS)?.unwrap_or_default();
        let _ = self.events.send(ChatEvent::Known { user: self.config.me.id, people, calls });
        Ok(())
    }

    /// The vault lies elsewhere now.
    pub(super) fn reopen(&mut self, identity: DeviceIdentity) {
        self.device = Device::open(identity, self.vault.local.clone(), Box::new(OwnDevicesLeave));
        self.journal = Journal::new(self.vault.local.clone());
        let (api, local) = (self.config.api.clone(), self.vault.local.clone());
        match Transfers::new(api, local, self.transfer_events.clone()) {
            Ok(transfers) => self.transfers = transfers,
            Err(error) => self.store_failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_for_a_messenger_that_is_not_open_yet_is_not_lost_without_a_word() {
        let mut held = Held::default();
        let write = || Input::Command(Command::LoadInstallations);
        (0..MOST_HELD).for_each(|_| held.hold(write()));
        assert!(!held.refused);
        held.hold(Input::Offline);
        assert!(!held.refused, "nobody wanted that");
        held.hold(write());
        assert!(held.refused);
        assert_eq!(held.inputs.len(), MOST_HELD);
    }
}
