//! Settings as given become a [`Config`]: defaults where nothing was said, and an explanation where something can't be.
//! Each part of the configuration takes up its own.

use std::{net::IpAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use bedside_protocol::{Secret, attachment::MAX_ATTACHMENT_BYTES};

use super::{
    AttachmentLimits, BlobConfig, Bucket, CallLimits, Config, LogLimits, RateLimits, TlsFiles,
    TokenLifetimes, TurnConfig,
    settings::{Settings, SettingsError},
};

type Resolved = Result<(), SettingsError>;

impl Settings {
    /// The whole configuration, with defaults where nothing was said.
    ///
    /// # Errors
    /// A setting is out of range or contradicts another.
    pub fn resolve(self) -> Result<Config, SettingsError> {
        let mut config = Config::new(self.database_path());
        config.resolve(&self)?;
        config.tls = TlsFiles::resolve(&self)?;
        config.logs.resolve(&self)?;
        config.blobs.resolve(&self)?;
        config.attachments.resolve(&self)?;
        config.turn.resolve(&self, config.listen.ip())?;
        config.calls.resolve(&self)?;
        config.tokens.resolve(&self)?;
        config.limits.resolve(&self)?;
        Ok(config)
    }
}

impl Config {
    fn resolve(&mut self, given: &Settings) -> Resolved {
        set(&mut self.listen, given.listen);
        set(&mut self.allow_plain_http, given.allow_plain_http);
        set(&mut self.clinic_name, given.clinic_name.clone());
        if self.clinic_name.trim().is_empty() {
            return Err(invalid("clinic_name", "must not be empty"));
        }
        self.archive_user = given.archive_user.as_ref().map(|login| login.trim().to_owned());
        if self.archive_user.as_deref() == Some("") {
            return Err(invalid(
                "archive_user",
                "must be a login; leave the setting out where there is no archive",
            ));
        }
        let retention = &mut self.message_retention;
        seconds(retention, "message_retention", given.message_retention, 86_400..=31_536_000)?;
        days(&mut self.quality_retention, "quality_retention_days", given.quality_retention_days, 1..=3650)
    }
}

impl TlsFiles {
    fn resolve(given: &Settings) -> Result<Option<Self>, SettingsError> {
        match (given.tls_cert.clone(), given.tls_key.clone()) {
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key })),
            (None, None) => Ok(None),
            _ => Err(invalid("tls_cert", "certificate and key go together: set tls_cert and tls_key")),
        }
    }
}

impl LogLimits {
    fn resolve(&mut self, given: &Settings) -> Resolved {
        mebibytes(&mut self.person_bytes, "log_quota", given.log_quota)?;
        mebibytes(&mut self.conversation_bytes, "conversation_quota", given.conversation_quota)?;
        if self.conversation_bytes <= self.person_bytes {
            return Err(invalid(
                "conversation_quota",
                "must be more than log_quota, or one person could fill it",
            ));
        }
        Ok(())
    }
}

impl BlobConfig {
    fn resolve(&mut self, given: &Settings) -> Resolved {
        let secret = secret("s3_secret", given.s3_secret.as_ref(), given.s3_secret_file.as_ref())?;
        match (given.s3_bucket.clone(), given.upload_folder.clone()) {
            (Some(_), Some(_)) => Err(invalid(
                "s3_bucket",
                "attachments go to a bucket or to a folder: leave upload_folder out",
            )),
            (Some(name), None) => {
                *self = BlobConfig::Bucket(Bucket::resolve(name, secret, given)?);
                Ok(())
            }
            (None, _) if given.s3_key.is_some() || secret.is_some() => {
                Err(invalid("s3_key", "is of no use without s3_bucket"))
            }
            (None, folder) => {
                set(self, folder.map(BlobConfig::Folder));
                Ok(())
            }
        }
    }
}

impl Bucket {
    fn resolve(name: String, secret: Option<Secret>, given: &Settings) -> Result<Self, SettingsError> {
        let (Some(key), Some(secret)) = (given.s3_key.clone(), secret) else {
            return Err(invalid("s3_bucket", "a bucket needs s3_key, and s3_secret or s3_secret_file"));
        };
        let endpoint = given.s3_endpoint.clone();
        let is_url = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        if endpoint.as_ref().is_some_and(|url| !is_url(url)) {
            return Err(invalid("s3_endpoint", "must be a URL that begins with https:// or http://"));
        }
        let region = given.s3_region.clone().unwrap_or_else(|| "us-east-1".to_owned());
        Ok(Self { name, region, key, secret, endpoint })
    }
}

