//! What can be seen from outside of whether an entry belongs where it was sent: the delivery service reads the clear part of
//! each MLS message and refuses what could only be in the way of everybody who reads the log.

use bedside_protocol::{
    ConversationId, ErrorCode, Problem,
    conversation::AppendCommit,
    mls::{Clear, ContentType, Credential, Framed, Sender},
};

use super::invalid;
use crate::{fault::Fault, identity::Identity};

/// Something that is said: a private message with content for the application.
pub(super) fn said(conversation: ConversationId, epoch: u64, body: &[u8]) -> Result<(), Fault> {
    match Clear::read(body) {
        Some(Clear::Private(framed)) if framed.content == ContentType::Application => {
            belongs("body", framed, conversation, epoch)
        }
        _ => Err(invalid("body must be an MLS private message that is no change of the group.")),
    }
}

/// A change of the group with what comes with it. Says whether it is made from outside, which devices do for themselves
/// alone: whoever came in under another's name could speak as them.
pub(super) fn change(
    who: &Identity,
    conversation: ConversationId,
    commit: &AppendCommit,
) -> Result<bool, Fault> {
    let (framed, from_outside) = match Clear::read(&commit.body.0) {
        Some(Clear::Private(framed)) => (framed, false),
        Some(Clear::Public(framed, Sender::NewMemberCommit { credential })) => {
            if credential != Some(&Credential { user: who.user, device: who.device }.to_bytes()[..]) {
                return Err(Problem::new(ErrorCode::Forbidden)
                    .with_detail("A device comes in from outside as itself.")
                    .into());
            }
            (framed, true)
        }
        _ => return Err(invalid("body must be an MLS commit: private, or from outside.")),
    };
    if framed.content != ContentType::Commit {
        return Err(invalid("body must be an MLS commit."));
    }
    belongs("body", framed, conversation, commit.epoch)?;
    if let Some(welcome) = &commit.welcome
        && Clear::read(&welcome.0) != Some(Clear::Welcome)
    {
        return Err(invalid("welcome must be an MLS welcome."));
    }
    group_info(conversation, commit.epoch.saturating_add(1), &commit.group_info.0)?;
    Ok(from_outside)
}

/// Group information of an epoch.
pub(super) fn group_info(conversation: ConversationId, epoch: u64, bytes: &[u8]) -> Result<(), Fault> {
    match Clear::read(bytes) {
        Some(Clear::GroupInfo { group, epoch: theirs })
            if theirs == epoch && group == conversation.0.as_bytes() =>
        {
            Ok(())
        }
        _ => Err(invalid(format!("group_info must be MLS group information of this group's epoch {epoch}."))),
    }
}

fn belongs(field: &str, framed: Framed<'_>, conversation: ConversationId, epoch: u64) -> Result<(), Fault> {
    if framed.group == conversation.0.as_bytes() && framed.epoch == epoch {
        Ok(())
    } else {
        Err(invalid(format!("{field} is of another group or epoch than the request says.")))
    }
}
