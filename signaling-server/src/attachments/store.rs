//! Attachments and their parts in the database.

use bedside_protocol::{
    AttachmentId, CallId, ConversationId, ErrorCode, Problem, Timestamp, UserId,
    attachment::{Attachment, AttachmentAccess, UploadPart},
};
use sqlx::{Row as _, Sqlite, Transaction, sqlite::SqliteRow};

use super::base16;
use crate::{
    clock,
    config::AttachmentLimits,
    db::{Database, signed},
    fault::Fault,
};

const COLUMNS: &str = "id, owner_id, total_bytes, received_bytes, sha256, access, conversation_id, call_id,
    uploaded_at, completed_at, expires_at, gone_at";

/// An attachment and who may see it.
pub(super) struct Row {
    pub(super) attachment: Attachment,
    pub(super) owner: UserId,
    pub(super) conversation: Option<ConversationId>,
    pub(super) call: Option<CallId>,
    pub(super) gone: bool,
}

/// What an upload finds.
pub(super) enum Begun {
    /// An attachment that takes parts, or has them all.
    Open(Row),
    /// One that was deleted or has expired.
    Gone,
}

pub(super) async fn find(db: &Database, id: AttachmentId) -> Result<Option<Row>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM attachments WHERE id = ?1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.0).fetch_optional(&db.read).await?;
    row.as_ref().map(row_of).transpose()
}

/// The attachment that a part belongs to; the first part makes it, if there is room.
pub(super) async fn begin(
    db: &Database,
    owner: UserId,
    part: &UploadPart,
    limits: &AttachmentLimits,
) -> Result<Begun, Fault> {
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    if let Some(row) = find_in(&mut tx, part.id).await? {
        if row.owner != owner {
            return Err(ErrorCode::NotFound.into());
        }
        if row.gone || row.attachment.expires_at <= clock::now() {
            return Ok(Begun::Gone);
        }
        let same = row.attachment.total_bytes == part.total_bytes
            && row.attachment.access_control == part.access_control
            && row.conversation == part.conversation_id
            && row.call == part.call_id;
        if !same {
            return Err(Problem::new(ErrorCode::IdempotencyConflict)
                .with_detail("This attachment was begun with another length or for somebody else.")
                .into());
        }
        return Ok(Begun::Open(row));
    }
    if part.offset != 0 {
        return Err(Problem::new(ErrorCode::WrongOffset).with_detail("The next part begins at 0.").into());
    }
    check_room(&mut tx, owner, part.total_bytes, limits).await?;
    let now = clock::now();
    let latest = now.plus_millis(u64::try_from(limits.retention.as_millis()).unwrap_or(u64::MAX));
    sqlx::query(
        "INSERT INTO attachments (id, owner_id, total_bytes, access, conversation_id, call_id, message_id,
            uploaded_at, progressed_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
    )
    .bind(part.id.0)
    .bind(owner.0)
    .bind(signed(part.total_bytes))
    .bind(access_name(part.access_control))
    .bind(part.conversation_id.map(|id| id.0))
    .bind(part.call_id.map(|id| id.0))
    .bind(part.message_id.map(|id| id.0))
    .bind(now.0)
    .bind(part.expires_at.unwrap_or(latest).min(latest).0)
    .execute(&mut *tx)
    .await?;
    let row = find_in(&mut tx, part.id).await?.ok_or(Fault::Internal("an attachment was not kept"))?;
    tx.commit().await?;
    Ok(Begun::Open(row))
}

/// Files that are still coming count with their whole length: who may begin may also finish.
async fn check_room(
    tx: &mut Transaction<'_, Sqlite>,
    owner: UserId,
    bytes: u64,
    limits: &AttachmentLimits,
) -> Result<(), Fault> {
    let row = sqlx::query(
        "SELECT COALESCE(SUM(total_bytes), 0) AS everybody,
            COALESCE(SUM(CASE WHEN owner_id = ?1 THEN total_bytes END), 0) AS own
         FROM attachments WHERE gone_at IS NULL",
    )
    .bind(owner.0)
    .fetch_one(&mut **tx)
    .await?;
    let with = |column| Ok::<_, Fault>(row.try_get::<u64, _>(column)?.saturating_add(bytes));
    if with("own")? > limits.quota_bytes {
        return Err(Problem::new(ErrorCode::StorageFull)
            .with_detail(
                "Your share of the clinic's storage is used up: delete files that are no longer needed.",
            )
            .into());
    }
    if with("everybody")? > limits.storage_bytes {
        return Err(ErrorCode::StorageFull.into());
    }
    Ok(())
}

