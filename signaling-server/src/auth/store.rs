//! Sign-ins and tokens in the database.

use bedside_protocol::{
    DeviceId, ErrorCode, Role, SessionId, Timestamp, UserId, rest::SignInSession, user::DeviceInfo,
};
use sqlx::{Row, Sqlite, Transaction};

use super::{Tokens, device_info, token};
use crate::{
    clock,
    config::TokenLifetimes,
    db::{Database, signed},
    directory::{device_type_name, parse_device_type},
    fault::Fault,
    identity::Identity,
};

/// How long an ended sign-in is remembered, ms: its list entry is gone at once, its row helps an investigation.
const KEEP_ENDED_MS: i64 = 30 * 24 * 3600 * 1000;

pub(super) struct SignInStore {
    db: Database,
    lifetimes: TokenLifetimes,
}

/// What is needed to check a password.
pub(super) struct Account {
    pub(super) id: UserId,
    pub(super) password_hash: String,
}

/// A sign-in that has just begun.
pub(super) struct Begun {
    pub(super) device: DeviceId,
    /// Whether the device was never seen before.
    pub(super) is_new: bool,
    pub(super) tokens: Tokens,
    /// Earlier sign-ins of the same device, now ended.
    pub(super) replaced: Vec<SessionId>,
}

/// What came of a refresh token.
pub(super) enum Rotation {
    Done { user: UserId, device: DeviceId, tokens: Tokens },
    Expired,
    Reused { sign_in: SessionId },
}

impl SignInStore {
    pub(super) const fn new(db: Database, lifetimes: TokenLifetimes) -> Self {
        Self { db, lifetimes }
    }

    pub(super) async fn account(&self, login: &str) -> Result<Option<Account>, Fault> {
        let row = sqlx::query("SELECT id, password_hash FROM users WHERE login = ?1 AND disabled_at IS NULL")
            .bind(login)
            .fetch_optional(&self.db.read)
            .await?;
        row.map(|row| {
            Ok(Account { id: UserId(row.try_get("id")?), password_hash: row.try_get("password_hash")? })
        })
        .transpose()
    }

    /// Begins a sign-in of an account whose password was found right.
    ///
    /// # Errors
    /// `wrong_credentials` when it has another password by now, or was disabled: checking takes a while.
    pub(super) async fn begin(&self, account: &Account, device: &DeviceInfo) -> Result<Begun, Fault> {
        let (user, now) = (account.id, clock::now());
        let mut tx = self.db.write.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("SELECT 1 FROM users WHERE id = ?1 AND disabled_at IS NULL AND password_hash = ?2")
            .bind(user.0)
            .bind(&account.password_hash)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(ErrorCode::WrongCredentials)?;
        let (device_id, is_new) = upsert_device(&mut tx, user, device, now).await?;
        let replaced = sqlx::query(
            "UPDATE sign_ins SET revoked_at = ?2, revoked_why = 'replaced'
             WHERE device_id = ?1 AND revoked_at IS NULL RETURNING id",
        )
        .bind(device_id.0)
        .bind(now.0)
        .fetch_all(&mut *tx)
        .await?
        .iter()
        .map(|row| Ok(SessionId(row.try_get(0)?)))
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
        for ended in &replaced {
            forget_access(&mut tx, *ended).await?;
        }
        let sign_in = SessionId::random();
        sqlx::query(
            "INSERT INTO sign_ins (id, user_id, device_id, signed_in_at, last_used_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
        )
        .bind(sign_in.0)
        .bind(user.0)
        .bind(device_id.0)
        .bind(now.0)
        .bind(self.refresh_until(now).0)
        .execute(&mut *tx)
        .await?;
        let tokens = self.issue(&mut tx, sign_in, None, now).await?;
        tx.commit().await?;
        Ok(Begun { device: device_id, is_new, tokens, replaced })
    }

