//! People and who may talk to whom. Reads only; accounts are made on the command line (`accounts`).

use std::sync::Arc;

use bedside_protocol::{DeviceType, ErrorCode, Pii, Problem, Role, Timestamp, UserId, user::UserProfile};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    clock,
    db::{Database, signed},
    fault::Fault,
};

/// Looks people up. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Directory {
    db: Database,
    archive: Option<Arc<str>>,
}

/// When somebody was last heard from, kept across restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSeen {
    /// When.
    pub at: Option<Timestamp>,
    /// On what kind of device.
    pub device_type: Option<DeviceType>,
}

/// Somebody one may talk to.
#[derive(Clone, Debug)]
pub struct ContactRow {
    /// Who.
    pub user: UserProfile,
    /// When they were last heard from.
    pub last_seen: LastSeen,
}

/// Everybody whom user `?1` may talk to: by a care relation, or because both are clinicians.
const CONTACT_FILTER: &str = "u.disabled_at IS NULL AND u.id <> ?1 AND (
        EXISTS (SELECT 1 FROM contacts c WHERE (c.low = ?1 AND c.high = u.id) OR (c.low = u.id AND c.high = ?1))
        OR (u.role = 'clinician' AND EXISTS (SELECT 1 FROM users me WHERE me.id = ?1 AND me.role = 'clinician')))";

impl Directory {
    /// A directory over `db`; `archive` is the login of the account that holds the clinic's archive key.
    #[must_use]
    pub fn new(db: Database, archive: Option<&str>) -> Self {
        Self { db, archive: archive.map(Arc::from) }
    }

    /// The account that holds the clinic's archive key, where one is configured.
    ///
    /// # Errors
    /// `no_archive` when the account that is configured does not exist, or the database failed.
    pub async fn archive(&self) -> Result<Option<UserProfile>, Fault> {
        let Some(login) = &self.archive else { return Ok(None) };
        let row = sqlx::query(
            "SELECT id, name, role, specialty FROM users WHERE login = ?1 AND disabled_at IS NULL",
        )
        .bind(login.as_ref())
        .fetch_optional(&self.db.read)
        .await?
        .ok_or_else(|| {
            tracing::error!("the account that archive_user names does not exist any more");
            Problem::new(ErrorCode::NoArchive)
                .with_detail("No conversation begins without it. Please tell those who run the server.")
        })?;
        profile_of(&row).map(Some)
    }

    /// One person's public face.
    ///
    /// # Errors
    /// `not_found`, or the database failed.
    pub async fn profile(&self, user: UserId) -> Result<UserProfile, Fault> {
        let row =
            sqlx::query("SELECT id, name, role, specialty FROM users WHERE id = ?1 AND disabled_at IS NULL")
                .bind(user.0)
                .fetch_optional(&self.db.read)
                .await?
                .ok_or(ErrorCode::NotFound)?;
        profile_of(&row)
    }

    /// Whether two people may see and call each other.
    ///
    /// # Errors
    /// The database failed.
    pub async fn may_talk(&self, one: UserId, other: UserId) -> Result<bool, Fault> {
        let sql = format!("SELECT 1 FROM users u WHERE u.id = ?2 AND {CONTACT_FILTER}");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(one.0)
            .bind(other.0)
            .fetch_optional(&self.db.read)
            .await?;
        Ok(row.is_some())
    }

