//! What happens when the disk does not take what is written, because it is full or gone.
//!
//! What was not written has not happened. So the task forgets what it thinks and begins anew from what is on the disk, as
//! after a start; until a trial shows that there is room, nothing is read from the logs, said or changed, and the person
//! reads why. What is on the disk can be read meanwhile.

use bedside_e2ee::store::StoreError;
use bedside_ui_contract::{Command, Failure, chat::VaultView};
use tokio::time::Instant;

use super::{Worker, live::pause_after};
use crate::chat::{Input, vault::VaultError};

/// Written to see whether there is room.
const TRIAL: &[u8] = b"trial";
/// As much as a day's conversation, bytes: a store that takes this is good for more than the next word.
const TRIAL_BYTES: usize = 256 * 1024;

/// The store failed, and nothing is done until it works.
#[derive(Debug)]
pub(super) struct Stuck {
    /// How often it was tried since.
    failures: u32,
    /// When it is tried again.
    again: Instant,
}

impl Worker {
    /// The local store failed. What was not written has not happened.
    pub(super) fn store_failed(&mut self, error: StoreError) {
        match error {
            StoreError::Unavailable => {
                if self.stuck.is_none() {
                    tracing::error!("the local store can't be written");
                    self.stuck = Some(Stuck { failures: 0, again: Instant::now() });
                }
            }
            StoreError::Damaged => {
                tracing::error!("the local store is damaged");
                self.vault.view = VaultView::Broken;
            }
        }
    }

    /// What the window says of the vault.
    pub(super) const fn vault_view(&self) -> VaultView {
        if self.stuck.is_some() { VaultView::Unwritable } else { self.vault.view }
    }

    /// Takes in what the task is told. A command in which the store fails was not done.
    pub(super) fn told(&mut self, input: Input) {
        if self.stuck.is_some() {
            return self.input_while_stuck(input);
        }
        let wanted = matches!(input, Input::Command(_));
        self.input(input);
        if wanted && self.stuck.is_some() {
            self.notify_failure(Failure::StorageFull);
        }
    }

    /// What can be done without writing is done, what the person wants beyond that is refused, and what the server says
    /// is caught up with later.
    fn input_while_stuck(&mut self, input: Input) {
        match input {
            Input::Messages { id, from, count, answer } => {
                let _ = answer.send(self.page(id, from, count));
            }
            Input::Search { text, within, answer } => self.search(text, within, answer),
            Input::Online { .. } => self.online = true,
            Input::Offline => self.online = false,
            Input::ReadReceipts(on) => self.config.read_receipts = on,
            Input::Archive(archive) => self.config.archive = archive,
            Input::InCall(call) => self.in_call = call,
            Input::Entered { call, room_token } => self.room_token = Some((call, room_token)),
            Input::Command(Command::ViewConversation { conversation_id }) => {
                self.viewed = conversation_id.and_then(|id| id.parse().ok());
            }
            Input::Command(
                Command::MarkRead { .. } | Command::SetTyping { .. } | Command::LoadInstallations,
            ) => {}
            Input::Command(_) | Input::Signal { .. } => self.notify_failure(Failure::StorageFull),
            Input::Event(_)
            | Input::Reachable(_)
            | Input::Prepare(_)
            | Input::Files { .. }
            | Input::People(_)
            | Input::Calls(_) => {}
        }
    }

    /// Tries to go on where the store had failed.
    pub(super) fn recover(&mut self) {
        let Some(stuck) = self.stuck.as_mut().filter(|stuck| stuck.again <= Instant::now()) else { return };
        stuck.again = Instant::now() + pause_after(stuck.failures);
        stuck.failures = stuck.failures.saturating_add(1);
        if let Err(error) = self.begin_anew() {
            return tracing::warn!(%error, "the local store is tried again later");
        }
        tracing::info!("the local store works again");
        self.stuck = None;
        if self.online {
            // As after an absence: what was said meanwhile is fetched.
            self.came_online(false);
        }
    }

    fn begin_anew(&mut self) -> Result<(), VaultError> {
        self.vault.reopen()?;
        self.reload()?;
        for trial in [vec![0; TRIAL_BYTES], Vec::new()] {
            self.journal.write_value(TRIAL, &trial)?;
            self.vault.barrier()?;
        }
        Ok(())
    }

    /// Everything in memory that follows from the disk, as it is there.
    fn reload(&mut self) -> Result<(), VaultError> {
        let identity = self.vault.identity()?;
        self.reopen(identity);
        self.generation = self.generation.wrapping_add(1);
        self.loaded = false;
        (self.publishing, self.fetching_devices, self.list_again) = (false, None, false);
        self.offered = None;
        self.shutting_out.clear();
        self.fetching.clear();
        self.early_signals.clear();
        self.early_welcomes.clear();
        self.read_all()
    }
}
