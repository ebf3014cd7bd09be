//! Signing in and staying signed in.
//!
//! A sign-in is a family of tokens: short-lived access tokens and one refresh token at a time, exchanged for the
//! next pair. A refresh token that comes back a second time has been copied: the whole family ends, and with it
//! every socket that it opened.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bedside_call::rate::retry_after_s;
use bedside_protocol::{
    DeviceId, ErrorCode, Problem, Secret, SessionId, UserId,
    rest::{RefreshRequest, SignInRequest, SignInSession, SignedIn},
    socket::Event,
    user::DeviceInfo,
};
use tokio::time::Instant;

pub mod password;
mod store;
mod throttle;
pub mod token;

use self::{password::Passwords, store::SignInStore, throttle::Throttle};
use crate::{
    clock, config::Config, db::Database, directory::Directory, fault::Fault, hub::Hub, identity::Identity,
};

/// The longest login and device name accepted, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// Signs people in and out. Cheap to clone.
#[derive(Clone)]
pub struct AuthService(Arc<Shared>);

struct Shared {
    store: SignInStore,
    directory: Directory,
    hub: Hub,
    passwords: Passwords,
    throttles: Mutex<Throttles>,
}

struct Throttles {
    accounts: Throttle<Vec<u8>>,
    addresses: Throttle<IpAddr>,
}

impl AuthService {
    /// The service over `db`.
    #[must_use]
    pub fn new(config: &Config, db: Database, directory: Directory, hub: Hub) -> Self {
        Self(Arc::new(Shared {
            store: SignInStore::new(db, config.tokens),
            directory,
            hub,
            passwords: Passwords::new(config.passwords),
            throttles: Mutex::new(Throttles {
                accounts: Throttle::new(config.limits.sign_in_attempts),
                addresses: Throttle::new(config.limits.sign_in_attempts_per_address),
            }),
        }))
    }

    /// Checks login and password and begins a token family for the device.
    ///
    /// # Errors
    /// `wrong_credentials`, the same for an unknown login; `rate_limited` after too many attempts.
    pub async fn sign_in(&self, request: SignInRequest, from: IpAddr) -> Result<SignedIn, Fault> {
        check_length("login", request.login.reveal())?;
        check_length("device.name", request.device.name.reveal())?;
        if request.password.expose().len() > password::MAX_BYTES {
            return Err(ErrorCode::WrongCredentials.into());
        }
        // The login itself is personal data and of any length: only its digest is kept.
        let account_key = token::digest(&request.login.reveal().trim().to_lowercase());
        let address_key = network_of(from);
        self.count_attempt(&account_key, address_key)?;

        let account = self.0.store.account(request.login.reveal().trim()).await?;
        let phc = account.as_ref().map(|account| account.password_hash.clone());
        let right = self.0.passwords.verify(request.password, phc).await?;
        let Some(account) = account.filter(|_| right) else {
            tracing::info!("a sign-in was refused");
            return Err(ErrorCode::WrongCredentials.into());
        };
        {
            let mut throttles = self.throttles();
            throttles.accounts.forgive(&account_key);
            throttles.addresses.take_back(&address_key);
        }
        let user = self.0.directory.profile(account.id).await?;
        let begun = self.0.store.begin(&account, &request.device).await?;
        for ended in begun.replaced {
            self.0.hub.end_sign_in(ended);
        }
        if begun.is_new {
            self.0.hub.send_to_others(account.id, begun.device, &Event::DevicesChanged);
        }
        tracing::info!(user = %account.id, device = %begun.device, "signed in");
        Ok(begun.tokens.signed_in(user, begun.device))
    }

    /// Exchanges a refresh token for the next pair.
    ///
    /// # Errors
    /// `token_expired`; `token_reused` when it had been exchanged before and the pair it was exchanged for is in use,
    /// which ends the whole family.
    pub async fn refresh(&self, request: RefreshRequest) -> Result<SignedIn, Fault> {
        match self.0.store.rotate(request.refresh_token.expose()).await? {
            store::Rotation::Done { user, device, tokens } => {
                let profile = self.0.directory.profile(user).await.map_err(|fault| match fault {
                    // The account went away meanwhile.
                    Fault::Refused(_) => ErrorCode::TokenExpired.into(),
                    failed @ (Fault::Database(_) | Fault::Internal(_)) => failed,
                })?;
                Ok(tokens.signed_in(profile, device))
            }
            store::Rotation::Expired => Err(ErrorCode::TokenExpired.into()),
            store::Rotation::Reused { sign_in } => {
                tracing::warn!(%sign_in, "a refresh token was used twice; the sign-in was ended");
                self.0.hub.end_sign_in(sign_in);
                Err(Problem::new(ErrorCode::TokenReused)
                    .with_detail("Somebody else may have had a copy of this sign-in. Please sign in again.")
                    .into())
            }
        }
    }