    /// Everybody whom `user` may talk to: also everybody who may watch their presence.
    ///
    /// # Errors
    /// The database failed.
    pub async fn contact_ids(&self, user: UserId) -> Result<Vec<UserId>, Fault> {
        let sql = format!("SELECT u.id FROM users u WHERE {CONTACT_FILTER}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(user.0).fetch_all(&self.db.read).await?;
        rows.iter().map(|row| Ok(UserId(row.try_get(0)?))).collect()
    }

    /// A page of the people whom `user` may talk to, by name, and how many there are in all.
    ///
    /// # Errors
    /// The database failed.
    pub async fn contacts(
        &self,
        user: UserId,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<ContactRow>, u64), Fault> {
        let count = format!("SELECT COUNT(*) FROM users u WHERE {CONTACT_FILTER}");
        let total: u64 = sqlx::query(sqlx::AssertSqlSafe(count))
            .bind(user.0)
            .fetch_one(&self.db.read)
            .await?
            .try_get(0)?;
        let sql = format!(
            "SELECT u.id, u.name, u.role, u.specialty, u.last_seen_at, u.last_device_type FROM users u
             WHERE {CONTACT_FILTER} ORDER BY u.name COLLATE NOCASE, u.id LIMIT ?2 OFFSET ?3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(user.0)
            .bind(limit)
            .bind(signed(offset))
            .fetch_all(&self.db.read)
            .await?;
        let contacts = rows
            .iter()
            .map(|row| Ok(ContactRow { user: profile_of(row)?, last_seen: last_seen_of(row)? }))
            .collect::<Result<_, Fault>>()?;
        Ok((contacts, total))
    }

    /// When `user` was last heard from, as of the last time it was written down.
    ///
    /// # Errors
    /// The database failed.
    pub async fn last_seen(&self, user: UserId) -> Result<LastSeen, Fault> {
        let row = sqlx::query("SELECT last_seen_at, last_device_type FROM users WHERE id = ?1")
            .bind(user.0)
            .fetch_optional(&self.db.read)
            .await?;
        row.as_ref().map_or(Ok(LastSeen::default()), last_seen_of)
    }

    /// Writes down when somebody was last heard from.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_last_seen(&self, user: UserId, at: Timestamp, device: DeviceType) -> Result<(), Fault> {
        sqlx::query("UPDATE users SET last_seen_at = ?2, last_device_type = ?3 WHERE id = ?1")
            .bind(user.0)
            .bind(at.0)
            .bind(device_type_name(device))
            .execute(&self.db.write)
            .await?;
        Ok(())
    }

    /// Writes down that all of them were heard from now.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_seen_now(&self, users: &[UserId]) -> Result<(), Fault> {
        if users.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = users.iter().map(|user| user.0.simple().to_string()).collect();
        sqlx::query(
            "UPDATE users SET last_seen_at = ?1 WHERE id IN (SELECT unhex(value) FROM json_each(?2))",
        )
        .bind(clock::now().0)
        .bind(serde_json::json!(ids).to_string())
        .execute(&self.db.write)
        .await?;
        Ok(())
    }
}

/// Reads `id`, `name`, `role`, `specialty`.
pub(crate) fn profile_of(row: &SqliteRow) -> Result<UserProfile, Fault> {
    let role: String = row.try_get("role")?;
    Ok(UserProfile {
        id: UserId(row.try_get("id")?),
        name: Pii::new(row.try_get("name")?),
        role: Role::parse(&role).ok_or(Fault::Internal("a role in the database is unknown"))?,
        specialty: row.try_get("specialty")?,
    })
}

fn last_seen_of(row: &SqliteRow) -> Result<LastSeen, Fault> {
    let device: Option<String> = row.try_get("last_device_type")?;
    Ok(LastSeen {
        at: row.try_get::<Option<i64>, _>("last_seen_at")?.map(Timestamp),
        device_type: device.as_deref().map(parse_device_type),
    })
}

/// The name of a device type in the database.
pub(crate) const fn device_type_name(device: DeviceType) -> &'static str {
    match device {
        DeviceType::Desktop => "desktop",
        DeviceType::Web => "web",
        DeviceType::Mobile => "mobile",
    }
}

/// The device type of that name; what is not known counts as a desktop.
pub(crate) fn parse_device_type(name: &str) -> DeviceType {
    match name {
        "web" => DeviceType::Web,
        "mobile" => DeviceType::Mobile,
        _ => DeviceType::Desktop,
    }
}
