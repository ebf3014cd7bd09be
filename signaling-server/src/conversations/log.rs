//! The log of a conversation in the database: entries get positions without gaps, at most one commit ends an epoch,
//! and nothing is taken twice.

use bedside_protocol::{
    CallId, ConversationId, DeviceId, EntryId, ErrorCode, Problem, Sealed, Timestamp, UserId,
    conversation::{Acknowledge, Appended, EntryKind, LogEntry, WaitingWelcome},
};
use futures_util::TryStreamExt;
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{invalid, members, store::participants_in, usage, welcomes};
use crate::{
    clock,
    config::LogLimits,
    db::{Database, signed},
    fault::Fault,
    identity::Identity,
};

/// Bytes of a page after which it ends early, for logs of long entries.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// An entry that is to be put into a log.
pub(super) struct NewEntry {
    pub(super) conversation: ConversationId,
    pub(super) id: EntryId,
    pub(super) epoch: u64,
    /// How far its device has read.
    pub(super) next_position: u64,
    pub(super) kind: EntryKind,
    pub(super) call: Option<CallId>,
    pub(super) digest: Vec<u8>,
    pub(super) body: Sealed,
    /// What comes with a commit, and with nothing else.
    pub(super) change: Option<Change>,
}

/// What comes with a commit.
pub(super) struct Change {
    /// Made by a device that comes in by it.
    pub(super) from_outside: bool,
    pub(super) group_info: Sealed,
    pub(super) welcome: Option<Sealed>,
    pub(super) welcome_for: Vec<DeviceId>,
}

/// What came of it.
pub(super) enum Placed {
    /// It is in the log now.
    New(Box<NewlyPlaced>),
    /// It was there already.
    Again(Appended),
}

/// What is to be told.
pub(super) struct NewlyPlaced {
    pub(super) entry: LogEntry,
    pub(super) participants: Vec<UserId>,
    pub(super) welcomes: Vec<(UserId, DeviceId, WaitingWelcome)>,
}

impl NewEntry {
    /// What it adds to what is kept, bytes.
    pub(super) fn bytes(&self) -> usize {
        let change = self.change.as_ref().map_or(0, |change| {
            change.group_info.0.len() + change.welcome.as_ref().map_or(0, |welcome| welcome.0.len())
        });
        self.body.0.len() + change
    }
}

/// Where a log stands.
struct Head {
    epoch: u64,
    next_position: u64,
    founded: bool,
    group_begins: u64,
}

/// Puts an entry into its log, with all that comes with it or not at all.
pub(super) async fn place(
    db: &Database,
    who: &Identity,
    new: NewEntry,
    limits: LogLimits,
) -> Result<Placed, Fault> {
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    let participants = participants_in(&mut tx, new.conversation).await?;
    if !participants.contains(&who.user) {
        return Err(ErrorCode::NotFound.into());
    }
    if let Some(appended) = placed_before(&mut tx, who.device, &new).await? {
        return Ok(Placed::Again(appended));
    }
    let head = head(&mut tx, new.conversation).await?;
    may_follow(&mut tx, who, &head, &new).await?;
    usage::check(&mut tx, who.user, new.conversation, new.bytes(), limits).await?;
    let entry = LogEntry {
        conversation_id: new.conversation,
        position: head.next_position,
        id: new.id,
        epoch: new.epoch,
        kind: new.kind,
        from_user: who.user,
        from_device: who.device,
        call_id: new.call,
        at: clock::now(),
        body: Some(new.body),
    };
    insert(&mut tx, &entry, &new.digest).await?;
    let mut waiting = Vec::new();
    if let Some(change) = new.change {
        waiting = end_epoch(&mut tx, &entry, change).await?;
    }
    tx.commit().await?;
    Ok(Placed::New(Box::new(NewlyPlaced { entry, participants, welcomes: waiting })))
}

/// Whether an entry may be the next one of its log.
async fn may_follow(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Identity,
    head: &Head,
    new: &NewEntry,
) -> Result<(), Fault> {
    if !head.founded {
        return Err(ErrorCode::NoGroup.into());
    }
    // Epochs are counted anew in a group that was founded anew.
    if head.epoch != new.epoch || new.next_position < head.group_begins {
        return Err(Problem::new(ErrorCode::StaleEpoch)
            .with_detail(format!("The log is in epoch {}; read it, then try again.", head.epoch))
            .into());
    }
    let comes_in = new.change.as_ref().is_some_and(|change| change.from_outside);
    if !comes_in && !members::contain(tx, new.conversation, who.device).await? {
        return Err(Problem::new(ErrorCode::NotAMember)
            .with_detail("This device has to be welcomed, or to come in from outside, before it writes.")
            .into());
    }
    Ok(())
}

