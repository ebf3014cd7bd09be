//! How much of a person, and of a conversation, is kept: the triggers of the database count it.

use bedside_protocol::{ConversationId, ErrorCode, Problem, UserId};
use sqlx::{Row, Sqlite, Transaction};

use crate::{config::LogLimits, fault::Fault};

/// Whether there is room for `more` bytes.
///
/// # Errors
/// `storage_full`, saying whose quota is used up.
pub(super) async fn check(
    tx: &mut Transaction<'_, Sqlite>,
    user: UserId,
    conversation: ConversationId,
    more: usize,
    limits: LogLimits,
) -> Result<(), Fault> {
    let row = sqlx::query(
        "SELECT (SELECT SUM(bytes) FROM log_usage WHERE user_id = ?1),
                (SELECT SUM(bytes) FROM log_usage WHERE conversation_id = ?2)",
    )
    .bind(user.0)
    .bind(conversation.0)
    .fetch_one(&mut **tx)
    .await?;
    let room_for = |kept: Option<i64>, limit: u64| {
        u64::try_from(kept.unwrap_or(0)).unwrap_or(0).saturating_add(more as u64) <= limit
    };
    let full = if !room_for(row.try_get(0)?, limits.person_bytes) {
        "What is kept of this person's messages is as much as one person may have."
    } else if !room_for(row.try_get(1)?, limits.conversation_bytes) {
        "What is kept of this conversation is as much as one may have."
    } else {
        return Ok(());
    };
    Err(Problem::new(ErrorCode::StorageFull)
        .with_detail(format!("{full} There is room again when devices have fetched it, or it is too old."))
        .into())
}
