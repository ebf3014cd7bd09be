//! Notices what another process changed in the database: the command line adds people and relations and ends
//! sign-ins while the server runs.
//!
//! Contacts are told to fetch their list anew; sockets whose sign-in was ended are closed.

use std::time::Duration;

use bedside_protocol::{SessionId, Timestamp, UserId, socket::Event};
use sqlx::Row;
use tokio_util::sync::CancellationToken;

use crate::{clock, db::Database, directory::Directory, fault::Fault, hub::Hub};

/// How often the database is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// Rows are looked for this long after the time they carry, ms: they carry the time before their commit.
const LAG_MS: i64 = 1000;
/// Ended sign-ins are looked for this far back, ms. Ending one twice does nothing.
const REVOKED_WITHIN_MS: i64 = 120_000;

/// Looks until `stop`.
pub(crate) async fn until(stop: CancellationToken, db: Database, directory: Directory, hub: Hub) {
    let mut ticks = tokio::time::interval(EVERY);
    let mut looked_until = Timestamp(clock::now().0 - LAG_MS);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let until = Timestamp(clock::now().0 - LAG_MS);
        match look(&db, &directory, &hub, looked_until, until).await {
            Ok(()) => looked_until = until,
            Err(fault) => fault.log(),
        }
    }
}

async fn look(
    db: &Database,
    directory: &Directory,
    hub: &Hub,
    after: Timestamp,
    until: Timestamp,
) -> Result<(), Fault> {
    let revoked = sqlx::query("SELECT id FROM sign_ins WHERE revoked_at > ?1")
        .bind(until.0 - REVOKED_WITHIN_MS)
        .fetch_all(&db.read)
        .await?;
    for row in revoked {
        hub.end_sign_in(SessionId(row.try_get(0)?));
    }
    let related = sqlx::query("SELECT low, high FROM contacts WHERE created_at > ?1 AND created_at <= ?2")
        .bind(after.0)
        .bind(until.0)
        .fetch_all(&db.read)
        .await?;
    for row in related {
        for column in ["low", "high"] {
            hub.send_to_user(UserId(row.try_get(column)?), &Event::ContactsChanged);
        }
    }
    let colleagues =
        sqlx::query("SELECT id FROM users WHERE role = 'clinician' AND created_at > ?1 AND created_at <= ?2")
            .bind(after.0)
            .bind(until.0)
            .fetch_all(&db.read)
            .await?;
    for row in colleagues {
        for colleague in directory.contact_ids(UserId(row.try_get(0)?)).await? {
            hub.send_to_user(colleague, &Event::ContactsChanged);
        }
    }
    Ok(())
}
