//! One device: its identity, its groups, and the one way in which their state changes.

use std::collections::{BTreeSet, HashMap};

use bedside_protocol::{DeviceId, Sealed};
use openmls::{
    group::{MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig},
    prelude::{PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, SenderRatchetConfiguration},
};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::OpenMlsProvider as _;
use zeroize::Zeroizing;

use super::{
    Authority, Change, GroupId, MAX_POSITION, MAX_SKIPPED, Member, MlsError, Outgoing, PADDING_BYTES,
    Provider, SUITE,
    key_packages::{capabilities, credential, lifetime},
    ledger::{Kind, Ledger},
    notes::Notes,
    rules,
    sending::take,
};
use crate::{
    DeviceIdentity, PublicIdentity,
    at_rest::RecordError,
    check_code::CheckCode,
    sframe::{self, EpochSecret, FrameError},
    store::Store,
};

/// A device and its groups. Use one at a time for a store.
pub struct Device<S> {
    pub(super) identity: DeviceIdentity,
    pub(super) store: S,
    pub(super) crypto: RustCrypto,
    pub(super) authority: Box<dyn Authority>,
    /// Groups as the store has them, to save reading; one is taken out while it changes, and put back when written.
    pub(super) open: HashMap<GroupId, MlsGroup>,
}

/// What came of removing a device from one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Which group.
    pub group: GroupId,
    /// What to give to the server, or why there is nothing yet.
    pub outcome: Result<Outgoing, MlsError>,
}

/// One group while it changes.
pub(super) struct Work<'a, S> {
    pub(super) id: &'a GroupId,
    pub(super) group: MlsGroup,
    pub(super) notes: Notes,
    pub(super) provider: Provider<'a, S>,
    pub(super) identity: &'a DeviceIdentity,
    pub(super) authority: &'a dyn Authority,
}

impl<S: Store> Work<'_, S> {
    /// Whether the group can be used: joined, and not removed from.
    pub(super) fn usable(&self) -> Result<(), MlsError> {
        if self.notes.removed {
            Err(MlsError::Removed)
        } else if self.notes.joining.is_some() {
            Err(MlsError::Joining)
        } else {
            Ok(())
        }
    }

    pub(super) fn members(&self) -> Result<Vec<Member>, MlsError> {
        rules::members(&self.group).map_err(|_| MlsError::Library("members"))
    }

    pub(super) fn identities(&self) -> Result<Vec<PublicIdentity>, MlsError> {
        Ok(self.members()?.iter().map(|member| member.identity).collect())
    }
}

impl<S: Store> Device<S> {
    /// The device that `identity` is, with the groups in `store`.
    pub fn open(identity: DeviceIdentity, store: S, authority: Box<dyn Authority>) -> Self {
        Self { identity, store, crypto: RustCrypto::default(), authority, open: HashMap::new() }
    }

    /// Who this device is.
    pub const fn identity(&self) -> &DeviceIdentity {
        &self.identity
    }