impl AttachmentLimits {
    fn resolve(&mut self, given: &Settings) -> Resolved {
        mebibytes(&mut self.max_bytes, "attachment_max", given.attachment_max)?;
        self.max_bytes = self.max_bytes.min(MAX_ATTACHMENT_BYTES);
        mebibytes(&mut self.quota_bytes, "attachment_quota", given.attachment_quota)?;
        mebibytes(&mut self.storage_bytes, "attachment_storage", given.attachment_storage)?;
        let retention = &mut self.retention;
        seconds(retention, "attachment_retention", given.attachment_retention, 3600..=315_360_000)
    }
}

impl TurnConfig {
    fn resolve(&mut self, given: &Settings, listen: IpAddr) -> Resolved {
        set(&mut self.embedded, given.turn_embedded);
        self.listen.set_ip(listen);
        set(&mut self.listen, given.turn_listen);
        self.public_address = given.turn_public_address;
        if let Some(range) = &given.turn_relay_ports {
            self.relay_ports = port_range(range)?;
        }
        self.urls =
            urls(given.ice_servers.as_deref(), "ice_servers", &["stun:", "stuns:", "turn:", "turns:"])?;
        self.urls.extend(urls(given.turn_url.as_deref(), "turn_url", &["turn:", "turns:"])?);
        self.secret = secret("turn_secret", given.turn_secret.as_ref(), given.turn_secret_file.as_ref())?;
        self.account = match (given.turn_user.clone(), given.turn_pass.clone()) {
            (Some(user), Some(pass)) => Some((user, Secret::new(pass))),
            (None, None) => None,
            _ => {
                return Err(invalid(
                    "turn_user",
                    "name and password go together: set turn_user and turn_pass",
                ));
            }
        };
        seconds(
            &mut self.credential_lifetime,
            "turn_credential_lifetime",
            given.turn_credential_lifetime,
            60..=86_400,
        )?;
        self.check()
    }

    /// Whether clients can reach and use what they are told of.
    fn check(&self) -> Resolved {
        let foreign = self.urls.iter().any(|url| url.starts_with("turn"));
        if foreign && self.secret.is_none() && self.account.is_none() {
            return Err(invalid(
                "turn_url",
                "other TURN servers need turn_secret, or turn_user and turn_pass",
            ));
        }
        if self.embedded && self.account.is_some() {
            return Err(invalid(
                "turn_user",
                "the embedded service works with a shared secret; set turn_embedded = false or turn_secret",
            ));
        }
        if self.embedded && self.public_address.is_none() && self.listen.ip().is_unspecified() {
            return Err(invalid(
                "turn_public_address",
                "say under which address clients reach the embedded TURN service, or set turn_embedded = false",
            ));
        }
        Ok(())
    }
}

impl CallLimits {
    fn resolve(&mut self, given: &Settings) -> Resolved {
        seconds(&mut self.ring_timeout, "call_timeout", given.call_timeout, 5..=600)?;
        seconds(&mut self.max_duration, "max_call_duration", given.max_call_duration, 60..=86_400)?;
        seconds(&mut self.extension, "call_extension", given.call_extension, 60..=86_400)?;
        // The default never stands in the way of a longer call.
        self.max_extended = self.max_extended.max(self.max_duration);
        seconds(
            &mut self.max_extended,
            "max_extended_call_duration",
            given.max_extended_call_duration,
            self.max_duration.as_secs()..=86_400,
        )
    }
}

impl TokenLifetimes {
    fn resolve(&mut self, given: &Settings) -> Resolved {
        seconds(&mut self.access, "access_token_lifetime", given.access_token_lifetime, 30..=86_400)?;
        seconds(&mut self.refresh, "refresh_token_lifetime", given.refresh_token_lifetime, 600..=31_536_000)
    }
}

