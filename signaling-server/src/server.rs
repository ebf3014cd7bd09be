//! The running process: opens what it needs, serves, and stops in good order.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum_server::{Handle, tls_rustls::RustlsConfig};
use bedside_protocol::{Secret, socket::Event};
use tokio::task::{JoinError, JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accounts::Accounts,
    app::App,
    attachments::{
        AttachmentDeps, Attachments,
        blobs::{BlobError, BlobStore},
    },
    auth::{AuthService, password::Passwords},
    calls::{self, CallDeps, CallService},
    config::Config,
    conversations::{ConversationDeps, ConversationService},
    db::{Database, DatabaseError},
    devices::Devices,
    directory::Directory,
    fault::{Causes, Fault},
    hub::Hub,
    ice::IceServers,
    idempotency,
    key_packages::KeyPackages,
    limits::Limits,
    listener,
    presence::PresenceService,
    turn_service::{TurnError, TurnService, secret},
    watch,
};

/// How often sessions and presence are looked through for what has run out, and who is there is written down.
const SESSION_SWEEP_EVERY: Duration = Duration::from_secs(30);
/// When clients may come back after a restart, ms.
const RETRY_AFTER_MS: u64 = 1000;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Give a certificate, listen on loopback, or pass `--allow-plain-http` where a proxy adds TLS.
    #[error(
        "{0} is reachable from other machines, and without TLS passwords would cross the network readable. \
         Set --tls-cert and --tls-key, or --allow-plain-http when a proxy in front adds TLS"
    )]
    PlainHttp(SocketAddr),
    /// Another process has the port, or the address is not this machine's.
    #[error("can't listen on {address}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Check the paths, permissions and that the key belongs to the certificate.
    #[error("the TLS certificate {certificate} or key {key} can't be used")]
    Tls {
        /// Path of the certificate.
        certificate: String,
        /// Path of the key.
        key: String,
        /// What was wrong.
        source: io::Error,
    },
    /// See the cause.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Make the account, or leave the setting out.
    #[error(
        "the account that archive_user names does not exist, and no conversation may begin without the archive. Make \
         it with `bedside-server user add`, or leave archive_user out"
    )]
    NoArchive,
    /// See the cause.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// See the cause.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// What an earlier run left could not be taken up.
    #[error("what the last run left could not be read")]
    Leftovers(#[source] Fault),
}

/// Why a server that ran serves no more.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nobody was told to close it.
    #[error("the listener was closed")]
    Closed,
    /// See the cause.
    #[error("the listener failed")]
    Listener(#[from] io::Error),
    /// What the task did is not done any more.
    #[error("a task of the server's failed")]
    Task(#[from] JoinError),
    /// No call can begin or end.
    #[error("the task that keeps book of calls failed")]
    Calls,
}

/// A server that serves, until it is dropped at the latest.
pub struct RunningServer {
    addr: SocketAddr,
    app: App,
    turn: Option<TurnService>,
    /// What is served now.
    tls: Option<RustlsConfig>,
    listener: Handle<SocketAddr>,
    /// The one task that accepts connections.
    serving: JoinSet<io::Result<()>>,
    background: Background,
}

/// What goes on beside the requests.
#[derive(Default)]
struct Background {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Background {
    /// Runs `task` until the server stops.
    fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(task).await;
        });
    }
}

/// Opens the database, starts the services and begins to serve; returns once requests are accepted.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config) -> Result<RunningServer, StartError> {
    check_listener(&config)?;
    // Whoever embeds the server may have installed it already: the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = match &config.tls {
        Some(files) => Some(listener::load_tls(files).await?),
        None => None,
    };
    let port = listener::bind(config.listen)?;
    let addr = port.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
    let db = Database::open(&config.database).await?;
    check_archive(&config, &db).await?;
    let secret = match &config.turn.secret {
        Some(secret) => secret.clone(),
        None => secret::kept(&db).await.map_err(StartError::Leftovers)?,
    };
    let blobs = BlobStore::open(&config.blobs)?;
    let turn = match config.turn.embedded {
        true => Some(TurnService::start(&config.turn, secret.clone()).await?),
        false => None,
    };
    let mut background = Background::default();
    background.run(look_at(blobs.clone()));
    let app = assemble(config, db, blobs, turn.as_ref(), secret).await.map_err(StartError::Leftovers)?;
    background.run(app.presence.clone().publish());
    background.run(sweep(app.clone()));
    background.run(watch::run(app.db.clone(), app.hub.clone()));

    let handle = Handle::new();
    let mut serving = JoinSet::new();
    serving.spawn(listener::serve(port, tls.clone(), handle.clone(), app.clone()));
    tracing::info!(%addr, tls = app.config.tls.is_some(), turn = turn.is_some(), "serving");
    Ok(RunningServer { addr, app, turn, tls, listener: handle, serving, background })
}

