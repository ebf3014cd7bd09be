//! Key packages (RFC 9420 §10): what a device publishes so that others can add it to a group while it is away.
//!
//! Each is handed out once; when none is left, the one of last resort again and again. Whoever may talk to somebody,
//! or shares a conversation with them, may claim, within a rate limit: claims use key packages up.

use std::time::Duration;

use bedside_protocol::{
    DeviceId, ErrorCode, Problem, Sealed, UserId,
    conversation::{ClaimedKeyPackage, KeyPackagesLeft, MAX_KEY_PACKAGES, PublishKeyPackages},
    socket::Event,
};
use sha2::{Digest, Sha256};
use sqlx::{Row, Sqlite, Transaction};

use crate::{
    clock, db::Database, directory::Directory, fault::Fault, hub::Hub, identity::Identity, limits::Limits,
};

/// The longest key package, in bytes. Bedside's have about 500.
pub const MAX_KEY_PACKAGE_BYTES: usize = 16 * 1024;
/// The most key packages kept for one device.
const MAX_KEPT: usize = 5 * MAX_KEY_PACKAGES;
/// A device with this many or fewer is told.
const FEW: usize = 20;
/// Nobody accepts one that is older: apps take them to be valid for 84 days and an hour at most.
const LONGEST_VALID: Duration = Duration::from_secs(85 * 24 * 3600);

/// Keeps key packages and hands them out. Cheap to clone.
#[derive(Clone)]
pub struct KeyPackages {
    db: Database,
    directory: Directory,
    hub: Hub,
    limits: Limits,
    retention: Duration,
}

impl KeyPackages {
    /// Key packages in `db`; the digests of used ones are kept for `retention`.
    #[must_use]
    pub const fn new(
        db: Database,
        directory: Directory,
        hub: Hub,
        limits: Limits,
        retention: Duration,
    ) -> Self {
        Self { db, directory, hub, limits, retention }
    }

    /// Takes more key packages of the asking device. One that it published before is not taken twice, not even when it
    /// has been handed out. Whoever shares a conversation with its user is told when these are its first: until then
    /// nobody could let it in.
    ///
    /// # Errors
    /// `invalid_value` for an empty one or too many, `too_large` for one that is too long, or the database failed.
    pub async fn publish(&self, who: &Identity, wish: PublishKeyPackages) -> Result<KeyPackagesLeft, Fault> {
        if wish.packages.len() > MAX_KEY_PACKAGES {
            return Err(invalid(format!("At most {MAX_KEY_PACKAGES} key packages are taken at once.")));
        }
        for package in wish.packages.iter().chain(&wish.last_resort) {
            check(package)?;
        }
        let mut tx = self.db.write.begin_with("BEGIN IMMEDIATE").await?;
        let before = left(&mut tx, who.device).await?;
        if wish.replace {
            forget(&mut tx, who.device).await?;
        }
        if let Some(last_resort) = &wish.last_resort {
            sqlx::query("DELETE FROM key_packages WHERE device_id = ?1 AND last_resort")
                .bind(who.device.0)
                .execute(&mut *tx)
                .await?;
            add(&mut tx, who.device, last_resort, true).await?;
        }
        for package in &wish.packages {
            add(&mut tx, who.device, package, false).await?;
        }
        let left = left(&mut tx, who.device).await?;
        if left.left > MAX_KEPT {
            return Err(invalid(format!("At most {MAX_KEPT} key packages are kept for a device.")));
        }
        let is_first = !has_some(before) && has_some(left);
        let others = if is_first { in_common(&mut tx, who.user).await? } else { Vec::new() };
        tx.commit().await?;
        self.hub.send_to_users(&others, &Event::KeyPackagesPublished { user_id: who.user });
        Ok(left)
    }

    /// How many the asking device still has.
    ///
    /// # Errors
    /// The database failed.
    pub async fn left(&self, who: &Identity) -> Result<KeyPackagesLeft, Fault> {
        left(&mut self.db.read.begin().await?, who.device).await
    }

    /// Hands out one for each device of `of` that is signed in, but for the asking one.
    ///
    /// # Errors
    /// `not_found` for a stranger, `rate_limited`, or the database failed.
    pub async fn claim(&self, who: &Identity, of: UserId) -> Result<Vec<ClaimedKeyPackage>, Fault> {
        if !self.may_claim(who.user, of).await? {
            return Err(ErrorCode::NotFound.into());
        }
        self.limits.check_claim(who.user, of)?;
        let now = clock::now();
        let mut tx = self.db.write.begin_with("BEGIN IMMEDIATE").await?;
        let devices = sqlx::query(
            "SELECT d.id FROM devices d WHERE d.user_id = ?1 AND d.id <> ?2 AND d.revoked_at IS NULL
               AND EXISTS (SELECT 1 FROM sign_ins s
                           WHERE s.device_id = d.id AND s.revoked_at IS NULL AND s.expires_at > ?3)
             ORDER BY d.created_at, d.id",
        )
        .bind(of.0)
        .bind(who.device.0)
        .bind(now.0)
        .fetch_all(&mut *tx)
        .await?;
        let (mut claimed, mut running_out) = (Vec::new(), Vec::new());
        for row in devices {
            let device_id = DeviceId(row.try_get(0)?);
            if let Some(key_package) = take(&mut tx, device_id).await? {
                claimed.push(ClaimedKeyPackage { device_id, key_package });
                let left = left(&mut tx, device_id).await?;
                if left.left <= FEW {
                    running_out.push((device_id, left));
                }
            }
        }
        tx.commit().await?;
        for (device, left) in running_out {
            self.hub.send_to_device(of, device, &Event::KeyPackagesLow(left));
        }
        Ok(claimed)
    }

