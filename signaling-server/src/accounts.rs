//! Accounts and care relations as the command line makes them.

use std::cmp::Ordering;

use bedside_protocol::{Pii, Role, Secret, UserId};
use sqlx::{Row, Sqlite, Transaction};

use crate::{
    auth::password::{self, Passwords, WeakPassword},
    clock,
    db::Database,
    fault::Fault,
};

/// Somebody who is to get an account.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// What they sign in with; unique, whatever the case.
    pub login: Pii<String>,
    /// What others see.
    pub name: Pii<String>,
    /// What they may do.
    pub role: Role,
    /// For clinicians.
    pub specialty: Option<String>,
    /// Their first password.
    pub password: Secret,
}

/// An account as listed.
#[derive(Clone, Debug)]
pub struct AccountRow {
    /// Its id.
    pub id: UserId,
    /// Its login.
    pub login: Pii<String>,
    /// The person's name.
    pub name: Pii<String>,
    /// What they may do.
    pub role: Role,
    /// Whether nobody can sign in with it any more.
    pub disabled: bool,
}

/// Why an account or a relation was not made.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Choose another login.
    #[error("this login is taken")]
    LoginTaken,
    /// Logins have 1 to 64 characters without spaces and control characters.
    #[error("a login has 1 to 64 characters, without spaces")]
    BadLogin,
    /// Names have 1 to 200 bytes.
    #[error("a name has 1 to 200 bytes")]
    BadName,
    /// Choose another password.
    #[error(transparent)]
    Password(#[from] WeakPassword),
    /// There is nobody with that login.
    #[error("nobody has this login")]
    NoSuchLogin,
    /// Enable it first.
    #[error("this account is disabled")]
    Disabled,
    /// What the command line can't take away.
    #[error("clinicians always see each other; disable the account of one who is to see nobody")]
    Colleagues,
    /// Nobody is their own contact.
    #[error("a contact is somebody else")]
    SamePerson,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The password could not be hashed.
    #[error("internal fault")]
    Internal,
}

/// Makes and lists accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    db: Database,
    passwords: Passwords,
}

impl Accounts {
    /// Accounts in `db`.
    #[must_use]
    pub const fn new(db: Database, passwords: Passwords) -> Self {
        Self { db, passwords }
    }

