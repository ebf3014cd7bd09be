//! Where the configuration comes from: `--flags`, then environment variables, then the TOML file, then defaults.
//!
//! One table serves all three: every setting is optional, and what is absent in one source is looked for in the
//! next. Secrets can also be given as files, so that they need not stand in a process list.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::Args;
use serde::Deserialize;

/// A setting that can't be used; the text says which and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Check the path given with `--config`.
    #[error("the configuration file {path} can't be read")]
    Read {
        /// The path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Check the path and who may read it.
    #[error("the file {path} that {setting}_file names can't be read")]
    Secret {
        /// The setting that the file holds.
        setting: &'static str,
        /// The path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The message names line and setting.
    #[error("the configuration file {path} is not right")]
    Parse {
        /// The path.
        path: String,
        /// What the parser said.
        source: Box<toml::de::Error>,
    },
    /// The value is out of range or contradicts another.
    #[error("{setting}: {problem}")]
    Invalid {
        /// Its name in the TOML file.
        setting: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// Every setting, as given in one source. Durations are whole seconds.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where HTTP and the socket are served [default: 127.0.0.1:8443]
    #[arg(long, env = "BEDSIDE_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The SQLite file [default: bedside.db]
    #[arg(long, env = "DATABASE_URL", value_name = "PATH")]
    pub database: Option<String>,
    /// PEM file with the certificate chain
    #[arg(long, env = "BEDSIDE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key
    #[arg(long, env = "BEDSIDE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Serve plain HTTP on an address other than loopback: only behind a proxy that adds TLS
    #[arg(long, env = "BEDSIDE_ALLOW_PLAIN_HTTP", num_args = 0..=1, default_missing_value = "true")]
    pub allow_plain_http: Option<bool>,
    /// Shown on the sign-in screen
    #[arg(long, env = "BEDSIDE_CLINIC_NAME", value_name = "NAME")]
    pub clinic_name: Option<String>,
    /// Login of the account that holds the clinic's archive key; it takes part in every conversation
    #[arg(long, env = "BEDSIDE_ARCHIVE_USER", value_name = "LOGIN")]
    pub archive_user: Option<String>,
    /// How long sealed messages wait for devices that don't come for them, s [default: 2592000]
    #[arg(long, env = "BEDSIDE_MESSAGE_RETENTION", value_name = "SECONDS")]
    pub message_retention: Option<u64>,

    /// What is kept of one person in the logs of conversations, MiB [default: 256]
    #[arg(long, env = "BEDSIDE_LOG_QUOTA", value_name = "MIB")]
    pub log_quota: Option<u32>,
    /// What is kept in the log of one conversation, MiB [default: 1024]
    #[arg(long, env = "BEDSIDE_CONVERSATION_QUOTA", value_name = "MIB")]
    pub conversation_quota: Option<u32>,

    /// Folder for attachments [default: uploads, beside the database]
    #[arg(long, env = "UPLOAD_FOLDER", value_name = "FOLDER")]
    pub upload_folder: Option<PathBuf>,
    /// Bucket for attachments in an S3-compatible store, instead of the folder
    #[arg(long, env = "S3_BUCKET", value_name = "NAME")]
    pub s3_bucket: Option<String>,
    /// Id of its access key
    #[arg(long, env = "S3_KEY", value_name = "ID")]
    pub s3_key: Option<String>,
    /// Its access key
    #[arg(long, env = "S3_SECRET", value_name = "KEY", hide_env_values = true)]
    pub s3_secret: Option<String>,
    /// File with that key
    #[arg(long, env = "S3_SECRET_FILE", value_name = "FILE")]
    pub s3_secret_file: Option<PathBuf>,
    /// URL of the store [default: Amazon's]
    #[arg(long, env = "S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// Its region [default: us-east-1]
    #[arg(long, env = "S3_REGION", value_name = "REGION")]
    pub s3_region: Option<String>,
    /// The longest attachment, MiB [default: 2049]
    #[arg(long, env = "BEDSIDE_ATTACHMENT_MAX", value_name = "MIB")]
    pub attachment_max: Option<u32>,
    /// All attachments of one person, MiB [default: 20480]
    #[arg(long, env = "BEDSIDE_ATTACHMENT_QUOTA", value_name = "MIB")]
    pub attachment_quota: Option<u32>,
    /// All attachments, MiB [default: as many as fit]
    #[arg(long, env = "BEDSIDE_ATTACHMENT_STORAGE", value_name = "MIB")]
    pub attachment_storage: Option<u32>,
    /// How long attachments are kept, s [default: 7776000]
    #[arg(long, env = "BEDSIDE_ATTACHMENT_RETENTION", value_name = "SECONDS")]
    pub attachment_retention: Option<u64>,

    /// Whether this process relays media over UDP itself [default: true]
    #[arg(long, env = "BEDSIDE_TURN_EMBEDDED", value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub turn_embedded: Option<bool>,
    /// Where the embedded TURN service listens [default: port 3478 of the listen address]
    #[arg(long, env = "BEDSIDE_TURN_LISTEN", value_name = "ADDRESS:PORT")]
    pub turn_listen: Option<SocketAddr>,
    /// The address under which clients reach the embedded TURN service
    #[arg(long, env = "BEDSIDE_TURN_PUBLIC_ADDRESS", value_name = "ADDRESS")]
    pub turn_public_address: Option<IpAddr>,
    /// UDP ports for relayed media [default: 49152-65535]
    #[arg(long, env = "BEDSIDE_TURN_RELAY_PORTS", value_name = "MIN-MAX")]
    pub turn_relay_ports: Option<String>,
    /// Other TURN servers, comma-separated: turn:host:port?transport=udp
    #[arg(long, env = "TURN_URL", value_name = "URLS")]
    pub turn_url: Option<String>,
    /// Other STUN servers, comma-separated: stun:host:port
    #[arg(long, env = "ICE_SERVERS", value_name = "URLS")]
    pub ice_servers: Option<String>,
    /// Secret shared with the TURN servers (coturn: use-auth-secret)
    #[arg(long, env = "BEDSIDE_TURN_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub turn_secret: Option<String>,
    /// File with that secret
    #[arg(long, env = "BEDSIDE_TURN_SECRET_FILE", value_name = "FILE")]
    pub turn_secret_file: Option<PathBuf>,
    /// Fixed account at TURN servers without shared secret
    #[arg(long, env = "TURN_USER", value_name = "NAME")]
    pub turn_user: Option<String>,
    /// Its password
    #[arg(long, env = "TURN_PASS", value_name = "PASSWORD", hide_env_values = true)]
    pub turn_pass: Option<String>,
    /// How long TURN credentials work, s [default: 7200]
    #[arg(long, env = "BEDSIDE_TURN_CREDENTIAL_LIFETIME", value_name = "SECONDS")]
    pub turn_credential_lifetime: Option<u64>,

    /// How long a call rings, s [default: 60]
    #[arg(long, env = "CALL_TIMEOUT", value_name = "SECONDS")]
    pub call_timeout: Option<u64>,
    /// The longest call unless a clinician extends it, s [default: 3600]
    #[arg(long, env = "MAX_CALL_DURATION", value_name = "SECONDS")]
    pub max_call_duration: Option<u64>,
    /// By how much a clinician extends a call at once, s [default: 1800]
    #[arg(long, env = "BEDSIDE_CALL_EXTENSION", value_name = "SECONDS")]
    pub call_extension: Option<u64>,
    /// The longest call with all its extensions, s; the same as the longest call: none [default: 14400]
    #[arg(long, env = "BEDSIDE_MAX_EXTENDED_CALL_DURATION", value_name = "SECONDS")]
    pub max_extended_call_duration: Option<u64>,
    /// How long the seconds of a call's quality are kept after its end, days [default: 90]
    #[arg(long, env = "BEDSIDE_QUALITY_RETENTION_DAYS", value_name = "DAYS")]
    pub quality_retention_days: Option<u32>,

    /// How long an access token lives, s [default: 600]
    #[arg(long, env = "BEDSIDE_ACCESS_TOKEN_LIFETIME", value_name = "SECONDS")]
    pub access_token_lifetime: Option<u64>,
    /// How long a device stays signed in without being used, s [default: 2592000]
    #[arg(long, env = "BEDSIDE_REFRESH_TOKEN_LIFETIME", value_name = "SECONDS")]
    pub refresh_token_lifetime: Option<u64>,

    /// Socket messages per second and device [default: 50]
    #[arg(long, env = "BEDSIDE_SOCKET_RATE", value_name = "N")]
    pub socket_rate: Option<u32>,
    /// Socket messages at once [default: 200]
    #[arg(long, env = "BEDSIDE_SOCKET_BURST", value_name = "N")]
    pub socket_burst: Option<u32>,
    /// REST requests per second and account [default: 20]
    #[arg(long, env = "BEDSIDE_REST_RATE", value_name = "N")]
    pub rest_rate: Option<u32>,
    /// REST requests at once [default: 100]
    #[arg(long, env = "BEDSIDE_REST_BURST", value_name = "N")]
    pub rest_burst: Option<u32>,
    /// Failed sign-ins per account before each next one has to wait [default: 5]
    #[arg(long, env = "BEDSIDE_SIGN_IN_ATTEMPTS", value_name = "N")]
    pub sign_in_attempts: Option<u32>,
    /// The same per address, which a clinic's patients may share [default: 30]
    #[arg(long, env = "BEDSIDE_SIGN_IN_ATTEMPTS_PER_ADDRESS", value_name = "N")]
    pub sign_in_attempts_per_address: Option<u32>,
    /// Open connections per address, which a whole clinic may share [default: 4096]
    #[arg(long, env = "BEDSIDE_CONNECTIONS_PER_ADDRESS", value_name = "N")]
    pub connections_per_address: Option<u32>,
}

macro_rules! first_of {
    ($first:ident, $second:ident: $($field:ident),+ $(,)?) => {
        Settings { $($field: $first.$field.or($second.$field),)+ }
    };
}

impl Settings {
    /// The settings of a TOML file.
    ///
    /// # Errors
    /// The file can't be read, or names a setting that does not exist.
    pub fn from_file(path: &std::path::Path) -> Result<Self, SettingsError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Read { path: shown.clone(), source })?;
        toml::from_str(&text).map_err(|source| SettingsError::Parse { path: shown, source: Box::new(source) })
    }

    /// These settings, and `other` where they say nothing.
    #[must_use]
    pub fn or(self, other: Settings) -> Settings {
        first_of!(self, other: listen, database, tls_cert, tls_key, allow_plain_http, clinic_name, archive_user,
            message_retention, log_quota, conversation_quota, upload_folder, s3_bucket, s3_key, s3_secret, s3_secret_file, s3_endpoint, s3_region,
            attachment_max, attachment_quota, attachment_storage, attachment_retention, turn_embedded, turn_listen, turn_public_address, turn_relay_ports, turn_url, ice_servers, turn_secret,
            turn_secret_file, turn_user, turn_pass, turn_credential_lifetime, call_timeout, max_call_duration,
            call_extension, max_extended_call_duration, quality_retention_days,
            access_token_lifetime, refresh_token_lifetime, socket_rate, socket_burst, rest_rate, rest_burst,
            sign_in_attempts, sign_in_attempts_per_address, connections_per_address)
    }

    /// The database alone, for commands that need nothing else.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        let given = self.database.as_deref().unwrap_or("bedside.db");
        PathBuf::from(
            given.strip_prefix("sqlite://").or_else(|| given.strip_prefix("sqlite:")).unwrap_or(given),
        )
    }
}

#[cfg(test)]
mod tests;
