//! A long conversation for whoever measures: messages that nobody wrote, put straight into the store of an installation.
//! Only tests and measurements ask for the feature that brings this.

use std::path::Path;

use bedside_protocol::{ConversationId, DeviceId, Pii, Timestamp};
use uuid::Uuid;

use super::{
    journal::{Content, Item, Journal, Receipted},
    vault::{self, Opening, Place},
};
use crate::{profile::Profile, secrets::SecretStore};

/// Puts a message for each of `texts` at the end of a conversation that the installation in `folder` has, said by its
/// people in turn. No engine may run there.
///
/// # Errors
/// There is no such conversation, or what is there can't be read or written.
pub fn append(
    folder: &Path,
    secrets: &dyn SecretStore,
    conversation: ConversationId,
    texts: impl IntoIterator<Item = String>,
) -> Result<(), Box<dyn std::error::Error>> {
    let profile = Profile::open(folder)?;
    let (user, device) = (profile.get().user.as_ref(), profile.get().device_id);
    let (user, device) = user.map(|user| user.id).zip(device).ok_or("nobody has signed in there")?;
    let place = Place { folder: folder.to_owned(), user, device };
    let Opening::Open(vault) = vault::open(secrets, &place)? else {
        return Err("the messages are locked".into());
    };
    let journal = Journal::new(vault.local.clone());
    let room = journal.rooms()?.into_iter().find(|room| room.id() == conversation);
    let mut room = room.ok_or("there is no such conversation")?;
    let people: Vec<_> = room.server.participants.iter().map(|person| person.id).collect();
    journal.together();
    for (text, sender) in texts.into_iter().zip(people.into_iter().cycle()) {
        let item = Item {
            id: Uuid::new_v4(),
            sender,
            device: DeviceId::random(),
            sent_at: Timestamp(room.server.created_at.0 + i64::from(room.total)),
            content: Content::Text(Pii::new(text)),
            edited: false,
            reply_to: None,
            call: None,
            unchecked: false,
        };
        journal.append(&mut room, item)?;
    }
    let told = Receipted { delivered: room.total, read: room.total };
    (room.receipted, room.seen_here) = (told, room.total);
    journal.write(&room)?;
    journal.commit()?;
    Ok(vault.barrier()?)
}