/// What a commit changes beside the log. Gives the welcomes that are to be told of.
async fn end_epoch(
    tx: &mut Transaction<'_, Sqlite>,
    entry: &LogEntry,
    change: Change,
) -> Result<Vec<(UserId, DeviceId, WaitingWelcome)>, Fault> {
    let (conversation, after) = (entry.conversation_id, entry.position + 1);
    sqlx::query(
        "UPDATE conversations SET epoch = epoch + 1, group_info = ?2, group_info_by = ?4, group_info_position = ?3
         WHERE id = ?1",
    )
    .bind(conversation.0)
    .bind(&change.group_info.0)
    .bind(signed(after))
    .bind(entry.from_user.0)
    .execute(&mut **tx)
    .await?;
    if change.from_outside {
        members::add(tx, conversation, entry.from_device).await?;
    }
    for device in &change.welcome_for {
        members::add(tx, conversation, *device).await?;
    }
    match change.welcome {
        Some(welcome) => welcomes::keep(tx, entry, welcome, change.welcome_for).await,
        None => Ok(Vec::new()),
    }
}

/// The same entry of the same device again, or the same bytes again: where they are.
async fn placed_before(
    tx: &mut Transaction<'_, Sqlite>,
    device: DeviceId,
    new: &NewEntry,
) -> Result<Option<Appended>, Fault> {
    let row = sqlx::query(
        "SELECT conversation_id, digest, position, at FROM conversation_entries WHERE device_id = ?1 AND id = ?2",
    )
    .bind(device.0)
    .bind(new.id.0)
    .fetch_optional(&mut **tx)
    .await?;
    if let Some(row) = row {
        let same = ConversationId(row.try_get("conversation_id")?) == new.conversation
            && row.try_get::<Vec<u8>, _>("digest")? == new.digest;
        if !same {
            return Err(Problem::new(ErrorCode::IdempotencyConflict)
                .with_detail("This id was already used for another entry.")
                .into());
        }
        return appended_of(&row).map(Some);
    }
    let row = sqlx::query(
        "SELECT position, at FROM conversation_entries WHERE conversation_id = ?1 AND digest = ?2",
    )
    .bind(new.conversation.0)
    .bind(&new.digest)
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map(appended_of).transpose()
}

async fn head(tx: &mut Transaction<'_, Sqlite>, id: ConversationId) -> Result<Head, Fault> {
    let row =
        sqlx::query("SELECT epoch, next_position, founded_at, group_begins FROM conversations WHERE id = ?1")
            .bind(id.0)
            .fetch_one(&mut **tx)
            .await?;
    Ok(Head {
        epoch: row.try_get("epoch")?,
        next_position: row.try_get("next_position")?,
        founded: row.try_get::<Option<i64>, _>("founded_at")?.is_some(),
        group_begins: row.try_get("group_begins")?,
    })
}

