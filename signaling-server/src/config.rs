//! What the server is told: resolved from flags, environment and a TOML file, in this order of precedence.
//!
//! [`Config`] is the result that the rest of the server reads; `settings` knows where the values come from.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use bedside_protocol::{Secret, attachment::MAX_ATTACHMENT_BYTES};

mod resolve;
pub mod settings;

/// Everything the server needs to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTP and the socket are served. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The SQLite file.
    pub database: PathBuf,
    /// Certificate chain and key; plain HTTP without.
    pub tls: Option<TlsFiles>,
    /// Permits plain HTTP on an address other than loopback.
    pub allow_plain_http: bool,
    /// Shown on the sign-in screen.
    pub clinic_name: String,
    /// Login of the account that holds the clinic's archive key: it takes part in every conversation.
    pub archive_user: Option<String>,
    /// How long sealed entries and welcomes are kept for devices that don't come for them.
    pub message_retention: Duration,
    /// How much of them is kept.
    pub logs: LogLimits,
    /// Where the bytes of attachments are.
    pub blobs: BlobConfig,
    /// How much is taken of attachments, and how long they are kept.
    pub attachments: AttachmentLimits,
    /// How long the seconds of a call's quality are kept after its end. Its summary stays.
    pub quality_retention: Duration,
    /// STUN and TURN.
    pub turn: TurnConfig,
    /// Ring time-out, longest call and the like.
    pub calls: CallLimits,
    /// How long tokens live.
    pub tokens: TokenLifetimes,
    /// How much one client may ask.
    pub limits: RateLimits,
    /// Heartbeat and retention of sockets, and the time until there is one.
    pub socket: SocketTiming,
    /// How long open requests may take once the server is told to stop.
    pub shutdown_grace: Duration,
    /// Cost of a password hash.
    pub passwords: PasswordCost,
}

/// How much is kept in the logs of conversations: sealed entries with 256 bytes for each, welcomes, group information.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// All of one person's, bytes.
    pub person_bytes: u64,
    /// All of one conversation's, bytes. More than one person's, or one could silence the others.
    pub conversation_bytes: u64,
}

/// PEM files for TLS.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// Where the bytes of attachments are.
#[derive(Clone, Debug)]
pub enum BlobConfig {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// In a bucket of an S3-compatible store.
    Bucket(Bucket),
}

/// A bucket of an S3-compatible store.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Id of the access key.
    pub key: String,
    /// The access key.
    pub secret: Secret,
    /// The store's URL; Amazon's when absent.
    pub endpoint: Option<String>,
}

/// How much is taken of attachments, and how long they are kept.
#[derive(Clone, Copy, Debug)]
pub struct AttachmentLimits {
    /// The longest one, in sealed bytes.
    pub max_bytes: u64,
    /// All of one person's.
    pub quota_bytes: u64,
    /// Everybody's.
    pub storage_bytes: u64,
    /// How long they are kept.
    pub retention: Duration,
}

/// STUN and TURN: the embedded service, others, or both.
#[derive(Clone, Debug)]
pub struct TurnConfig {
    /// Whether this process relays media over UDP itself.
    pub embedded: bool,
    /// Where the embedded service listens. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The address under which clients reach the embedded service; the listening one when absent.
    pub public_address: Option<IpAddr>,
    /// Smallest and largest UDP port for relayed media.
    pub relay_ports: (u16, u16),
    /// Other servers: `stun:host:port`, `turn:host:port?transport=udp`, `turns:…`.
    pub urls: Vec<String>,
    /// Shared with the TURN servers (`use-auth-secret` in coturn); made up once and kept in the database when
    /// absent.
    pub secret: Option<Secret>,
    /// For TURN servers without shared secret: a fixed account.
    pub account: Option<(String, Secret)>,
    /// How long handed-out credentials work, but never less than a call may last.
    pub credential_lifetime: Duration,
}

/// Limits on calls.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// How long a call rings before it is missed.
    pub ring_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a call without media or without a participant's socket is kept.
    pub reconnect_grace: Duration,
    /// The longest call, unless a clinician extends it.
    pub max_duration: Duration,
    /// How long before its end both sides are warned.
    pub expiry_warning: Duration,
    /// By how much one extension puts off the end.
    pub extension: Duration,
    /// The longest call with all its extensions. Not more than `max_duration`: no call can be extended.
    pub max_extended: Duration,
}

/// How long tokens live.
#[derive(Clone, Copy, Debug)]
pub struct TokenLifetimes {
    /// Access tokens.
    pub access: Duration,
    /// A sign-in that is not refreshed.
    pub refresh: Duration,
}

