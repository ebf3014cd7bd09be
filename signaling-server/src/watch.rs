//! Notices what another process changed in the database: the command line adds people and relations, takes them away and
//! ends sign-ins while the server runs.
//!
//! Whose list of contacts changed is told to fetch it anew; sockets whose sign-in was ended are closed.

use std::time::Duration;

use bedside_protocol::{SessionId, Timestamp, UserId, socket::Event};
use sqlx::Row;

use crate::{clock, db::Database, fault::Fault, hub::Hub};

/// How often the database is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// Rows are looked for this long after the time they carry, ms: they carry the time before their commit.
const LAG_MS: i64 = 1000;
/// Ended sign-ins are looked for this far back, ms. Ending one twice does nothing.
const REVOKED_WITHIN_MS: i64 = 120_000;

/// Looks again and again.
pub(crate) async fn run(db: Database, hub: Hub) {
    let mut ticks = tokio::time::interval(EVERY);
    let mut looked_until = Timestamp(clock::now().0 - LAG_MS);
    loop {
        ticks.tick().await;
        let until = Timestamp(clock::now().0 - LAG_MS);
        match look(&db, &hub, looked_until, until).await {
            Ok(()) => looked_until = until,
            Err(fault) => fault.log(),
        }
    }
}

async fn look(db: &Database, hub: &Hub, after: Timestamp, until: Timestamp) -> Result<(), Fault> {
    let revoked = sqlx::query("SELECT id FROM sign_ins WHERE revoked_at > ?1")
        .bind(until.0 - REVOKED_WITHIN_MS)
        .fetch_all(&db.read)
        .await?;
    for row in revoked {
        hub.end_sign_in(SessionId(row.try_get(0)?));
    }
    let others =
        sqlx::query("SELECT id FROM users WHERE contacts_changed_at > ?1 AND contacts_changed_at <= ?2")
            .bind(after.0)
            .bind(until.0)
            .fetch_all(&db.read)
            .await?;
    for row in others {
        hub.send_to_user(UserId(row.try_get(0)?), &Event::ContactsChanged);
    }
    Ok(())
}
