//! Welcomes in the database: kept with their commit, until their device has joined or the retention is over.

use std::collections::BTreeSet;

use bedside_protocol::{
    ConversationId, DeviceId, EntryId, ErrorCode, Sealed, Timestamp, UserId,
    conversation::{LogEntry, MAX_INLINE_ENTRY_BYTES, WaitingWelcome},
};
use sqlx::{Row, Sqlite, Transaction};

use super::invalid;
use crate::{
    db::{Database, signed},
    fault::Fault,
};

/// Keeps the welcome that came with `commit` for `devices`, which have to be participants' and not revoked. Gives what
/// each is to be told.
pub(super) async fn keep(
    tx: &mut Transaction<'_, Sqlite>,
    commit: &LogEntry,
    welcome: Sealed,
    devices: Vec<DeviceId>,
) -> Result<Vec<(UserId, DeviceId, WaitingWelcome)>, Fault> {
    let (id, conversation, position) = (EntryId::random(), commit.conversation_id, commit.position + 1);
    sqlx::query(
        "INSERT INTO welcomes (id, conversation_id, position, created_at, body, user_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(id.0)
    .bind(conversation.0)
    .bind(signed(position))
    .bind(commit.at.0)
    .bind(&welcome.0)
    .bind(commit.from_user.0)
    .execute(&mut **tx)
    .await?;
    // As it is told: a long one is not copied for each device, but fetched.
    let welcome = Some(welcome).filter(|welcome| welcome.0.len() <= MAX_INLINE_ENTRY_BYTES);
    let waiting = WaitingWelcome { id, conversation_id: conversation, position, welcome };
    let mut kept = Vec::new();
    for device in devices.into_iter().collect::<BTreeSet<_>>() {
        let owner = sqlx::query(
            "SELECT d.user_id FROM devices d
             JOIN conversation_participants p ON p.user_id = d.user_id AND p.conversation_id = ?2
             WHERE d.id = ?1 AND d.revoked_at IS NULL",
        )
        .bind(device.0)
        .bind(conversation.0)
        .fetch_optional(&mut **tx)
        .await?
        .ok_or_else(|| invalid("welcome_for names a device that is not a participant's, or was revoked."))?;
        sqlx::query("INSERT INTO welcome_devices (welcome_id, device_id) VALUES (?1, ?2)")
            .bind(id.0)
            .bind(device.0)
            .execute(&mut **tx)
            .await?;
        kept.push((UserId(owner.try_get(0)?), device, waiting.clone()));
    }
    Ok(kept)
}

/// Welcomes that wait for a device, oldest first, and how many there are.
pub(super) async fn page(
    db: &Database,
    device: DeviceId,
    offset: u64,
    limit: u32,
) -> Result<(Vec<WaitingWelcome>, u64), Fault> {
    let mut tx = db.read.begin().await?;
    let total: u64 = sqlx::query("SELECT COUNT(*) FROM welcome_devices WHERE device_id = ?1")
        .bind(device.0)
        .fetch_one(&mut *tx)
        .await?
        .try_get(0)?;
    let rows = sqlx::query(
        "SELECT w.id, w.conversation_id, w.position, w.body FROM welcome_devices d
         JOIN welcomes w ON w.id = d.welcome_id
         WHERE d.device_id = ?1 ORDER BY w.created_at, w.position, w.id LIMIT ?2 OFFSET ?3",
    )
    .bind(device.0)
    .bind(limit)
    .bind(signed(offset))
    .fetch_all(&mut *tx)
    .await?;
    let welcomes = rows
        .iter()
        .map(|row| {
            Ok(WaitingWelcome {
                id: EntryId(row.try_get("id")?),
                conversation_id: ConversationId(row.try_get("conversation_id")?),
                position: row.try_get("position")?,
                welcome: Some(Sealed(row.try_get("body")?)),
            })
        })
        .collect::<Result<_, Fault>>()?;
    Ok((welcomes, total))
}

/// A device no longer needs a welcome. The last one takes it away.
pub(super) async fn delete(db: &Database, device: DeviceId, id: EntryId) -> Result<(), Fault> {
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    let gone = sqlx::query("DELETE FROM welcome_devices WHERE welcome_id = ?1 AND device_id = ?2")
        .bind(id.0)
        .bind(device.0)
        .execute(&mut *tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Err(ErrorCode::NotFound.into());
    }
    forget_unneeded(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Lets go of welcomes that nobody waits for.
pub(crate) async fn forget_unneeded(tx: &mut Transaction<'_, Sqlite>) -> Result<(), Fault> {
    sqlx::query(
        "DELETE FROM welcomes WHERE NOT EXISTS (SELECT 1 FROM welcome_devices d WHERE d.welcome_id = id)",
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets go of welcomes that came before `before`.
pub(super) async fn expire(db: &Database, before: Timestamp) -> Result<(), Fault> {
    sqlx::query("DELETE FROM welcomes WHERE created_at <= ?1").bind(before.0).execute(&db.write).await?;
    Ok(())
}