    /// Exchanges a refresh token for the next pair. Once that pair is in use the token counts as copied when it comes
    /// again; before, the answer may have been lost on the way, and the exchange can be repeated (the reuse that
    /// RFC 9700, section 4.14.2, asks to notice is that of two holders).
    pub(super) async fn rotate(&self, refresh_token: &str) -> Result<Rotation, Fault> {
        let now = clock::now();
        let hash = token::digest(refresh_token);
        let mut tx = self.db.write.begin_with("BEGIN IMMEDIATE").await?;
        let row = sqlx::query(
            "SELECT t.used_at IS NOT NULL AS used, t.confirmed_at IS NOT NULL AS confirmed, t.exchanged_for,
                    s.id, s.user_id, s.device_id, s.expires_at, s.revoked_at
             FROM refresh_tokens t JOIN sign_ins s ON s.id = t.sign_in_id WHERE t.hash = ?1",
        )
        .bind(&hash)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(Rotation::Expired) };
        let sign_in = SessionId(row.try_get("id")?);
        let revoked = row.try_get::<Option<i64>, _>("revoked_at")?.is_some();
        if revoked || row.try_get::<i64, _>("expires_at")? <= now.0 {
            return Ok(Rotation::Expired);
        }
        if row.try_get("used")? {
            if row.try_get("confirmed")? {
                mark_revoked(&mut tx, sign_in, "reused", now).await?;
                tx.commit().await?;
                return Ok(Rotation::Reused { sign_in });
            }
            withdraw(&mut tx, &hash, now).await?;
        }
        if let Some(former) = row.try_get::<Option<Vec<u8>>, _>("exchanged_for")? {
            confirm(&mut *tx, &former, now).await?;
        }
        sqlx::query("UPDATE refresh_tokens SET used_at = ?2 WHERE hash = ?1")
            .bind(&hash)
            .bind(now.0)
            .execute(&mut *tx)
            .await?;
        sqlx::query("UPDATE sign_ins SET last_used_at = ?2, expires_at = ?3 WHERE id = ?1")
            .bind(sign_in.0)
            .bind(now.0)
            .bind(self.refresh_until(now).0)
            .execute(&mut *tx)
            .await?;
        let tokens = self.issue(&mut tx, sign_in, Some(&hash), now).await?;
        tx.commit().await?;
        let (user, device) = (UserId(row.try_get("user_id")?), DeviceId(row.try_get("device_id")?));
        Ok(Rotation::Done { user, device, tokens })
    }

    pub(super) async fn identity(&self, access_token: &str) -> Result<Option<Identity>, Fault> {
        let now = clock::now();
        let row = sqlx::query(
            "SELECT s.id AS sign_in, s.user_id, s.device_id, d.device_type, u.role, f.hash AS unconfirmed
             FROM access_tokens a
             JOIN sign_ins s ON s.id = a.sign_in_id AND s.revoked_at IS NULL
             JOIN devices d ON d.id = s.device_id AND d.revoked_at IS NULL
             JOIN users u ON u.id = s.user_id AND u.disabled_at IS NULL
             LEFT JOIN refresh_tokens f ON f.hash = a.exchanged_for AND f.confirmed_at IS NULL
             WHERE a.hash = ?1 AND a.expires_at > ?2",
        )
        .bind(token::digest(access_token))
        .bind(now.0)
        .fetch_optional(&self.db.read)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if let Some(former) = row.try_get::<Option<Vec<u8>>, _>("unconfirmed")? {
            confirm(&self.db.write, &former, now).await?;
        }
        let role: String = row.try_get("role")?;
        Ok(Some(Identity {
            user: UserId(row.try_get("user_id")?),
            device: DeviceId(row.try_get("device_id")?),
            device_type: parse_device_type(row.try_get("device_type")?),
            sign_in: SessionId(row.try_get("sign_in")?),
            role: Role::parse(&role).ok_or(Fault::Internal("a role in the database is unknown"))?,
        }))
    }

    pub(super) async fn sessions(
        &self,
        who: &Identity,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<SignInSession>, u64), Fault> {
        const LIVE: &str = "s.user_id = ?1 AND s.revoked_at IS NULL AND s.expires_at > ?2";
        let now = clock::now();
        let count = format!("SELECT COUNT(*) FROM sign_ins s WHERE {LIVE}");
        let total: u64 = sqlx::query(sqlx::AssertSqlSafe(count))
            .bind(who.user.0)
            .bind(now.0)
            .fetch_one(&self.db.read)
            .await?
            .try_get(0)?;
        let sql = format!(
            "SELECT s.id, s.signed_in_at, s.last_used_at, d.id AS device_id, d.name, d.device_type
             FROM sign_ins s JOIN devices d ON d.id = s.device_id
             WHERE {LIVE} ORDER BY s.last_used_at DESC, s.id LIMIT ?3 OFFSET ?4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(who.user.0)
            .bind(now.0)
            .bind(limit)
            .bind(signed(offset))
            .fetch_all(&self.db.read)
            .await?;
        let sessions = rows
            .iter()
            .map(|row| {
                let id = SessionId(row.try_get("id")?);
                Ok(SignInSession {
                    id,
                    device: device_info(
                        DeviceId(row.try_get("device_id")?),
                        row.try_get("name")?,
                        row.try_get("device_type")?,
                    ),
                    signed_in_at: Timestamp(row.try_get("signed_in_at")?),
                    last_used_at: Timestamp(row.try_get("last_used_at")?),
                    current: id == who.sign_in,
                })
            })
            .collect::<Result<_, sqlx::Error>>()?;
        Ok((sessions, total))
    }

    /// Ends a sign-in of `user`; false when there is no such live one.
    pub(super) async fn revoke(&self, user: UserId, sign_in: SessionId, why: &str) -> Result<bool, Fault> {
        let mut tx = self.db.write.begin_with("BEGIN IMMEDIATE").await?;
        let live =
            sqlx::query("SELECT 1 FROM sign_ins WHERE id = ?1 AND user_id = ?2 AND revoked_at IS NULL")
                .bind(sign_in.0)
                .bind(user.0)
                .fetch_optional(&mut *tx)
                .await?
                .is_some();
        if live {
            mark_revoked(&mut tx, sign_in, why, clock::now()).await?;
            tx.commit().await?;
        }
        Ok(live)
    }

    pub(super) async fn sweep(&self, now: Timestamp) -> Result<(), Fault> {
        sqlx::query("DELETE FROM access_tokens WHERE expires_at <= ?1")
            .bind(now.0)
            .execute(&self.db.write)
            .await?;
        // Older than any copy of it could be used: its second use would be refused as expired.
        sqlx::query("DELETE FROM refresh_tokens WHERE used_at IS NOT NULL AND issued_at <= ?1")
            .bind((now.0 - KEEP_ENDED_MS).saturating_sub_unsigned(millis(self.lifetimes.refresh)))
            .execute(&self.db.write)
            .await?;
        sqlx::query("DELETE FROM sign_ins WHERE COALESCE(revoked_at, expires_at) <= ?1")
            .bind(now.0 - KEEP_ENDED_MS)
            .execute(&self.db.write)
            .await?;
        Ok(())
    }

    /// A new pair, in exchange for the refresh token with the hash `exchanged_for`.
    async fn issue(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        sign_in: SessionId,
        exchanged_for: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Tokens, Fault> {
        let (access, refresh) = (token::generate(), token::generate());
        let access_expires_at = now.plus_millis(millis(self.lifetimes.access));
        sqlx::query(
            "INSERT INTO access_tokens (hash, sign_in_id, exchanged_for, expires_at) VALUES (?1, ?2, ?3, ?4)",
        )
        .bind(token::digest(access.expose()))
        .bind(sign_in.0)
        .bind(exchanged_for)
        .bind(access_expires_at.0)
        .execute(&mut **tx)
        .await?;
        sqlx::query(
            "INSERT INTO refresh_tokens (hash, sign_in_id, exchanged_for, issued_at) VALUES (?1, ?2, ?3, ?4)",
        )
        .bind(token::digest(refresh.expose()))
        .bind(sign_in.0)
        .bind(exchanged_for)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
        Ok(Tokens { access, access_expires_at, refresh })
    }

    fn refresh_until(&self, now: Timestamp) -> Timestamp {
        now.plus_millis(millis(self.lifetimes.refresh))
    }
}

/// The device if it is this user's own, else a new one, and whether it is: an id from somebody else's sign-in is not
/// taken over, and one that was revoked does not come back. A name that its owner gave it stays.
async fn upsert_device(
    tx: &mut Transaction<'_, Sqlite>,
    user: UserId,
    device: &DeviceInfo,
    now: Timestamp,
) -> Result<(DeviceId, bool), Fault> {
    if let Some(id) = device.id {
        let known = sqlx::query(
            "UPDATE devices SET name = CASE WHEN renamed_at IS NULL THEN ?3 ELSE name END, device_type = ?4
             WHERE id = ?1 AND user_id = ?2 AND revoked_at IS NULL",
        )
        .bind(id.0)
        .bind(user.0)
        .bind(device.name.reveal())
        .bind(device_type_name(device.device_type))
        .execute(&mut **tx)
        .await?;
        if known.rows_affected() == 1 {
            return Ok((id, false));
        }
    }
    let id = DeviceId::random();
    sqlx::query(
        "INSERT INTO devices (id, user_id, name, device_type, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(id.0)
    .bind(user.0)
    .bind(device.name.reveal())
    .bind(device_type_name(device.device_type))
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok((id, true))
}

/// Takes back what was issued for a refresh token and has not been used. Its refresh tokens stay as used and
/// confirmed ones: should one of them come after all, two hold a copy.
async fn withdraw(tx: &mut Transaction<'_, Sqlite>, hash: &[u8], now: Timestamp) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE refresh_tokens SET used_at = ?2, confirmed_at = ?2 WHERE exchanged_for = ?1 AND used_at IS NULL",
    )
    .bind(hash)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM access_tokens WHERE exchanged_for = ?1").bind(hash).execute(&mut **tx).await?;
    Ok(())
}

/// Notes that what was issued for a refresh token has arrived.
async fn confirm(
    db: impl sqlx::Executor<'_, Database = Sqlite>,
    hash: &[u8],
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query("UPDATE refresh_tokens SET confirmed_at = ?2 WHERE hash = ?1 AND confirmed_at IS NULL")
        .bind(hash)
        .bind(now.0)
        .execute(db)
        .await?;
    Ok(())
}

async fn mark_revoked(
    tx: &mut Transaction<'_, Sqlite>,
    sign_in: SessionId,
    why: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query("UPDATE sign_ins SET revoked_at = ?2, revoked_why = ?3 WHERE id = ?1")
        .bind(sign_in.0)
        .bind(now.0)
        .bind(why)
        .execute(&mut **tx)
        .await?;
    forget_access(tx, sign_in).await
}

async fn forget_access(tx: &mut Transaction<'_, Sqlite>, sign_in: SessionId) -> Result<(), Fault> {
    sqlx::query("DELETE FROM access_tokens WHERE sign_in_id = ?1").bind(sign_in.0).execute(&mut **tx).await?;
    Ok(())
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