    /// Who an access token belongs to.
    ///
    /// # Errors
    /// `token_expired` for one that has run out, was revoked or never existed.
    pub async fn identify(&self, access_token: &str) -> Result<Identity, Fault> {
        self.0.store.identity(access_token).await?.ok_or_else(|| ErrorCode::TokenExpired.into())
    }

    /// Ends the sign-in that asks.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sign_out(&self, who: &Identity) -> Result<(), Fault> {
        self.end(who.user, who.sign_in, "signed_out").await
    }

    /// The devices that are signed in as the one who asks, newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sessions(
        &self,
        who: &Identity,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<SignInSession>, u64), Fault> {
        self.0.store.sessions(who, offset, limit).await
    }

    /// Ends another sign-in of the same person.
    ///
    /// # Errors
    /// `not_found` when it is not theirs or is over.
    pub async fn revoke(&self, who: &Identity, sign_in: SessionId) -> Result<(), Fault> {
        self.end(who.user, sign_in, "revoked").await
    }

    /// Forgets what has run out.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sweep(&self) -> Result<(), Fault> {
        let now = Instant::now();
        {
            let mut throttles = self.throttles();
            throttles.accounts.sweep(now);
            throttles.addresses.sweep(now);
        }
        self.0.store.sweep(clock::now()).await
    }

    async fn end(&self, user: UserId, sign_in: SessionId, why: &'static str) -> Result<(), Fault> {
        if !self.0.store.revoke(user, sign_in, why).await? {
            return Err(ErrorCode::NotFound.into());
        }
        self.0.hub.end_sign_in(sign_in);
        Ok(())
    }

    fn count_attempt(&self, account: &[u8], address: IpAddr) -> Result<(), Fault> {
        let mut throttles = self.throttles();
        let now = Instant::now();
        let account = account.to_vec();
        let wait = throttles.accounts.wait(&account, now).max(throttles.addresses.wait(&address, now));
        if !wait.is_zero() {
            return Err(Problem::new(ErrorCode::RateLimited)
                .with_detail(
                    "Too many attempts to sign in. Please wait a moment, then check login and password.",
                )
                .with_retry_after(retry_after_s(wait))
                .into());
        }
        throttles.accounts.count(account, now);
        throttles.addresses.count(address, now);
        Ok(())
    }

    fn throttles(&self) -> MutexGuard<'_, Throttles> {
        self.0.throttles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pair of tokens as it leaves the server.
struct Tokens {
    access: Secret,
    access_expires_at: bedside_protocol::Timestamp,
    refresh: Secret,
}

impl Tokens {
    fn signed_in(self, user: bedside_protocol::user::UserProfile, device_id: DeviceId) -> SignedIn {
        SignedIn {
            access_token: self.access,
            access_expires_at: self.access_expires_at,
            refresh_token: self.refresh,
            user,
            device_id,
        }
    }
}

/// What counts as one address: a household has a whole IPv6 /64.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

fn check_length(field: &'static str, value: &str) -> Result<(), Fault> {
    if value.trim().is_empty() || value.len() > MAX_NAME_BYTES {
        let detail = format!("{field} must have 1 to {MAX_NAME_BYTES} bytes.");
        return Err(Problem::new(ErrorCode::InvalidValue).with_detail(detail).into());
    }
    Ok(())
}

/// The device as signed in, for the list of sessions.
fn device_info(id: DeviceId, name: String, device_type: &str) -> DeviceInfo {
    DeviceInfo {
        id: Some(id),
        name: bedside_protocol::Pii::new(name),
        device_type: crate::directory::parse_device_type(device_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_household_is_one_address_and_mapped_ipv4_is_itself() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:aaaa::1"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