    pub(super) fn provider(&self) -> Provider<'_, S> {
        Provider { crypto: &self.crypto, ledger: Ledger::new(&self.store) }
    }

    /// Does `act` to a group and writes all of it, or, when it fails, nothing.
    pub(super) fn change<T, E: From<MlsError>>(
        &mut self,
        id: &GroupId,
        act: impl FnOnce(&mut Work<'_, S>) -> Result<T, E>,
    ) -> Result<T, E> {
        // A group that fails on the way is not put back, and read from the store the next time.
        let open = self.open.remove(id);
        let provider = self.provider();
        let load = || -> Result<_, MlsError> {
            let notes = provider.ledger.get(Kind::NOTES, id)?.ok_or(MlsError::UnknownGroup)?;
            let group = match open {
                Some(group) => group,
                None => MlsGroup::load(&provider.ledger, &id.mls())?.ok_or(MlsError::UnknownGroup)?,
            };
            Ok((notes, group))
        };
        let (notes, group) = load()?;
        let mut work =
            Work { id, group, notes, provider, identity: &self.identity, authority: &*self.authority };
        let outcome = act(&mut work)?;
        let Work { group, notes, provider, .. } = work;
        let write = || -> Result<(), MlsError> {
            provider.ledger.put(Kind::NOTES, id, &notes)?;
            Ok(self.store.apply(provider.into_batch())?)
        };
        write()?;
        self.open.insert(id.clone(), group);
        Ok(outcome)
    }

    /// Looks at a group that can be used.
    fn look<T>(
        &mut self,
        id: &GroupId,
        see: impl FnOnce(&Work<'_, S>) -> Result<T, MlsError>,
    ) -> Result<T, MlsError> {
        let provider = self.provider();
        let notes: Notes = provider.ledger.get(Kind::NOTES, id)?.ok_or(MlsError::UnknownGroup)?;
        let group = match self.open.remove(id) {
            Some(group) => group,
            None => MlsGroup::load(&self.provider().ledger, &id.mls())?.ok_or(MlsError::UnknownGroup)?,
        };
        let work = Work {
            id,
            group,
            notes,
            provider: self.provider(),
            identity: &self.identity,
            authority: &*self.authority,
        };
        let seen = work.usable().and_then(|()| see(&work));
        let group = work.group;
        self.open.insert(id.clone(), group);
        seen
    }

    /// Creates a group with this device as its only member. Its log is empty; give the outcome (group information for
    /// joining from outside) to the server with it. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`MlsError::GroupExists`].
    pub fn create(&mut self, id: &GroupId, now: u64) -> Result<Sealed, MlsError> {
        let provider = self.provider();
        if !enlist(&provider, id, &Notes::default())? {
            return Err(MlsError::GroupExists);
        }
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(SUITE)
            .capabilities(capabilities())
            .lifetime(lifetime(now))
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .padding_size(PADDING_BYTES)
            .max_past_epochs(0)
            .sender_ratchet_configuration(SenderRatchetConfiguration::new(0, MAX_SKIPPED))
            .use_ratchet_tree_extension(true)
            .build();
        let group = MlsGroup::new_with_group_id(
            &provider,
            &self.identity,
            &config,
            id.mls(),
            credential(&self.identity),
        )
        .map_err(|_| MlsError::Library("create"))?;
        let info = group
            .export_group_info(&self.crypto, &self.identity, true)
            .ok()
            .and_then(|info| info.to_bytes().ok())
            .ok_or(MlsError::Library("group information"))?;
        self.store.apply(provider.into_batch())?;
        self.open.insert(id.clone(), group);
        Ok(Sealed(info))
    }

    /// Says where in its log a group begins that was just created: where a group was founded anew, not at 0.
    ///
    /// # Errors
    /// [`MlsError::Gap`] when something was read of its log, or no log comes so far; when there is no such group.
    pub fn begin_at(&mut self, id: &GroupId, position: u64) -> Result<(), MlsError> {
        self.change(id, |work| {
            if work.notes.next > 0 || position > MAX_POSITION {
                return Err(MlsError::Gap { expected: work.notes.next, got: position });
            }
            (work.notes.next, work.notes.acknowledged) = (position, position);
            Ok(())
        })
    }

    /// Forgets a group and every key of it: after [`super::Event::Removed`], or when a conversation is deleted.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn forget(&mut self, id: &GroupId) -> Result<(), MlsError> {
        self.open.remove(id);
        let provider = self.provider();
        erase(&provider, id)?;
        let mut groups: BTreeSet<GroupId> = provider.ledger.get(Kind::GROUPS, &())?.unwrap_or_default();
        groups.remove(id);
        provider.ledger.put(Kind::GROUPS, &(), &groups)?;
        Ok(self.store.apply(provider.into_batch())?)
    }

    /// Forgets every group and every key package: they were another identity's.
    ///
    /// # Errors
    /// When the store does not answer; what was forgotten by then stays so.
    pub fn forget_all(&mut self) -> Result<(), MlsError> {
        for group in self.groups()? {
            self.forget(&group)?;
        }
        self.forget_expired_key_packages(u64::MAX).map(drop)
    }

    /// The groups of this device.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn groups(&self) -> Result<BTreeSet<GroupId>, MlsError> {
        Ok(self.provider().ledger.get(Kind::GROUPS, &())?.unwrap_or_default())
    }

    /// Who is in a group.
    ///
    /// # Errors
    /// When this device is not.
    pub fn members(&mut self, id: &GroupId) -> Result<Vec<Member>, MlsError> {
        self.look(id, |work| work.members())
    }

    /// The epoch a group is in.
    ///
    /// # Errors
    /// When this device is not a member.
    pub fn epoch(&mut self, id: &GroupId) -> Result<u64, MlsError> {
        self.look(id, |work| Ok(work.group.epoch().as_u64()))
    }

    /// 32 bytes that are the same for everybody who agrees on all that happened in the group (RFC 9420 §8.7).
    ///
    /// # Errors
    /// When this device is not a member.
    pub fn epoch_authenticator(&mut self, id: &GroupId) -> Result<Vec<u8>, MlsError> {
        self.look(id, |work| Ok(work.group.epoch_authenticator().as_slice().to_vec()))
    }

    /// The code of a group's members. Slow: see [`CheckCode::of`].
    ///
    /// # Errors
    /// When this device is not a member, or there is not enough memory.
    pub fn check_code(&mut self, id: &GroupId) -> Result<CheckCode, MlsError> {
        let members = self.look(id, |work| work.identities())?;
        CheckCode::of(&members).map_err(|error| match error {
            RecordError::Entropy(error) => MlsError::Entropy(error),
            _ => MlsError::Library("check code"),
        })
    }

    /// A secret of this epoch for another use (RFC 9420 §8.5), `bytes` long; the same for every member.
    ///
    /// # Errors
    /// When this device is not a member, or `bytes` is above 8160.
    pub fn export_secret(
        &mut self,
        id: &GroupId,
        label: &str,
        context: &[u8],
        bytes: usize,
    ) -> Result<Zeroizing<Vec<u8>>, MlsError> {
        self.look(id, |work| {
            let secret = work.group.export_secret(work.provider.crypto, label, context, bytes);
            secret.map(Zeroizing::new).map_err(|_| MlsError::Library("exporter"))
        })
    }

    /// This epoch's secret for frames of the media of one call (RFC 9605 §5.2), and this device's leaf. `call` names the
    /// call. Before it is used it is bound to what nobody else chose: [`EpochSecret::bound_to`].
    ///
    /// # Errors
    /// When this device is not a member.
    pub fn frame_secret(&mut self, id: &GroupId, call: &[u8]) -> Result<(EpochSecret, u32), MlsError> {
        let key = self.export_secret(id, sframe::EXPORTER_LABEL, call, sframe::BASE_KEY_BYTES)?;
        self.look(id, |work| {
            let secret = EpochSecret::new(work.group.epoch().as_u64(), key)
                .map_err(|_: FrameError| MlsError::Library("exporter"))?;
            Ok((secret, work.group.own_leaf_index().u32()))
        })
    }

    /// Removes a lost or stolen device from every group that it is in, and this device too. What can't be asked for
    /// now, as another change is under way, is to be asked for again.
    ///
    /// # Errors
    /// When the store does not answer. What was written before stays written, and in [`Device::unsent`].
    pub fn revoke(&mut self, device: DeviceId) -> Result<Vec<Revocation>, MlsError> {
        let mut asked = Vec::new();
        for id in self.groups()? {
            match self.commit(&id, &Change::Remove(vec![device])) {
                Err(MlsError::NothingToDo | MlsError::Removed) => {}
                Err(MlsError::Store(error)) => return Err(error.into()),
                outcome => asked.push(Revocation { group: id, outcome }),
            }
        }
        Ok(asked)
    }
}