impl RateLimits {
    fn resolve(&mut self, given: &Settings) -> Resolved {
        for (target, setting, value) in [
            (&mut self.socket_per_second, "socket_rate", given.socket_rate),
            (&mut self.socket_burst, "socket_burst", given.socket_burst),
            (&mut self.rest_per_second, "rest_rate", given.rest_rate),
            (&mut self.rest_burst, "rest_burst", given.rest_burst),
            (&mut self.sign_in_attempts, "sign_in_attempts", given.sign_in_attempts),
            (
                &mut self.sign_in_attempts_per_address,
                "sign_in_attempts_per_address",
                given.sign_in_attempts_per_address,
            ),
            (&mut self.connections_per_address, "connections_per_address", given.connections_per_address),
        ] {
            count(target, setting, value)?;
        }
        Ok(())
    }
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn seconds(
    target: &mut Duration,
    setting: &'static str,
    value: Option<u64>,
    range: RangeInclusive<u64>,
) -> Result<(), SettingsError> {
    match value {
        Some(value) if !range.contains(&value) => {
            Err(invalid(setting, format!("must be {} to {} seconds", range.start(), range.end())))
        }
        value => {
            set(target, value.map(Duration::from_secs));
            Ok(())
        }
    }
}

fn days(
    target: &mut Duration,
    setting: &'static str,
    value: Option<u32>,
    range: RangeInclusive<u32>,
) -> Result<(), SettingsError> {
    match value {
        Some(value) if !range.contains(&value) => {
            Err(invalid(setting, format!("must be {} to {} days", range.start(), range.end())))
        }
        value => {
            set(target, value.map(|days| Duration::from_secs(u64::from(days) * 86_400)));
            Ok(())
        }
    }
}

fn count(target: &mut u32, setting: &'static str, value: Option<u32>) -> Result<(), SettingsError> {
    match value {
        Some(0) => Err(invalid(setting, "must be at least 1")),
        value => {
            set(target, value);
            Ok(())
        }
    }
}

fn port_range(text: &str) -> Result<(u16, u16), SettingsError> {
    let parsed = text.split_once('-').and_then(|(min, max)| {
        let range: (u16, u16) = (min.trim().parse().ok()?, max.trim().parse().ok()?);
        (range.0 > 0 && range.0 <= range.1).then_some(range)
    });
    parsed.ok_or_else(|| invalid("turn_relay_ports", "must be two ports like 49152-65535, the smaller first"))
}

fn urls(text: Option<&str>, setting: &'static str, schemes: &[&str]) -> Result<Vec<String>, SettingsError> {
    let urls: Vec<String> = text
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|url| !url.is_empty())
        .map(str::to_owned)
        .collect();
    match urls.iter().find(|url| !schemes.iter().any(|scheme| url.starts_with(scheme))) {
        Some(url) => Err(invalid(setting, format!("{url} does not begin with {}", schemes.join(" or ")))),
        None => Ok(urls),
    }
}

fn mebibytes(target: &mut u64, setting: &'static str, value: Option<u32>) -> Result<(), SettingsError> {
    match value {
        Some(0) => Err(invalid(setting, "must be at least 1")),
        value => {
            set(target, value.map(|mebibytes| u64::from(mebibytes) * 1024 * 1024));
            Ok(())
        }
    }
}

fn secret(
    setting: &'static str,
    given: Option<&String>,
    file: Option<&PathBuf>,
) -> Result<Option<Secret>, SettingsError> {
    let text = match (given, file) {
        (Some(_), Some(_)) => {
            return Err(invalid(setting, format!("is given twice: set either {setting} or {setting}_file")));
        }
        (None, None) => return Ok(None),
        (Some(text), None) => text.clone(),
        (None, Some(path)) => std::fs::read_to_string(path).map_err(|source| SettingsError::Secret {
            setting,
            path: path.display().to_string(),
            source,
        })?,
    };
    if text.trim().len() < 8 {
        return Err(invalid(setting, "must have at least 8 characters"));
    }
    Ok(Some(Secret::new(text.trim().to_owned())))
}

fn invalid(setting: &'static str, problem: impl Into<String>) -> SettingsError {
    SettingsError::Invalid { setting, problem: problem.into() }
}