impl RunningServer {
    /// Where HTTP and the socket are served.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base of the REST API's URLs: `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.app.config.tls.is_some() { "https" } else { "http" }, self.addr)
    }

    /// The services, for whoever embeds the server.
    #[must_use]
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// Makes accounts and relations in this server's database.
    #[must_use]
    pub fn accounts(&self) -> Accounts {
        Accounts::new(self.app.db.clone(), Passwords::new(self.app.config.passwords))
    }

    /// Reads certificate and key anew, for connections from now on. When they can't be used, that is logged and those
    /// before stay.
    pub async fn reload_tls(&self) {
        let (Some(served), Some(files)) = (&self.tls, &self.app.config.tls) else {
            tracing::info!("there is no TLS certificate to read anew");
            return;
        };
        match listener::reload_tls(served, files).await {
            Ok(()) => tracing::info!("the TLS certificate was read anew"),
            Err(error) => {
                tracing::error!(error = %Causes(&error), "the previous TLS certificate is still used")
            }
        }
    }

    /// Waits until the server serves no more although nobody stopped it; gives why. It is still to be shut down.
    pub async fn failed(&mut self) -> ServeError {
        loop {
            tokio::select! {
                ended = self.serving.join_next() => return match ended {
                    Some(Ok(Ok(()))) | None => ServeError::Closed,
                    Some(Ok(Err(error))) => error.into(),
                    Some(Err(error)) => error.into(),
                },
                // Some tasks come to an end.
                Some(ended) = self.background.tasks.join_next() => if let Err(error) = ended {
                    return error.into();
                },
                () = self.app.calls.ended() => return ServeError::Calls,
            }
        }
    }

    /// Stops in good order: tells the clients, lets open requests end within the grace, closes the database.
    pub async fn shutdown(mut self) {
        let grace = self.app.config.shutdown_grace;
        tracing::info!("stopping");
        self.app.stopping.cancel();
        self.app.hub.broadcast(&Event::GoingAway { retry_after_ms: RETRY_AFTER_MS });
        self.app.hub.close_all();
        self.listener.graceful_shutdown(Some(grace));
        self.app.sockets.close();
        if tokio::time::timeout(grace, self.app.sockets.wait()).await.is_err() {
            tracing::warn!("some sockets did not close in time");
        }
        while self.serving.join_next().await.is_some() {}
        self.app.calls.shutdown().await;
        if let Err(fault) = self.app.presence.note_present().await {
            fault.log();
        }
        // What it has begun with the database is given up: nothing there is half done without its transaction.
        self.background.stop.cancel();
        while self.background.tasks.join_next().await.is_some() {}
        if let Some(turn) = &self.turn {
            turn.stop().await;
        }
        self.app.db.close().await;
        tracing::info!("stopped");
    }

    /// Stops as a power cut would, as far as clients and the database can tell. For tests.
    pub async fn kill(mut self) {
        self.background.tasks.shutdown().await;
        self.app.stopping.cancel();
        self.app.cut.cancel();
        self.listener.shutdown();
        self.serving.shutdown().await;
        self.app.sockets.close();
        self.app.sockets.wait().await;
        self.app.calls.shutdown().await;
        if let Some(turn) = &self.turn {
            turn.stop().await;
        }
        self.app.db.close().await;
    }
}

/// Looks for the archive's account without making or changing a database.
///
/// # Errors
/// [`StartError::NoArchive`], or the database can't be read.
pub async fn look_for_archive(config: &Config) -> Result<(), StartError> {
    if config.archive_user.is_none() {
        return Ok(());
    }
    if !config.database.is_file() {
        return Err(StartError::NoArchive);
    }
    let db = Database::look(&config.database).await?;
    let found = check_archive(config, &db).await;
    db.close().await;
    found
}