impl<S> std::fmt::Debug for Device<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Begins a group's notes, and its entry among this device's groups. Says whether it is a new one.
pub(super) fn enlist<S: Store>(
    provider: &Provider<'_, S>,
    id: &GroupId,
    notes: &Notes,
) -> Result<bool, MlsError> {
    provider.ledger.put(Kind::NOTES, id, notes)?;
    let mut groups: BTreeSet<GroupId> = provider.ledger.get(Kind::GROUPS, &())?.unwrap_or_default();
    let new = groups.insert(id.clone());
    provider.ledger.put(Kind::GROUPS, &(), &groups)?;
    Ok(new)
}

/// Deletes everything that is known of a group, but not its name in the list.
pub(super) fn erase<S: Store>(provider: &Provider<'_, S>, id: &GroupId) -> Result<(), MlsError> {
    if let Some(mut group) = MlsGroup::load(provider.storage(), &id.mls())? {
        group.delete(provider.storage())?;
    }
    if let Some(notes) = provider.ledger.get::<Notes>(Kind::NOTES, id)? {
        for position in notes.acknowledged..notes.next {
            provider.ledger.erase(Kind::EVENT, &(id, position))?;
        }
        for number in notes.seen + 1..=notes.written {
            take(provider, id, number)?;
        }
    }
    Ok(provider.ledger.erase(Kind::NOTES, id)?)
}

/// How this device joins groups.
pub(super) fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .padding_size(PADDING_BYTES)
        .max_past_epochs(0)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(0, MAX_SKIPPED))
        .use_ratchet_tree_extension(true)
        .build()
}
