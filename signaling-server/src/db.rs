//! The SQLite database: opened once, migrated forwards, written through one connection.
//!
//! SQLite has one writer at a time. Writes queue for the single connection of [`Database::write`] instead of
//! running into `SQLITE_BUSY`; reads go beside them through [`Database::read`] (WAL).

use std::{path::Path, time::Duration};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file can't be created or read; check the path and its permissions.
    #[error("the database {path} can't be opened")]
    Open {
        /// The path as configured.
        path: String,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The file was written by a newer server, or is damaged.
    #[error("the database can't be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// The server's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    /// For queries that change nothing.
    pub read: SqlitePool,
    /// For everything else; one connection.
    pub write: SqlitePool,
}

/// Every migration, in order, compiled into the binary.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

impl Database {
    /// Opens the database at `path`, creating it if there is none, and brings it to the newest version.
    ///
    /// # Errors
    /// The file can't be opened, or holds a version this server does not know.
    pub async fn open(path: &Path) -> Result<Self, DatabaseError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            // 1 MiB of pages per connection is plenty and keeps an idle server small.
            .pragma("cache_size", "-1024");
        let open = |source| DatabaseError::Open { path: path.display().to_string(), source };
        let write = pool(1).connect_with(options.clone()).await.map_err(open)?;
        MIGRATIONS.run(&write).await?;
        let read = pool(3).connect_with(options.read_only(true)).await.map_err(open)?;
        Ok(Self { read, write })
    }

    /// Opens a database that is there to look into it: nothing is made, migrated or written.
    ///
    /// # Errors
    /// The file can't be opened.
    pub async fn look(path: &Path) -> Result<Self, DatabaseError> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let open = |source| DatabaseError::Open { path: path.display().to_string(), source };
        let read = pool(1).connect_with(options).await.map_err(open)?;
        Ok(Self { write: read.clone(), read })
    }

    /// Whether a query can be answered.
    pub async fn is_ready(&self) -> bool {
        sqlx::query("SELECT 1").execute(&self.read).await.is_ok()
    }

    /// Waits for running queries and closes the file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// A number for the database, which has no unsigned ones. One that is too large for it becomes the largest: nothing
/// there comes near.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(15))
}
