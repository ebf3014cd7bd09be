//! Everybody's own devices: listed, named and revoked by their owner.
//!
//! A revoked device is gone for good: its sign-ins end, its key packages and welcomes are deleted, and its id is never
//! taken again. Who is in a group is decided by the group's members; they take it out as soon as they hear of it.

use bedside_protocol::{
    DeviceId, ErrorCode, Pii, Problem, SessionId, Timestamp, UserId, conversation::OwnDevice, socket::Event,
};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    clock,
    conversations::forget_unneeded_welcomes,
    db::{Database, signed},
    directory::parse_device_type,
    fault::Fault,
    hub::Hub,
    identity::Identity,
};

/// The longest name that an owner gives a device, in characters.
const MAX_NAME_CHARS: usize = 60;

/// Devices `d` of user `?1` at the time `?2`.
const SELECT: &str = "SELECT d.id, d.name, d.device_type, d.created_at,
        (SELECT MAX(s.last_used_at) FROM sign_ins s
         WHERE s.device_id = d.id AND s.revoked_at IS NULL AND s.expires_at > ?2) AS last_used_at
    FROM devices d WHERE d.user_id = ?1 AND d.revoked_at IS NULL";

/// Lists, names and revokes devices. Cheap to clone.
#[derive(Clone)]
pub struct Devices {
    db: Database,
    hub: Hub,
}

impl Devices {
    /// Devices in `db`.
    #[must_use]
    pub const fn new(db: Database, hub: Hub) -> Self {
        Self { db, hub }
    }

    /// The asker's devices, the newest first, and how many there are.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list(
        &self,
        who: &Identity,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<OwnDevice>, u64), Fault> {
        let mut tx = self.db.read.begin().await?;
        let total: u64 =
            sqlx::query("SELECT COUNT(*) FROM devices WHERE user_id = ?1 AND revoked_at IS NULL")
                .bind(who.user.0)
                .fetch_one(&mut *tx)
                .await?
                .try_get(0)?;
        let sql = format!("{SELECT} ORDER BY d.created_at DESC, d.id LIMIT ?3 OFFSET ?4");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(who.user.0)
            .bind(clock::now().0)
            .bind(limit)
            .bind(signed(offset))
            .fetch_all(&mut *tx)
            .await?;
        let devices = rows.iter().map(|row| device_of(row, who)).collect::<Result<_, _>>()?;
        Ok((devices, total))
    }

    /// Gives one of the asker's devices a name, which signing in no longer changes.
    ///
    /// # Errors
    /// `invalid_value` for a name that is empty or too long, `not_found` for somebody else's or a revoked device.
    pub async fn rename(
        &self,
        who: &Identity,
        device: DeviceId,
        name: &Pii<String>,
    ) -> Result<OwnDevice, Fault> {
        let name = name.reveal().trim();
        let acceptable = (1..=MAX_NAME_CHARS).contains(&name.chars().count());
        if !acceptable || name.chars().any(char::is_control) {
            return Err(Problem::new(ErrorCode::InvalidValue)
                .with_detail(format!("A name has 1 to {MAX_NAME_CHARS} characters."))
                .into());
        }
        let renamed = sqlx::query(
            "UPDATE devices SET name = ?3, renamed_at = ?4 WHERE id = ?1 AND user_id = ?2 AND revoked_at IS NULL",
        )
        .bind(device.0)
        .bind(who.user.0)
        .bind(name)
        .bind(clock::now().0)
        .execute(&self.db.write)
        .await?;
        if renamed.rows_affected() == 0 {
            return Err(ErrorCode::NotFound.into());
        }
        self.tell_others(who.user, who.device);
        let sql = format!("{SELECT} AND d.id = ?3");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(who.user.0)
            .bind(clock::now().0)
            .bind(device.0)
            .fetch_optional(&self.db.read)
            .await?
            .ok_or(ErrorCode::NotFound)?;
        device_of(&row, who)
    }

    /// Revokes one of the asker's devices, which may be the asking one.
    ///
    /// # Errors
    /// `not_found` for somebody else's or a revoked device, or the database failed.
    pub async fn revoke(&self, who: &Identity, device: DeviceId) -> Result<(), Fault> {
        let now = clock::now();
        let mut tx = self.db.write.begin_with("BEGIN IMMEDIATE").await?;
        let revoked = sqlx::query(
            "UPDATE devices SET revoked_at = ?3 WHERE id = ?1 AND user_id = ?2 AND revoked_at IS NULL",
        )
        .bind(device.0)
        .bind(who.user.0)
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
        if revoked.rows_affected() == 0 {
            return Err(ErrorCode::NotFound.into());
        }
        let sign_ins = sqlx::query(
            "UPDATE sign_ins SET revoked_at = ?2, revoked_why = 'revoked'
             WHERE device_id = ?1 AND revoked_at IS NULL RETURNING id",
        )
        .bind(device.0)
        .bind(now.0)
        .fetch_all(&mut *tx)
        .await?;
        for sql in [
            "DELETE FROM access_tokens WHERE sign_in_id IN (SELECT id FROM sign_ins WHERE device_id = ?1)",
            "DELETE FROM key_packages WHERE device_id = ?1",
            "DELETE FROM welcome_devices WHERE device_id = ?1",
            "DELETE FROM conversation_acks WHERE device_id = ?1",
        ] {
            sqlx::query(sql).bind(device.0).execute(&mut *tx).await?;
        }
        forget_unneeded_welcomes(&mut tx).await?;
        tx.commit().await?;
        tracing::info!(user = %who.user, %device, "device revoked");
        for row in sign_ins {
            self.hub.end_sign_in(SessionId(row.try_get(0)?));
        }
        self.tell_others(who.user, who.device);
        Ok(())
    }

    fn tell_others(&self, user: UserId, asking: DeviceId) {
        self.hub.send_to_others(user, asking, &Event::DevicesChanged);
    }
}

fn device_of(row: &SqliteRow, who: &Identity) -> Result<OwnDevice, Fault> {
    let id = DeviceId(row.try_get("id")?);
    Ok(OwnDevice {
        id,
        name: Pii::new(row.try_get("name")?),
        device_type: parse_device_type(row.try_get("device_type")?),
        created_at: Timestamp(row.try_get("created_at")?),
        last_used_at: row.try_get::<Option<i64>, _>("last_used_at")?.map(Timestamp),
        current: id == who.device,
    })
}
