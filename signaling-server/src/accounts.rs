//! Accounts and care relations as the command line makes them.

use bedside_protocol::{Pii, Role, Secret, UserId};
use sqlx::Row;

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
    /// Nobody is their own contact.
    #[error("a contact is somebody else")]
    SamePerson,
    /// The database failed.
    #[error("the database failed: {0}")]
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
        sqlx::query(
            "DELETE FROM access_tokens WHERE sign_in_id IN (SELECT id FROM sign_ins WHERE user_id = ?1)",
        )
        .bind(user.id.0)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE sign_ins SET revoked_at = ?2, revoked_why = 'revoked'
             WHERE user_id = ?1 AND revoked_at IS NULL",
        )
        .bind(user.id.0)
        .bind(clock::now().0)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Lets two people see and call each other. Doing it twice changes nothing.
    ///
    /// # Errors
    /// Nobody has one of the logins, or both are the same person.
    pub async fn add_contact(&self, one: &str, other: &str) -> Result<(), AccountError> {
        let (one, other) = (self.find(one).await?.id, self.find(other).await?.id);
        if one == other {
            return Err(AccountError::SamePerson);
        }
        let (low, high) = if one.0.as_bytes() < other.0.as_bytes() { (one, other) } else { (other, one) };
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

    /// The account with that login.
    ///
    /// # Errors
    /// Nobody has it.
    pub async fn find(&self, login: &str) -> Result<AccountRow, AccountError> {
        let row =
            sqlx::query("SELECT id, login, name, role FROM users WHERE login = ?1 AND disabled_at IS NULL")
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
        let rows =
            sqlx::query("SELECT id, login, name, role FROM users WHERE disabled_at IS NULL ORDER BY login")
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
    })
}
