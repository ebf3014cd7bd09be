//! The secret that the server makes up for TURN where none is configured. It outlives the process: devices in a call
//! come back after a restart with the credentials that they were given before.

use bedside_protocol::Secret;
use sqlx::Row;

use crate::{auth::token, db::Database, fault::Fault};

const NAME: &str = "turn";

/// The secret kept in `db`; the first time, a new one.
///
/// # Errors
/// The database failed.
pub(crate) async fn kept(db: &Database) -> Result<Secret, Fault> {
    let mut tx = db.write.begin().await?;
    sqlx::query("INSERT INTO own_secrets (name, secret) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .bind(NAME)
        .bind(token::generate().expose())
        .execute(&mut *tx)
        .await?;
    let row =
        sqlx::query("SELECT secret FROM own_secrets WHERE name = ?1").bind(NAME).fetch_one(&mut *tx).await?;
    let secret = Secret::new(row.try_get("secret")?);
    tx.commit().await?;
    Ok(secret)
}