    /// Makes an account.
    ///
    /// # Errors
    /// The login is taken or malformed, or the password is too weak.
    pub async fn add(&self, user: NewUser) -> Result<UserId, AccountError> {
        let login = user.login.reveal().trim();
        let acceptable = |c: char| !c.is_whitespace() && !c.is_control();
        if login.is_empty() || login.chars().count() > 64 || !login.chars().all(acceptable) {
            return Err(AccountError::BadLogin);
        }
        let name = user.name.reveal().trim();
        if name.is_empty() || name.len() > 200 {
            return Err(AccountError::BadName);
        }
        let hash = self.checked_hash(user.password.clone(), login, name).await?;
        let id = UserId::random();
        let inserted = sqlx::query(
            "INSERT INTO users (id, login, name, role, specialty, password_hash, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(id.0)
        .bind(login)
        .bind(name)
        .bind(user.role.as_str())
        .bind(&user.specialty)
        .bind(hash)
        .bind(clock::now().0)
        .execute(&self.db.write)
        .await;
        match inserted {
            Ok(_) => Ok(id),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(AccountError::LoginTaken),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives an account another password and ends all its sign-ins.
    ///
    /// # Errors
    /// Nobody has the login, or the password is too weak.
    pub async fn set_password(&self, login: &str, password: Secret) -> Result<(), AccountError> {
        let user = self.find(login).await?;
        let hash = self.checked_hash(password, login, user.name.reveal()).await?;
        let mut tx = self.db.write.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE users SET password_hash = ?2 WHERE id = ?1")
            .bind(user.id.0)
            .bind(hash)
            .execute(&mut *tx)
            .await?;
        end_sign_ins(&mut tx, user.id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes an account's access away and ends all its sign-ins, or gives it back. Doing it twice changes nothing.
    ///
    /// # Errors
    /// Nobody has the login.
    pub async fn set_disabled(&self, login: &str, disabled: bool) -> Result<(), AccountError> {
        let user = self.find_any(login).await?;
        if user.disabled == disabled {
            return Ok(());
        }
        let mut tx = self.db.write.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE users SET disabled_at = ?2 WHERE id = ?1")
            .bind(user.id.0)
            .bind(disabled.then(|| clock::now().0))
            .execute(&mut *tx)
            .await?;
        if disabled {
            end_sign_ins(&mut tx, user.id).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Lets two people see and call each other. Doing it twice changes nothing.
    ///
    /// # Errors
    /// Nobody has one of the logins, or both are the same person.
    pub async fn add_contact(&self, one: &str, other: &str) -> Result<(), AccountError> {
        let (low, high) = pair(&self.find(one).await?, &self.find(other).await?)?;
        sqlx::query(
            "INSERT INTO contacts (low, high, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )
        .bind(low.0)
        .bind(high.0)
        .bind(clock::now().0)
        .execute(&self.db.write)
        .await?;
        Ok(())
    }

    /// Keeps two people from seeing and calling each other any more. Doing it twice changes nothing; clinicians always see
    /// each other.
    ///
    /// # Errors
    /// Nobody has one of the logins, both are the same person, or both are clinicians.
    pub async fn remove_contact(&self, one: &str, other: &str) -> Result<(), AccountError> {
        let (one, other) = (self.find_any(one).await?, self.find_any(other).await?);
        let (low, high) = pair(&one, &other)?;
        if (one.role, other.role) == (Role::Clinician, Role::Clinician) {
            return Err(AccountError::Colleagues);
        }
        sqlx::query("DELETE FROM contacts WHERE low = ?1 AND high = ?2")
            .bind(low.0)
            .bind(high.0)
            .execute(&self.db.write)
            .await?;
        Ok(())
    }

    /// The account with that login, if it is not disabled.
    ///
    /// # Errors
    /// Nobody has it.
    pub async fn find(&self, login: &str) -> Result<AccountRow, AccountError> {
        Some(self.find_any(login).await?).filter(|user| !user.disabled).ok_or(AccountError::Disabled)
    }

    async fn find_any(&self, login: &str) -> Result<AccountRow, AccountError> {
        let row = sqlx::query("SELECT id, login, name, role, disabled_at FROM users WHERE login = ?1")
            .bind(login.trim())
            .fetch_optional(&self.db.read)
            .await?;
        row.as_ref().map_or(Err(AccountError::NoSuchLogin), account_of)
    }

    /// Every account, by login.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list(&self) -> Result<Vec<AccountRow>, AccountError> {
        let rows = sqlx::query("SELECT id, login, name, role, disabled_at FROM users ORDER BY login")
            .fetch_all(&self.db.read)
            .await?;
        rows.iter().map(account_of).collect()
    }

    async fn checked_hash(&self, password: Secret, login: &str, name: &str) -> Result<String, AccountError> {
        password::check(password.expose(), login, name)?;
        self.passwords.hash(password).await.map_err(|fault: Fault| {
            fault.log();
            AccountError::Internal
        })
    }
}

fn account_of(row: &sqlx::sqlite::SqliteRow) -> Result<AccountRow, AccountError> {
    let role: String = row.try_get("role")?;
    Ok(AccountRow {
        id: UserId(row.try_get("id")?),
        login: Pii::new(row.try_get("login")?),
        name: Pii::new(row.try_get("name")?),
        role: Role::parse(&role).ok_or(AccountError::Internal)?,
        disabled: row.try_get::<Option<i64>, _>("disabled_at")?.is_some(),
    })
}

/// Two people in the order in which a relation is kept.
fn pair(one: &AccountRow, other: &AccountRow) -> Result<(UserId, UserId), AccountError> {
    match one.id.0.cmp(&other.id.0) {
        Ordering::Less => Ok((one.id, other.id)),
        Ordering::Greater => Ok((other.id, one.id)),
        Ordering::Equal => Err(AccountError::SamePerson),
    }
}

/// Ends all sign-ins of an account; the running server closes their sockets.
async fn end_sign_ins(tx: &mut Transaction<'_, Sqlite>, user: UserId) -> Result<(), AccountError> {
    sqlx::query("DELETE FROM access_tokens WHERE sign_in_id IN (SELECT id FROM sign_ins WHERE user_id = ?1)")
        .bind(user.0)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "UPDATE sign_ins SET revoked_at = ?2, revoked_why = 'revoked'
         WHERE user_id = ?1 AND revoked_at IS NULL",
    )
    .bind(user.0)
    .bind(clock::now().0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