    /// No longer hands out what has certainly expired, and forgets what was handed out longer ago than the retention.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sweep(&self) -> Result<(), Fault> {
        let valid = i64::try_from(LONGEST_VALID.as_millis()).unwrap_or(i64::MAX);
        sqlx::query(
            "UPDATE key_packages SET body = NULL, claimed_at = ?2 WHERE body IS NOT NULL AND created_at <= ?1",
        )
        .bind(clock::now().0.saturating_sub(valid))
        .bind(clock::now().0)
        .execute(&self.db.write)
        .await?;
        let retention = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
        sqlx::query("DELETE FROM key_packages WHERE body IS NULL AND COALESCE(claimed_at, created_at) <= ?1")
            .bind(clock::now().0.saturating_sub(retention))
            .execute(&self.db.write)
            .await?;
        Ok(())
    }

    /// Oneself, a contact, somebody in a conversation with the asker, and the archive, which is in all of them.
    async fn may_claim(&self, claimer: UserId, of: UserId) -> Result<bool, Fault> {
        if claimer == of || self.directory.may_talk(claimer, of).await? {
            return Ok(true);
        }
        let shared = sqlx::query(
            "SELECT 1 FROM conversation_participants a
             JOIN conversation_participants b ON b.conversation_id = a.conversation_id
             WHERE a.user_id = ?1 AND b.user_id = ?2 LIMIT 1",
        )
        .bind(claimer.0)
        .bind(of.0)
        .fetch_optional(&self.db.read)
        .await?;
        Ok(shared.is_some())
    }
}

const fn has_some(left: KeyPackagesLeft) -> bool {
    left.left > 0 || left.last_resort
}

/// Everybody who takes part in a conversation with `user`.
async fn in_common(tx: &mut Transaction<'_, Sqlite>, user: UserId) -> Result<Vec<UserId>, Fault> {
    let rows = sqlx::query(
        "SELECT DISTINCT b.user_id FROM conversation_participants a
         JOIN conversation_participants b ON b.conversation_id = a.conversation_id
         WHERE a.user_id = ?1 AND b.user_id <> ?1",
    )
    .bind(user.0)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(|row| Ok(UserId(row.try_get(0)?))).collect()
}

/// One of a device's key packages, which then is used; of last resort if there is no other.
async fn take(tx: &mut Transaction<'_, Sqlite>, device: DeviceId) -> Result<Option<Sealed>, Fault> {
    let row = sqlx::query(
        "SELECT digest, last_resort, body FROM key_packages WHERE device_id = ?1 AND body IS NOT NULL
         ORDER BY last_resort, created_at, digest LIMIT 1",
    )
    .bind(device.0)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<i64, _>("last_resort")? == 0 {
        sqlx::query(
            "UPDATE key_packages SET body = NULL, claimed_at = ?3 WHERE device_id = ?1 AND digest = ?2",
        )
        .bind(device.0)
        .bind(row.try_get::<Vec<u8>, _>("digest")?)
        .bind(clock::now().0)
        .execute(&mut **tx)
        .await?;
    }
    Ok(Some(Sealed(row.try_get("body")?)))
}

async fn add(
    tx: &mut Transaction<'_, Sqlite>,
    device: DeviceId,
    package: &Sealed,
    last_resort: bool,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO key_packages (device_id, digest, last_resort, created_at, body) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
    )
    .bind(device.0)
    .bind(Sha256::digest(&package.0).to_vec())
    .bind(last_resort)
    .bind(clock::now().0)
    .bind(&package.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes all key packages of a device unusable; their digests stay.
async fn forget(tx: &mut Transaction<'_, Sqlite>, device: DeviceId) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE key_packages SET body = NULL, claimed_at = ?2 WHERE device_id = ?1 AND body IS NOT NULL",
    )
    .bind(device.0)
    .bind(clock::now().0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn left(tx: &mut Transaction<'_, Sqlite>, device: DeviceId) -> Result<KeyPackagesLeft, Fault> {
    let row = sqlx::query(
        "SELECT COALESCE(SUM(NOT last_resort), 0) AS left, COALESCE(MAX(last_resort), 0) AS last_resort
         FROM key_packages WHERE device_id = ?1 AND body IS NOT NULL",
    )
    .bind(device.0)
    .fetch_one(&mut **tx)
    .await?;
    Ok(KeyPackagesLeft {
        left: usize::try_from(row.try_get::<i64, _>("left")?).unwrap_or(0),
        last_resort: row.try_get::<i64, _>("last_resort")? != 0,
    })
}

fn check(package: &Sealed) -> Result<(), Fault> {
    match package.0.len() {
        0 => Err(invalid("A key package must not be empty.")),
        1..=MAX_KEY_PACKAGE_BYTES => Ok(()),
        _ => Err(Problem::new(ErrorCode::TooLarge)
            .with_detail(format!("A key package may have {MAX_KEY_PACKAGE_BYTES} bytes."))
            .into()),
    }
}

fn invalid(detail: impl Into<String>) -> Fault {
    Problem::new(ErrorCode::InvalidValue).with_detail(detail).into()
}