/// Puts an entry at the end of its log.
pub(super) async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    entry: &LogEntry,
    digest: &[u8],
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO conversation_entries (conversation_id, position, id, device_id, user_id, kind, epoch, call_id,
            at, digest, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )
    .bind(entry.conversation_id.0)
    .bind(signed(entry.position))
    .bind(entry.id.0)
    .bind(entry.from_device.0)
    .bind(entry.from_user.0)
    .bind(entry.kind.as_str())
    .bind(signed(entry.epoch))
    .bind(entry.call_id.map(|call| call.0))
    .bind(entry.at.0)
    .bind(digest)
    .bind(entry.body.as_ref().map(|body| body.0.as_slice()))
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "UPDATE conversations SET next_position = next_position + 1,
            last_message_at = CASE WHEN ?2 THEN ?3 ELSE last_message_at END
         WHERE id = ?1",
    )
    .bind(entry.conversation_id.0)
    .bind(entry.kind == EntryKind::Message)
    .bind(entry.at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Entries from `from` on, oldest first, and how many there are.
pub(super) async fn page(
    db: &Database,
    user: UserId,
    conversation: ConversationId,
    from: Option<u64>,
    offset: u64,
    limit: u32,
) -> Result<(Vec<LogEntry>, u64), Fault> {
    // One look at the database: an entry must not go between reading where the log begins and reading it.
    let mut tx = db.read.begin().await?;
    let row = sqlx::query(
        "SELECT c.first_position, c.next_position FROM conversations c
         JOIN conversation_participants p ON p.conversation_id = c.id AND p.user_id = ?1 WHERE c.id = ?2",
    )
    .bind(user.0)
    .bind(conversation.0)
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(ErrorCode::NotFound)?;
    let (first, next) = (row.try_get::<u64, _>("first_position")?, row.try_get::<u64, _>("next_position")?);
    let from = from.unwrap_or(first);
    if from < first {
        return Err(Problem::new(ErrorCode::Expired)
            .with_detail(format!("The log is kept from position {first} on."))
            .into());
    }
    let begin = from.saturating_add(offset);
    let mut rows = sqlx::query(
        "SELECT position, id, epoch, kind, user_id, device_id, call_id, at, body FROM conversation_entries
         WHERE conversation_id = ?1 AND position >= ?2 ORDER BY position LIMIT ?3",
    )
    .bind(conversation.0)
    .bind(signed(begin))
    .bind(limit)
    .fetch(&mut *tx);
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let entry = entry_of(conversation, &row)?;
        bytes += entry.body.as_ref().map_or(0, |body| body.0.len());
        // Whoever reads on by `from` loses nothing; further pages have a fixed beginning and must be full.
        if offset == 0 && bytes > MAX_PAGE_BYTES && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    Ok((entries, next.saturating_sub(from)))
}

/// Whether a conversation of `user` holds, or held within the retention, a message of that id.
pub(super) async fn has_message(
    db: &Database,
    user: UserId,
    conversation: ConversationId,
    message: EntryId,
) -> Result<bool, Fault> {
    let row = sqlx::query(
        "SELECT 1 FROM conversation_entries e
         JOIN conversation_participants p ON p.conversation_id = e.conversation_id AND p.user_id = ?1
         WHERE e.conversation_id = ?2 AND e.id = ?3 AND e.kind = 'message'",
    )
    .bind(user.0)
    .bind(conversation.0)
    .bind(message.0)
    .fetch_optional(&db.read)
    .await?;
    Ok(row.is_some())
}

/// Notes how far a device has got, and lets go of what every device that was used since `alive_since` has.
pub(super) async fn acknowledge(
    db: &Database,
    who: &Identity,
    ack: Acknowledge,
    alive_since: Timestamp,
) -> Result<(), Fault> {
    let conversation = ack.conversation_id;
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    let row = sqlx::query(
        "SELECT c.first_position, c.next_position FROM conversations c
         JOIN conversation_participants p ON p.conversation_id = c.id AND p.user_id = ?1 WHERE c.id = ?2",
    )
    .bind(who.user.0)
    .bind(conversation.0)
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(ErrorCode::NotFound)?;
    if ack.next_position > row.try_get::<u64, _>("next_position")? {
        return Err(invalid("next_position is beyond the end of the log."));
    }
    sqlx::query(
        "INSERT INTO conversation_acks (conversation_id, device_id, next_position) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET next_position = MAX(next_position, excluded.next_position)",
    )
    .bind(conversation.0)
    .bind(who.device.0)
    .bind(signed(ack.next_position))
    .execute(&mut *tx)
    .await?;
    let everybody_has: Option<i64> = sqlx::query(
        "SELECT MIN(COALESCE(a.next_position, 0)) FROM conversation_participants p
         JOIN devices d ON d.user_id = p.user_id AND d.revoked_at IS NULL
         LEFT JOIN conversation_acks a ON a.conversation_id = p.conversation_id AND a.device_id = d.id
         WHERE p.conversation_id = ?1
           AND EXISTS (SELECT 1 FROM sign_ins s WHERE s.device_id = d.id AND s.last_used_at > ?2)",
    )
    .bind(conversation.0)
    .bind(alive_since.0)
    .fetch_one(&mut *tx)
    .await?
    .try_get(0)?;
    let until = everybody_has.unwrap_or(0);
    if until > row.try_get::<i64, _>("first_position")? {
        sqlx::query("UPDATE conversations SET first_position = ?2 WHERE id = ?1")
            .bind(conversation.0)
            .bind(until)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE conversation_entries SET body = NULL
             WHERE conversation_id = ?1 AND position < ?2 AND body IS NOT NULL",
        )
        .bind(conversation.0)
        .bind(until)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Lets go of entries that came before `before`, whoever still lacks them.
pub(super) async fn expire(db: &Database, before: Timestamp) -> Result<(), Fault> {
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    let logs = sqlx::query(
        "SELECT conversation_id, MAX(position) AS last FROM conversation_entries WHERE at <= ?1 GROUP BY 1",
    )
    .bind(before.0)
    .fetch_all(&mut *tx)
    .await?;
    for log in logs {
        let (conversation, last): (Vec<u8>, i64) = (log.try_get("conversation_id")?, log.try_get("last")?);
        sqlx::query("UPDATE conversations SET first_position = MAX(first_position, ?2) WHERE id = ?1")
            .bind(&conversation)
            .bind(last + 1)
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM conversation_entries WHERE conversation_id = ?1 AND position <= ?2")
            .bind(&conversation)
            .bind(last)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

fn appended_of(row: &SqliteRow) -> Result<Appended, Fault> {
    Ok(Appended { position: row.try_get("position")?, at: Timestamp(row.try_get("at")?) })
}

fn entry_of(conversation_id: ConversationId, row: &SqliteRow) -> Result<LogEntry, Fault> {
    let kind: String = row.try_get("kind")?;
    Ok(LogEntry {
        conversation_id,
        position: row.try_get("position")?,
        id: EntryId(row.try_get("id")?),
        epoch: row.try_get("epoch")?,
        kind: EntryKind::parse(&kind).ok_or(Fault::Internal("a kind in the database is unknown"))?,
        from_user: UserId(row.try_get("user_id")?),
        from_device: DeviceId(row.try_get("device_id")?),
        call_id: row.try_get::<Option<uuid::Uuid>, _>("call_id")?.map(CallId),
        at: Timestamp(row.try_get("at")?),
        body: row.try_get::<Option<Vec<u8>>, _>("body")?.map(Sealed),
    })
}