/// How much one client may ask.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// Socket messages per second, sustained.
    pub socket_per_second: u32,
    /// Socket messages at once.
    pub socket_burst: u32,
    /// REST requests per second and account (per address before signing in), sustained.
    pub rest_per_second: u32,
    /// REST requests at once.
    pub rest_burst: u32,
    /// Failed sign-ins per account before the delay begins to grow.
    pub sign_in_attempts: u32,
    /// Failed sign-ins per address before the delay begins to grow; a clinic's patients may share one.
    pub sign_in_attempts_per_address: u32,
    /// Open connections per address, sockets among them; a whole clinic may share one.
    pub connections_per_address: u32,
    /// Claims of one person's key packages by another at once.
    pub claim_burst: u32,
    /// After these, one claim in this time.
    pub claim_every: Duration,
    /// Changes of one conversation's group by one person at once, foundings anew among them.
    pub change_burst: u32,
    /// After these, one change in this time.
    pub change_every: Duration,
    /// What one person's devices put into logs at once, KiB: others store all of it, and keep it.
    pub entry_burst_kib: u32,
    /// After that, one KiB in this time.
    pub entry_kib_every: Duration,
}

/// Heartbeat and retention of sockets.
#[derive(Clone, Copy, Debug)]
pub struct SocketTiming {
    /// How often clients ping.
    pub heartbeat: Duration,
    /// Silence after which a socket is dead.
    pub dead_after: Duration,
    /// How long the head of a request may take, of which a socket's upgrade is one.
    pub head_within: Duration,
    /// How long the body of a request may take, but for parts of attachments.
    pub body_within: Duration,
    /// How long the first message may take.
    pub hello_within: Duration,
    /// How long a frame may take to be written before the socket counts as too slow.
    pub write_timeout: Duration,
    /// How long a session without socket can be resumed.
    pub session_retention: Duration,
    /// How long somebody whose last socket was lost is still shown as before.
    pub presence_grace: Duration,
}

/// Cost of Argon2id (RFC 9106).
#[derive(Clone, Copy, Debug)]
pub struct PasswordCost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Config {
    /// The defaults, for a server on loopback with its database at `database`.
    #[must_use]
    pub fn new(database: impl AsRef<Path>) -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            listen: SocketAddr::new(loopback, 8443),
            database: database.as_ref().to_owned(),
            tls: None,
            allow_plain_http: false,
            clinic_name: "Bedside clinic".to_owned(),
            archive_user: None,
            message_retention: Duration::from_secs(30 * 24 * 3600),
            logs: LogLimits { person_bytes: 256 * 1024 * 1024, conversation_bytes: 1024 * 1024 * 1024 },
            blobs: BlobConfig::Folder(database.as_ref().with_file_name("uploads")),
            attachments: AttachmentLimits {
                max_bytes: MAX_ATTACHMENT_BYTES,
                quota_bytes: 20 * 1024 * 1024 * 1024,
                storage_bytes: i64::MAX.unsigned_abs(),
                retention: Duration::from_secs(90 * 24 * 3600),
            },
            quality_retention: Duration::from_secs(90 * 24 * 3600),
            turn: TurnConfig {
                embedded: true,
                listen: SocketAddr::new(loopback, 3478),
                public_address: None,
                relay_ports: (49152, 65535),
                urls: Vec::new(),
                secret: None,
                account: None,
                credential_lifetime: Duration::from_secs(2 * 3600),
            },
            calls: CallLimits {
                ring_timeout: Duration::from_secs(60),
                connect_timeout: Duration::from_secs(30),
                reconnect_grace: Duration::from_secs(30),
                max_duration: Duration::from_secs(3600),
                expiry_warning: Duration::from_secs(300),
                extension: Duration::from_secs(1800),
                max_extended: Duration::from_secs(4 * 3600),
            },
            tokens: TokenLifetimes {
                access: Duration::from_secs(600),
                refresh: Duration::from_secs(30 * 24 * 3600),
            },
            limits: RateLimits {
                socket_per_second: 50,
                socket_burst: 200,
                rest_per_second: 20,
                rest_burst: 100,
                sign_in_attempts: 5,
                sign_in_attempts_per_address: 30,
                connections_per_address: 4096,
                claim_burst: 60,
                claim_every: Duration::from_secs(10),
                change_burst: 20,
                change_every: Duration::from_secs(300),
                // Days of writing; about 350 MB a day is the most that somebody can leave on other people's disks.
                entry_burst_kib: 32 * 1024,
                entry_kib_every: Duration::from_millis(250),
            },
            socket: SocketTiming {
                heartbeat: Duration::from_secs(25),
                dead_after: Duration::from_secs(60),
                head_within: Duration::from_secs(30),
                // The longest entry over 64 kbit/s.
                body_within: Duration::from_secs(180),
                hello_within: Duration::from_secs(10),
                write_timeout: Duration::from_secs(10),
                session_retention: Duration::from_secs(300),
                presence_grace: Duration::from_secs(5),
            },
            shutdown_grace: Duration::from_secs(10),
            // OWASP's first choice for Argon2id. Above 32 MiB glibc's malloc maps the memory apart and gives it
            // back afterwards; at 19 MiB and two passes each thread that ever hashed kept its share.
            passwords: PasswordCost { memory_kib: 46 * 1024, passes: 1 },
        }
    }

    /// As [`Config::new`], on free ports and with cheap password hashes, for tests.
    #[must_use]
    pub fn for_tests(database: impl AsRef<Path>) -> Self {
        let mut config = Self::new(database);
        config.listen.set_port(0);
        config.turn.listen.set_port(0);
        config.passwords = PasswordCost { memory_kib: 256, passes: 1 };
        config
    }
}
