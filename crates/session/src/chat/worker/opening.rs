//! How the messenger comes by its vault, and by what is in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
    sync::Arc,
};

use bedside_e2ee::{
    DeviceIdentity,
    mls::{Device, MembersDecide},
};
use bedside_ui_contract::{
    Command,
    chat::{ChatView, VaultView},
};
use tokio::sync::{Semaphore, mpsc, watch};

use super::{CALLS, Channels, Live, PEOPLE, Worker};
use crate::{
    chat::{
        ChatConfig, ChatEvent, Input,
        inbox::Inbox,
        journal::Journal,
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
    let (secrets, at) = (config.secrets.clone(), place.clone());
    let mut opening = tokio::task::spawn_blocking(move || vault::open(secrets.as_ref(), &at));
    // The keyring may be asking for its password, and calls ring all the same: the server's events are taken in.
    let opened = loop {
        tokio::select! {
            opened = &mut opening => break opened.ok()?,
            // What was told before everybody left is done all the same.
            Some(input) = inputs.recv() => held.hold(input),
        }
    };
    let mut wrong = false;
    match opened {
        Ok(Opening::Open(vault)) => return Some(*vault),
        Ok(Opening::Locked) => {}
        Err(error) => {
            tracing::error!(%error, "the vault can't be opened");
            shown.send_modify(|view| view.vault = VaultView::Broken);
            let _ = events.send(ChatEvent::Changed);
            return None;
        }
    }
    loop {
        shown.send_modify(|view| view.vault = VaultView::Locked { wrong });
        let _ = events.send(ChatEvent::Changed);
        match inputs.recv().await? {
            Input::Command(Command::UnlockVault { passphrase }) => {
                let at = place.clone();
                let passphrase = zeroize::Zeroizing::new(passphrase);
                match tokio::task::spawn_blocking(move || vault::unlock(&at, &passphrase)).await.ok()? {
                    Ok(vault) => return Some(vault),
                    Err(error) => {
                        tracing::info!(%error, "the vault stays locked");
                        wrong = true;
                    }
                }
            }
            other => held.hold(other),
        }
    }
}

impl Worker {
    pub(super) fn open(config: ChatConfig, vault: Vault, channels: Channels) -> Result<Self, VaultError> {
        let Channels { events, shown, outcomes, transfer_events } = channels;
        let device = Device::open(vault.identity()?, vault.local.clone(), Box::new(MembersDecide));
        let journal = Journal::new(vault.local.clone());
        let trust = journal.value(Trust::NAME)?.unwrap_or_default();
        let revoked = journal.value(b"revoked")?.unwrap_or_default();
        let rooms = journal.rooms()?.into_iter().map(|room| (room.id(), Live::new(room))).collect();
        let transfers = Transfers::new(config.api.clone(), vault.local.clone(), transfer_events.clone())?;
        let mut worker = Self {
            config,
            vault,
            journal,
            device,
            trust,
            rooms,
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
            revoked,
            publishing: false,
            fetching: BTreeMap::new(),
            list_again: false,
            fetching_devices: None,
            dropping: Arc::new(Semaphore::new(MOST_DROPPING)),
            early_signals: Vec::new(),
            early_welcomes: BTreeMap::new(),
            leaving: Vec::new(),
            transfers,
            transfer_events,
        };
        for id in worker.rooms.keys().copied().collect::<Vec<_>>() {
            worker.name_the_peer(id);
            worker.look_at_group(id);
            worker.catch_up(id);
            worker.check_again(id);
        }
        worker.recall_archive();
        worker.tell_what_was_known()?;
        Ok(worker)
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
        self.device = Device::open(identity, self.vault.local.clone(), Box::new(MembersDecide));
        self.journal = Journal::new(self.vault.local.clone());
        let (api, local) = (self.config.api.clone(), self.vault.local.clone());
        match Transfers::new(api, local, self.transfer_events.clone()) {
            Ok(transfers) => self.transfers = transfers,
            Err(error) => self.store_failed(error),
        }
    }
}
