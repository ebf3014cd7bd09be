//! Which changes a group accepts. MLS proves who made a change; this says whether they may.

use bedside_protocol::DeviceId;
use openmls::{
    group::{MlsGroup, StagedCommit},
    prelude::{LeafNode, LeafNodeIndex, Proposal, Sender},
};

use super::{GroupId, MAX_MEMBERS, Member, Refusal};
use crate::PublicIdentity;

/// A change to the members, to be permitted or not.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// In which group.
    pub group: &'a GroupId,
    /// Who makes it; for a device that comes from outside, that device.
    pub by: &'a PublicIdentity,
    /// Whether `by` comes from outside, let in by nobody.
    pub external: bool,
    /// Devices that would become members.
    pub joining: &'a [PublicIdentity],
    /// Devices that would be members no longer.
    pub leaving: &'a [PublicIdentity],
    /// The members before the change.
    pub members: &'a [Member],
}

/// Says which changes are permitted, beyond what always holds (identities stay what they are, no device twice, a bounded
/// number, nothing but adding, removing and renewing).
///
/// Every device of a group must come to the same answer about the same act, or the group falls apart: answer by what
/// is in the act and by what all devices know, never by what only this one does.
pub trait Authority: Send + Sync {
    /// Whether `act` is permitted.
    fn permits(&self, act: &Act<'_>) -> bool;
}

/// Bedside's: members let in whom they like, and a device is put out by another of the same user alone. From outside come
/// only devices of users who have one in it already. That it came is told to all ([`super::Event::Changed`]), and its key
/// is in the check code.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnDevicesLeave;

impl Authority for OwnDevicesLeave {
    fn permits(&self, act: &Act<'_>) -> bool {
        let known = || act.members.iter().any(|member| member.identity.user == act.by.user);
        act.leaving.iter().all(|gone| gone.user == act.by.user) && (!act.external || known())
    }
}

/// The members of a group, by leaf.
pub(super) fn members(group: &MlsGroup) -> Result<Vec<Member>, Refusal> {
    let identity = |member: openmls::prelude::Member| {
        let identity = identity(&member.credential, &member.signature_key)?;
        Ok(Member { leaf: member.index.u32(), identity })
    };
    group.members().map(identity).collect()
}

/// The identity that a credential and a key are.
pub(super) fn identity(
    credential: &openmls::prelude::Credential,
    key: &[u8],
) -> Result<PublicIdentity, Refusal> {
    if credential.credential_type() != openmls::prelude::CredentialType::Basic {
        return Err(Refusal::Unauthorised);
    }
    PublicIdentity::from_parts(credential.serialized_content(), key).map_err(|_| Refusal::Unauthorised)
}

fn leaf_identity(leaf: &LeafNode) -> Result<PublicIdentity, Refusal> {
    identity(leaf.credential(), leaf.signature_key().as_slice())
}

/// Whether these could be a group: not too many, and no device twice.
pub(super) fn sound(members: &[PublicIdentity]) -> bool {
    let mut devices: Vec<DeviceId> = members.iter().map(|member| member.device).collect();
    devices.sort_unstable();
    devices.dedup();
    devices.len() == members.len() && members.len() <= MAX_MEMBERS
}

/// Who made a commit, and whether they came from outside. Refuses what is not permitted.
pub(super) fn judge(
    id: &GroupId,
    group: &MlsGroup,
    sender: &Sender,
    commit: &StagedCommit,
    authority: &dyn Authority,
) -> Result<(PublicIdentity, bool), Refusal> {
    let members = members(group)?;
    let at = |leaf: LeafNodeIndex| {
        members.iter().find(|member| member.leaf == leaf.u32()).map(|member| member.identity)
    };
    let external = matches!(sender, Sender::NewMemberCommit);
    let path = commit.update_path_leaf_node().map(leaf_identity).transpose()?;
    let by = match sender {
        Sender::Member(leaf) => at(*leaf).ok_or(Refusal::Unauthorised)?,
        Sender::NewMemberCommit => path.ok_or(Refusal::Unauthorised)?,
        Sender::External(_) | Sender::NewMemberProposal => return Err(Refusal::Unauthorised),
    };
    // Nobody becomes somebody else.
    if path.is_some_and(|path| path != by) {
        return Err(Refusal::Unauthorised);
    }
    let only_known = commit.queued_proposals().all(|queued| match queued.proposal() {
        Proposal::Add(_) | Proposal::Remove(_) => true,
        Proposal::ExternalInit(_) => external,
        _ => false,
    });
    if !only_known {
        return Err(Refusal::Unauthorised);
    }
    let mut joining = commit
        .add_proposals()
        .map(|add| leaf_identity(add.add_proposal().key_package().leaf_node()))
        .collect::<Result<Vec<_>, _>>()?;
    let leaving = commit
        .remove_proposals()
        .map(|remove| at(remove.remove_proposal().removed()).ok_or(Refusal::InvalidCommit))
        .collect::<Result<Vec<_>, _>>()?;
    if external {
        // Who comes from outside may push out its own former self, and nobody else.
        if !joining.is_empty() || leaving.iter().any(|gone| *gone != by) {
            return Err(Refusal::Unauthorised);
        }
        joining.push(by);
    }
    let mut after: Vec<PublicIdentity> = members.iter().map(|member| member.identity).collect();
    after.retain(|member| !leaving.contains(member));
    after.extend_from_slice(&joining);
    let act = Act { group: id, by: &by, external, joining: &joining, leaving: &leaving, members: &members };
    if sound(&after) && authority.permits(&act) { Ok((by, external)) } else { Err(Refusal::Unauthorised) }
}