/// A part is in the store; with a digest it was the last one.
pub(super) async fn keep_part(
    db: &Database,
    id: AttachmentId,
    number: u64,
    bytes: u64,
    digest: Option<Vec<u8>>,
) -> Result<Attachment, Fault> {
    let now = clock::now();
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO attachment_parts (attachment_id, number, bytes) VALUES (?1, ?2, ?3)")
        .bind(id.0)
        .bind(signed(number))
        .bind(signed(bytes))
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "UPDATE attachments SET received_bytes = received_bytes + ?2, progressed_at = ?3, sha256 = ?4,
            completed_at = CASE WHEN ?4 IS NULL THEN NULL ELSE ?3 END
         WHERE id = ?1",
    )
    .bind(id.0)
    .bind(signed(bytes))
    .bind(now.0)
    .bind(digest)
    .execute(&mut *tx)
    .await?;
    let row = find_in(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    if row.gone {
        return Err(super::expired());
    }
    tx.commit().await?;
    Ok(row.attachment)
}

/// Nobody can fetch it any more.
pub(super) async fn mark_gone(db: &Database, id: AttachmentId) -> Result<(), Fault> {
    sqlx::query("UPDATE attachments SET gone_at = COALESCE(gone_at, ?2) WHERE id = ?1")
        .bind(id.0)
        .bind(clock::now().0)
        .execute(&db.write)
        .await?;
    Ok(())
}

/// The bytes of it are deleted.
pub(super) async fn forget_parts(db: &Database, id: AttachmentId) -> Result<(), Fault> {
    sqlx::query("DELETE FROM attachment_parts WHERE attachment_id = ?1")
        .bind(id.0)
        .execute(&db.write)
        .await?;
    Ok(())
}

/// As if no part had come.
pub(super) async fn reset(db: &Database, id: AttachmentId) -> Result<(), Fault> {
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    for sql in [
        "DELETE FROM attachment_parts WHERE attachment_id = ?1",
        "UPDATE attachments SET received_bytes = 0 WHERE id = ?1",
    ] {
        sqlx::query(sql).bind(id.0).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// As if it had never been begun.
pub(super) async fn forget(db: &Database, id: AttachmentId) -> Result<(), Fault> {
    sqlx::query("DELETE FROM attachments WHERE id = ?1").bind(id.0).execute(&db.write).await?;
    Ok(())
}

/// What is to be deleted: expired, given up since `abandoned`, or not deleted completely.
pub(super) async fn due(
    db: &Database,
    now: Timestamp,
    abandoned: Timestamp,
) -> Result<Vec<AttachmentId>, Fault> {
    let rows = sqlx::query(
        "SELECT id FROM attachments WHERE gone_at IS NULL AND expires_at <= ?1
         UNION SELECT id FROM attachments WHERE gone_at IS NULL AND completed_at IS NULL AND progressed_at <= ?2
         UNION SELECT p.attachment_id FROM attachment_parts p JOIN attachments a ON a.id = p.attachment_id
               WHERE a.gone_at IS NOT NULL",
    )
    .bind(now.0)
    .bind(abandoned.0)
    .fetch_all(&db.read)
    .await?;
    rows.iter().map(|row| Ok(AttachmentId(row.try_get(0)?))).collect()
}

async fn find_in(tx: &mut Transaction<'_, Sqlite>, id: AttachmentId) -> Result<Option<Row>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM attachments WHERE id = ?1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.0).fetch_optional(&mut **tx).await?;
    row.as_ref().map(row_of).transpose()
}

fn row_of(row: &SqliteRow) -> Result<Row, Fault> {
    Ok(Row {
        attachment: Attachment {
            id: AttachmentId(row.try_get("id")?),
            total_bytes: row.try_get("total_bytes")?,
            received_bytes: row.try_get("received_bytes")?,
            complete: row.try_get::<Option<i64>, _>("completed_at")?.is_some(),
            sha256: row.try_get::<Option<Vec<u8>>, _>("sha256")?.map(|digest| base16(&digest)),
            access_control: match row.try_get("access")? {
                "private" => AttachmentAccess::Private,
                "shared_call" => AttachmentAccess::SharedCall,
                "shared_conversation" => AttachmentAccess::SharedConversation,
                _ => return Err(Fault::Internal("who may see an attachment in the database is unknown")),
            },
            uploaded_at: Timestamp(row.try_get("uploaded_at")?),
            expires_at: Timestamp(row.try_get("expires_at")?),
        },
        owner: UserId(row.try_get("owner_id")?),
        conversation: row.try_get::<Option<uuid::Uuid>, _>("conversation_id")?.map(ConversationId),
        call: row.try_get::<Option<uuid::Uuid>, _>("call_id")?.map(CallId),
        gone: row.try_get::<Option<i64>, _>("gone_at")?.is_some(),
    })
}

const fn access_name(access: AttachmentAccess) -> &'static str {
    match access {
        AttachmentAccess::Private => "private",
        AttachmentAccess::SharedCall => "shared_call",
        AttachmentAccess::SharedConversation => "shared_conversation",
    }
}
