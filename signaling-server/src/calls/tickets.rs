//! What a device needs to take part in a call: ICE servers, and a room token that lets it in.

use std::time::Duration;

use bedside_protocol::{CallId, ErrorCode, Problem, Secret, call::CallRecord, rest::CallTicket};

use crate::{auth::token, clock, db::Database, fault::Fault, ice::IceServers, identity::Identity};

/// Issues tickets.
pub(super) struct Tickets {
    db: Database,
    ice: IceServers,
    /// As long as the longest call is live; a call that is over takes its tokens with it.
    lifetime: Duration,
}

impl Tickets {
    pub(super) const fn new(db: Database, ice: IceServers, lifetime: Duration) -> Self {
        Self { db, ice, lifetime }
    }

    /// A ticket for the asker's device. A device has one room token per call: an earlier one ends.
    pub(super) async fn issue(&self, who: &Identity, call: CallRecord) -> Result<CallTicket, Fault> {
        let room_token = token::generate();
        if !call.phase.is_final() {
            let lifetime_ms = u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX);
            let mut tx = self.db.write.begin().await?;
            sqlx::query("DELETE FROM room_tokens WHERE call_id = ?1 AND device_id = ?2")
                .bind(call.call_id.0)
                .bind(who.device.0)
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "INSERT INTO room_tokens (hash, call_id, user_id, device_id, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .bind(token::digest(room_token.expose()))
            .bind(call.call_id.0)
            .bind(who.user.0)
            .bind(who.device.0)
            .bind(clock::now().plus_millis(lifetime_ms).0)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
        }
        Ok(CallTicket {
            call_id: call.call_id,
            room_id: call.room_id,
            room_token,
            ice_servers: self.ice.for_user(who.user),
            call,
        })
    }

    /// Forgets room tokens that have run out: those of a call whose end was never stored.
    pub(super) async fn sweep(&self) -> Result<(), Fault> {
        sqlx::query("DELETE FROM room_tokens WHERE expires_at <= ?1")
            .bind(clock::now().0)
            .execute(&self.db.write)
            .await?;
        Ok(())
    }

    /// Lets the asker's device into a call's room.
    ///
    /// # Errors
    /// `forbidden` for a token that is not this device's for this call, or has run out.
    pub(super) async fn admit(
        &self,
        who: &Identity,
        call: CallId,
        room_token: Option<&Secret>,
    ) -> Result<(), Fault> {
        let hash = room_token.map(|token| token::digest(token.expose()));
        let good = sqlx::query(
            "SELECT 1 FROM room_tokens
             WHERE hash = ?1 AND call_id = ?2 AND user_id = ?3 AND device_id = ?4 AND expires_at > ?5",
        )
        .bind(hash)
        .bind(call.0)
        .bind(who.user.0)
        .bind(who.device.0)
        .bind(clock::now().0)
        .fetch_optional(&self.db.read)
        .await?;
        match good {
            Some(_) => Ok(()),
            None => Err(Problem::new(ErrorCode::Forbidden)
                .with_detail("The room token in room_token is not this device's for this call.")
                .into()),
        }
    }
}
