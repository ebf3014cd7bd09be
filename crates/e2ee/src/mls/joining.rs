//! How this device comes into a group: by somebody's welcome, or from outside.

use openmls::{
    group::{MlsGroup, StagedWelcome, WelcomeError},
    prelude::{ExternalCommitBuilder, MlsMessageBodyIn},
};
use openmls_traits::OpenMlsProvider as _;

use super::{
    Change, Device, GroupId, MAX_POSITION, MlsError, Outgoing,
    device::{enlist, erase, join_config},
    key_packages::{credential, note_use},
    ledger::Kind,
    notes::{Notes, OwnCommit},
    rules,
    sending::{bytes, parse},
};
use crate::{PublicIdentity, store::Store};

impl<S: Store> Device<S> {
    /// Joins the group that a welcome is for; says which, and who let this device in. `position` is that of the log
    /// entry after the commit that the welcome came with.
    ///
    /// # Errors
    /// [`MlsError::GroupExists`] when this device is a member: it has to see itself removed first, or anybody could
    /// lead it into another group of the same name. [`MlsError::NotForThisDevice`] also for a welcome that was used
    /// before; then there is nothing to do.
    pub fn join(&mut self, welcome: &[u8], position: u64) -> Result<(GroupId, PublicIdentity), MlsError> {
        let Some(MlsMessageBodyIn::Welcome(welcome)) = parse(welcome).filter(|_| position <= MAX_POSITION)
        else {
            return Err(MlsError::BadWelcome);
        };
        let provider = self.provider();
        note_use(&provider, &welcome)?;
        let builder =
            StagedWelcome::build_from_welcome(&provider, &join_config(), welcome).map_err(join_error)?;
        let id = GroupId::new(builder.processed_welcome().unverified_group_info().group_id().as_slice())?;
        self.replaceable(&id)?;
        erase(&provider, &id)?;
        // Leaves of devices that have not been heard of for long are no reason to stay out.
        let staged = builder.skip_lifetime_validation().build().map_err(join_error)?;
        let sender = staged.welcome_sender().map_err(|_| MlsError::BadWelcome)?;
        let inviter = rules::identity(sender.credential(), sender.signature_key().as_slice())
            .map_err(|_| MlsError::BadWelcome)?;
        let group = staged.into_group(&provider).map_err(join_error)?;
        self.check_members(&group, MlsError::BadWelcome)?;
        let joined = group.epoch().as_u64();
        let notes = Notes { next: position, acknowledged: position, joined, ..Notes::default() };
        enlist(&provider, &id, &notes)?;
        self.store.apply(provider.into_batch())?;
        self.open.insert(id.clone(), group);
        Ok((id, inviter))
    }

    /// Joins a group from outside: this user's new device, or a device that lost its state or was left behind. All see
    /// it ([`super::Event::Changed`], `external`). What this device had of the group is forgotten; what it had not yet
    /// sent is lost and has to be sent again.
    ///
    /// `group_info` is what the server has from the newest commit, and `position` that of the log entry after that
    /// commit. It takes effect when it is seen in the log; [`super::Event::JoinLost`] when another commit came first.
    ///
    /// # Errors
    /// [`MlsError::BadGroupInfo`], and [`MlsError::Unauthorised`] when the others would refuse it.
    pub fn rejoin(&mut self, group_info: &[u8], position: u64) -> Result<Outgoing, MlsError> {
        let Some(MlsMessageBodyIn::GroupInfo(info)) = parse(group_info).filter(|_| position <= MAX_POSITION)
        else {
            return Err(MlsError::BadGroupInfo);
        };
        let id = GroupId::new(info.group_id().as_slice())?;
        let epoch = info.epoch().as_u64();
        if epoch > MAX_POSITION {
            return Err(MlsError::BadGroupInfo);
        }
        self.open.remove(&id);
        let provider = self.provider();
        erase(&provider, &id)?;
        let failed = MlsError::Library("rejoin");
        let (group, bundle) = ExternalCommitBuilder::new()
            .with_config(join_config())
            .skip_lifetime_validation()
            .build_group(&provider, info, credential(&self.identity))
            .map_err(|_| MlsError::BadGroupInfo)?
            .load_psks(provider.storage())
            .map_err(|_| failed.clone())?
            .create_group_info(true)
            .use_ratchet_tree_extension(true)
            .build(provider.rand(), provider.crypto(), &self.identity, |_| true)
            .map_err(|_| failed.clone())?
            .finalize(&provider)
            .map_err(|_| failed)?;
        self.check_members(&group, MlsError::BadGroupInfo)?;
        self.would_be_let_in(&id, &group, group_info)?;
        let (commit, _, info) = bundle.into_messages();
        let outgoing = Outgoing {
            group: id.clone(),
            epoch,
            commit: true,
            entry: bytes(&commit)?,
            welcome: None,
            welcome_for: Vec::new(),
            group_info: info.as_ref().map(bytes).transpose()?,
        };
        let joining = Some(OwnCommit { change: Change::Update, outgoing: outgoing.clone() });
        let joined = epoch + 1;
        let notes = Notes { next: position, acknowledged: position, joining, joined, ..Notes::default() };
        enlist(&provider, &id, &notes)?;
        self.store.apply(provider.into_batch())?;
        self.open.insert(id, group);
        Ok(outgoing)
    }

    /// Whether a welcome may bring a group of this name.
    fn replaceable(&self, id: &GroupId) -> Result<(), MlsError> {
        match self.provider().ledger.get::<Notes>(Kind::NOTES, id)? {
            Some(notes) if !notes.removed && notes.joining.is_none() => Err(MlsError::GroupExists),
            _ => Ok(()),
        }
    }

    fn check_members(&self, group: &MlsGroup, otherwise: MlsError) -> Result<(), MlsError> {
        let members = rules::members(group).map_err(|_| otherwise.clone())?;
        let identities: Vec<PublicIdentity> = members.iter().map(|member| member.identity).collect();
        let own = identities.contains(&self.identity.public());
        if own && rules::sound(&identities) { Ok(()) } else { Err(otherwise) }
    }

    /// Whether the others would let this device in from outside. If not, asking would only be in their way: the
    /// server can't see what they refuse.
    fn would_be_let_in(&self, id: &GroupId, group: &MlsGroup, group_info: &[u8]) -> Result<(), MlsError> {
        let own = self.identity.public();
        let mut members = rules::members(group).map_err(|_| MlsError::BadGroupInfo)?;
        // Who is in the group afterwards is known; whether this device's former self was in it before shows in the
        // tree inside the group information.
        let returning = group_info.windows(own.key.len()).any(|part| part == own.key);
        if !returning {
            members.retain(|member| member.identity != own);
        }
        let act = super::Act {
            group: id,
            by: &own,
            external: true,
            joining: std::slice::from_ref(&own),
            leaving: if returning { std::slice::from_ref(&own) } else { &[] },
            members: &members,
        };
        if self.authority.permits(&act) { Ok(()) } else { Err(MlsError::Unauthorised) }
    }
}

fn join_error(error: WelcomeError<crate::store::StoreError>) -> MlsError {
    match error {
        WelcomeError::NoMatchingKeyPackage => MlsError::NotForThisDevice,
        WelcomeError::StorageError(error) => MlsError::Store(error),
        _ => MlsError::BadWelcome,
    }
}