/// The archive that the clinic promised has to be there before anybody may begin a conversation.
async fn check_archive(config: &Config, db: &Database) -> Result<(), StartError> {
    match Directory::new(db.clone(), config.archive_user.as_deref()).archive().await {
        Ok(_) => Ok(()),
        Err(Fault::Refused(_)) => Err(StartError::NoArchive),
        Err(fault) => Err(StartError::Leftovers(fault)),
    }
}

async fn assemble(
    config: Config,
    db: Database,
    blobs: BlobStore,
    turn: Option<&TurnService>,
    secret: Secret,
) -> Result<App, Fault> {
    let mut urls = turn.map(TurnService::urls).unwrap_or_default();
    urls.extend(config.turn.urls.iter().cloned());
    // A relay asks for the credentials again and again, until the call is over.
    let lifetime = config.turn.credential_lifetime.max(calls::longest_life(&config.calls));
    let ice = IceServers::new(&urls, secret, config.turn.account.clone(), lifetime);
    let (hub, directory) = (Hub::default(), Directory::new(db.clone(), config.archive_user.as_deref()));
    let grace = config.socket.presence_grace;
    let presence = PresenceService::new(directory.clone(), hub.clone(), grace);
    let calls = CallService::start(CallDeps {
        db: db.clone(),
        directory: directory.clone(),
        hub: hub.clone(),
        presence: presence.clone(),
        ice: ice.clone(),
        limits: config.calls,
        quality_retention: config.quality_retention,
    })
    .await?;
    let limits = Limits::new(&config.limits);
    let conversations = ConversationService::new(ConversationDeps {
        db: db.clone(),
        directory: directory.clone(),
        hub: hub.clone(),
        calls: calls.clone(),
        retention: config.message_retention,
        limits: config.logs,
        rates: limits.clone(),
    });
    let attachments = Attachments::new(AttachmentDeps {
        db: db.clone(),
        blobs,
        conversations: conversations.clone(),
        calls: calls.clone(),
        limits: config.attachments,
    });
    let key_packages = KeyPackages::new(
        db.clone(),
        directory.clone(),
        hub.clone(),
        limits.clone(),
        config.message_retention,
    );
    let config = Arc::new(config);
    Ok(App {
        auth: AuthService::new(&config, db.clone(), directory.clone(), hub.clone()),
        devices: Devices::new(db.clone(), hub.clone()),
        limits,
        key_packages,
        conversations,
        attachments,
        config,
        db,
        directory,
        hub,
        presence,
        ice,
        calls,
        sockets: TaskTracker::new(),
        stopping: CancellationToken::new(),
        cut: CancellationToken::new(),
    })
}

/// Calls and messages go on without a store of files; whoever runs the server should know before the first file fails.
async fn look_at(blobs: BlobStore) {
    if let Err(error) = blobs.look().await {
        tracing::error!(error = %Causes(&error), "files can neither be sent nor fetched");
    }
}

/// Throws away what has run out, again and again.
async fn sweep(app: App) {
    let mut sessions = tokio::time::interval(SESSION_SWEEP_EVERY);
    let mut database = tokio::time::interval(idempotency::SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = sessions.tick() => {
                let retention = app.config.socket.session_retention;
                app.hub.sweep(retention);
                app.presence.sweep(retention);
                app.limits.sweep();
                if let Err(fault) = app.presence.note_present().await {
                    fault.log();
                }
            }
            _ = database.tick() => {
                let swept = [
                    app.auth.sweep().await,
                    app.calls.sweep().await,
                    idempotency::sweep(&app.db).await,
                    app.conversations.sweep().await,
                    app.key_packages.sweep().await,
                    app.attachments.sweep().await,
                ];
                for swept in swept {
                    if let Err(fault) = swept {
                        fault.log();
                    }
                }
            }
        }
    }
}

/// Plain HTTP carries passwords: it stays on this machine unless somebody said otherwise.
///
/// # Errors
/// [`StartError::PlainHttp`].
pub fn check_listener(config: &Config) -> Result<(), StartError> {
    let readable = config.tls.is_none() && !config.listen.ip().to_canonical().is_loopback();
    if readable && !config.allow_plain_http { Err(StartError::PlainHttp(config.listen)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
