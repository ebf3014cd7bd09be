//! Founding a conversation's group, and founding it anew.
//!
//! One member can end an epoch with a commit that nobody else can follow and group information that leads nowhere: the
//! server can read neither. The others then found the group anew. The log goes on; an entry in it tells where the new group
//! begins, and nothing that was made before it was read is taken after it.

use bedside_protocol::{
    ConversationId, EntryId, ErrorCode, Sealed, UserId,
    conversation::{EntryKind, FoundGroup, Founded, LogEntry},
};
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{
    log, members,
    store::{digest, participants_in},
    usage,
};
use crate::{
    clock,
    config::LogLimits,
    db::{Database, signed},
    fault::Fault,
    identity::Identity,
};

/// What came of it.
pub(super) struct Founding {
    /// For who asked.
    pub(super) founded: Founded,
    /// Who is to be told; nobody when this very request was served before.
    pub(super) news_for: Option<Vec<UserId>>,
    /// The entry that tells of a founding anew.
    pub(super) entry: Option<LogEntry>,
}

/// Founds the group, with the asking device as its only member.
pub(super) async fn found(
    db: &Database,
    who: &Identity,
    id: ConversationId,
    group: FoundGroup,
    limits: LogLimits,
) -> Result<Founding, Fault> {
    let founded_with = digest(&group.group_info.0);
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    let participants = participants_in(&mut tx, id).await?;
    if !participants.contains(&who.user) {
        return Err(ErrorCode::NotFound.into());
    }
    let row = sqlx::query(
        "SELECT founded_with, group_begins, epoch, next_position,
            MAX(group_info_position, first_position) AS group_info_position
         FROM conversations WHERE id = ?1",
    )
    .bind(id.0)
    .fetch_one(&mut *tx)
    .await?;
    let entry = match row.try_get::<Option<Vec<u8>>, _>("founded_with")? {
        Some(before) if before == founded_with => {
            let founded = Founded { position: row.try_get("group_begins")? };
            return Ok(Founding { founded, news_for: None, entry: None });
        }
        Some(_) if group.replaces == Some(row.try_get::<u64, _>("group_info_position")?) => {
            Some(marker(id, who, &row)?)
        }
        Some(_) => return Err(ErrorCode::GroupExists.into()),
        None => None,
    };
    usage::check(&mut tx, who.user, id, group.group_info.0.len(), limits).await?;
    if let Some(entry) = &entry {
        log::insert(&mut tx, entry, &founded_with).await?;
        sqlx::query("DELETE FROM welcomes WHERE conversation_id = ?1").bind(id.0).execute(&mut *tx).await?;
        members::clear(&mut tx, id).await?;
    }
    let founded = Founded { position: entry.as_ref().map_or(0, |entry| entry.position + 1) };
    begin(&mut tx, who, id, &group.group_info, &founded_with, founded).await?;
    members::add(&mut tx, id, who.device).await?;
    tx.commit().await?;
    Ok(Founding { founded, news_for: Some(participants), entry })
}

/// The entry that tells where a group was founded anew.
fn marker(id: ConversationId, who: &Identity, row: &SqliteRow) -> Result<LogEntry, Fault> {
    Ok(LogEntry {
        conversation_id: id,
        position: row.try_get("next_position")?,
        id: EntryId::random(),
        epoch: row.try_get("epoch")?,
        kind: EntryKind::Founded,
        from_user: who.user,
        from_device: who.device,
        call_id: None,
        at: clock::now(),
        body: Some(Sealed(Vec::new())),
    })
}

async fn begin(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Identity,
    id: ConversationId,
    group_info: &Sealed,
    founded_with: &[u8],
    founded: Founded,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE conversations SET founded_at = ?2, founded_with = ?3, epoch = 0, group_begins = ?4,
            group_info = ?5, group_info_by = ?6, group_info_position = ?4
         WHERE id = ?1",
    )
    .bind(id.0)
    .bind(clock::now().0)
    .bind(founded_with)
    .bind(signed(founded.position))
    .bind(&group_info.0)
    .bind(who.user.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
