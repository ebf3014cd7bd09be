//! Conversations, their participants and their groups in the database.

use bedside_protocol::{
    ConversationId, ErrorCode, Sealed, Timestamp, UserId,
    conversation::{Conversation, ConversationKind, GroupInfo},
};
use sha2::{Digest, Sha256};
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use crate::{
    clock,
    db::{Database, signed},
    directory::profile_of,
    fault::Fault,
};

const COLUMNS: &str = "c.id, c.kind, c.created_at, c.founded_at, c.epoch, c.first_position, c.next_position,
    c.last_message_at";
/// The conversations in which user `?1` takes part.
const OWN: &str =
    "EXISTS (SELECT 1 FROM conversation_participants p WHERE p.conversation_id = c.id AND p.user_id = ?1)";

/// SHA-256, by which equal bytes are known.
pub(super) fn digest(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// The direct conversation of a pair if there is one, else a new conversation; and whether it is new.
pub(super) async fn create(
    db: &Database,
    creator: UserId,
    pair: Option<(UserId, UserId)>,
    participants: &[UserId],
) -> Result<(ConversationId, bool), Fault> {
    // As SQLite compares blobs: by their bytes.
    let pair = pair.map(|(a, b)| if a.0.as_bytes() < b.0.as_bytes() { (a, b) } else { (b, a) });
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    if let Some((low, high)) = pair {
        let row =
            sqlx::query("SELECT id FROM conversations WHERE kind = 'direct' AND low = ?1 AND high = ?2")
                .bind(low.0)
                .bind(high.0)
                .fetch_optional(&mut *tx)
                .await?;
        if let Some(row) = row {
            return Ok((ConversationId(row.try_get(0)?), false));
        }
    }
    let id = ConversationId::random();
    sqlx::query(
        "INSERT INTO conversations (id, kind, low, high, created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(id.0)
    .bind(if pair.is_some() { "direct" } else { "group" })
    .bind(pair.map(|(low, _)| low.0))
    .bind(pair.map(|(_, high)| high.0))
    .bind(creator.0)
    .bind(clock::now().0)
    .execute(&mut *tx)
    .await?;
    for user in participants {
        sqlx::query("INSERT INTO conversation_participants (conversation_id, user_id) VALUES (?1, ?2)")
            .bind(id.0)
            .bind(user.0)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok((id, true))
}

/// A page of the conversations in which `user` takes part, and how many there are.
pub(super) async fn list(
    db: &Database,
    user: UserId,
    offset: u64,
    limit: u32,
) -> Result<(Vec<Conversation>, u64), Fault> {
    let mut tx = db.read.begin().await?;
    let total: u64 = sqlx::query("SELECT COUNT(*) FROM conversation_participants WHERE user_id = ?1")
        .bind(user.0)
        .fetch_one(&mut *tx)
        .await?
        .try_get(0)?;
    let sql = format!(
        "SELECT {COLUMNS} FROM conversations c WHERE {OWN}
         ORDER BY COALESCE(c.last_message_at, c.created_at) DESC, c.id LIMIT ?2 OFFSET ?3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(user.0)
        .bind(limit)
        .bind(signed(offset))
        .fetch_all(&mut *tx)
        .await?;
    let mut conversations = Vec::with_capacity(rows.len());
    for row in &rows {
        conversations.push(conversation_of(&mut tx, row).await?);
    }
    Ok((conversations, total))
}

/// One conversation of `user`.
pub(super) async fn find(db: &Database, user: UserId, id: ConversationId) -> Result<Conversation, Fault> {
    let mut tx = db.read.begin().await?;
    let sql = format!("SELECT {COLUMNS} FROM conversations c WHERE c.id = ?2 AND {OWN}");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(user.0)
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(ErrorCode::NotFound)?;
    conversation_of(&mut tx, &row).await
}

/// Whether `user` takes part.
pub(super) async fn takes_part(db: &Database, user: UserId, id: ConversationId) -> Result<bool, Fault> {
    let row =
        sqlx::query("SELECT 1 FROM conversation_participants WHERE conversation_id = ?1 AND user_id = ?2")
            .bind(id.0)
            .bind(user.0)
            .fetch_optional(&db.read)
            .await?;
    Ok(row.is_some())
}

/// Everybody in a conversation of `user`.
pub(super) async fn participants(
    db: &Database,
    user: UserId,
    id: ConversationId,
) -> Result<Vec<UserId>, Fault> {
    let mut tx = db.read.begin().await?;
    let participants = participants_in(&mut tx, id).await?;
    if !participants.contains(&user) {
        return Err(ErrorCode::NotFound.into());
    }
    Ok(participants)
}

pub(super) async fn participants_in(
    tx: &mut Transaction<'_, Sqlite>,
    id: ConversationId,
) -> Result<Vec<UserId>, Fault> {
    let rows = sqlx::query("SELECT user_id FROM conversation_participants WHERE conversation_id = ?1")
        .bind(id.0)
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(|row| Ok(UserId(row.try_get(0)?))).collect()
}

/// The newest group information of a conversation of `user`, and where to go on reading with it: what is no longer kept
/// was before it in the same epoch, and cannot be opened by whoever comes in with it.
pub(super) async fn group_info(db: &Database, user: UserId, id: ConversationId) -> Result<GroupInfo, Fault> {
    let sql = format!(
        "SELECT c.epoch, MAX(c.group_info_position, c.first_position) AS position, c.group_info FROM conversations c WHERE c.id = ?2 AND {OWN}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(user.0)
        .bind(id.0)
        .fetch_optional(&db.read)
        .await?
        .ok_or(ErrorCode::NotFound)?;
    let group_info: Option<Vec<u8>> = row.try_get("group_info")?;
    Ok(GroupInfo {
        epoch: row.try_get("epoch")?,
        position: row.try_get("position")?,
        group_info: Sealed(group_info.ok_or(ErrorCode::NoGroup)?),
    })
}

async fn conversation_of(tx: &mut Transaction<'_, Sqlite>, row: &SqliteRow) -> Result<Conversation, Fault> {
    let id = ConversationId(row.try_get("id")?);
    let people = sqlx::query(
        "SELECT u.id, u.name, u.role, u.specialty FROM conversation_participants p JOIN users u ON u.id = p.user_id
         WHERE p.conversation_id = ?1 ORDER BY u.name COLLATE NOCASE, u.id",
    )
    .bind(id.0)
    .fetch_all(&mut **tx)
    .await?;
    Ok(Conversation {
        id,
        kind: match row.try_get("kind")? {
            "direct" => ConversationKind::Direct,
            "group" => ConversationKind::Group,
            _ => return Err(Fault::Internal("a conversation of an unknown kind is in the database")),
        },
        participants: people.iter().map(profile_of).collect::<Result<_, _>>()?,
        created_at: Timestamp(row.try_get("created_at")?),
        founded: row.try_get::<Option<i64>, _>("founded_at")?.is_some(),
        epoch: row.try_get("epoch")?,
        first_position: row.try_get("first_position")?,
        next_position: row.try_get("next_position")?,
        last_message_at: row.try_get::<Option<i64>, _>("last_message_at")?.map(Timestamp),
    })
}
