//! Which devices are in a group, as far as the server can know: who founded it, came in from outside, or was welcomed. Who
//! was removed it can't see.

use bedside_protocol::{ConversationId, DeviceId};
use sqlx::{Sqlite, Transaction};

use crate::fault::Fault;

/// Whether a device has come into the group.
pub(super) async fn contain(
    tx: &mut Transaction<'_, Sqlite>,
    conversation: ConversationId,
    device: DeviceId,
) -> Result<bool, Fault> {
    let row = sqlx::query("SELECT 1 FROM conversation_members WHERE conversation_id = ?1 AND device_id = ?2")
        .bind(conversation.0)
        .bind(device.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.is_some())
}

/// A device comes into the group. One that does not exist is passed over: [`super::welcomes::keep`] refuses it.
pub(super) async fn add(
    tx: &mut Transaction<'_, Sqlite>,
    conversation: ConversationId,
    device: DeviceId,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO conversation_members (conversation_id, device_id)
         SELECT ?1, id FROM devices WHERE id = ?2 ON CONFLICT DO NOTHING",
    )
    .bind(conversation.0)
    .bind(device.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Nobody is in the group any more.
pub(super) async fn clear(
    tx: &mut Transaction<'_, Sqlite>,
    conversation: ConversationId,
) -> Result<(), Fault> {
    sqlx::query("DELETE FROM conversation_members WHERE conversation_id = ?1")
        .bind(conversation.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
