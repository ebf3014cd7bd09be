//! ICE servers for somebody, with credentials that soon run out.
//!
//! The TURN REST convention (draft-uberti-behave-turn-rest): the user name is `<expiry>:<account>`, the password
//! the base64 HMAC-SHA1 of it under a secret shared with the TURN server. No account is stored anywhere.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedside_protocol::{Secret, Timestamp, UserId, rest::IceServer};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::clock;

/// Hands out ICE servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct IceServers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `stun:…` needs no credentials.
    stun: Vec<String>,
    turn: Vec<String>,
    secret: Secret,
    account: Option<(String, Secret)>,
    lifetime: Duration,
}

impl IceServers {
    /// Servers at `urls` that share `secret`, or that know the fixed `account`.
    #[must_use]
    pub fn new(
        urls: &[String],
        secret: Secret,
        account: Option<(String, Secret)>,
        lifetime: Duration,
    ) -> Self {
        let is_stun = |url: &&String| url.starts_with("stun:") || url.starts_with("stuns:");
        Self(Arc::new(Inner {
            stun: urls.iter().filter(is_stun).cloned().collect(),
            turn: urls.iter().filter(|url| !is_stun(url)).cloned().collect(),
            secret,
            account,
            lifetime,
        }))
    }

    /// What `user` may use from now on.
    #[must_use]
    pub fn for_user(&self, user: UserId) -> Vec<IceServer> {
        let inner = &*self.0;
        let mut servers = Vec::new();
        if !inner.stun.is_empty() {
            servers.push(IceServer { urls: inner.stun.clone(), username: None, credential: None });
        }
        if !inner.turn.is_empty() {
            let (username, credential) = match &inner.account {
                Some(account) => account.clone(),
                None => credentials(&inner.secret, user, clock::now(), inner.lifetime),
            };
            let urls = inner.turn.clone();
            servers.push(IceServer { urls, username: Some(username), credential: Some(credential) });
        }
        servers
    }
}

/// User name and password for somebody from `now` on.
fn credentials(secret: &Secret, user: UserId, now: Timestamp, lifetime: Duration) -> (String, Secret) {
    let expiry = now.0 / 1000 + i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX / 2);
    let username = format!("{expiry}:{user}");
    let password = password_for(secret, &username);
    (username, password)
}

/// The password that goes with `username`.
pub(crate) fn password_for(secret: &Secret, username: &str) -> Secret {
    // HMAC takes a key of any length.
    let mac = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).map(|mut mac| {
        mac.update(username.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    });
    Secret::new(mac.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_follow_the_turn_rest_convention() {
        // Computed with: printf '1700000000:x' | openssl dgst -sha1 -hmac north -binary | base64
        let password = password_for(&Secret::new("north".into()), "1700000000:x");
        assert_eq!(password.expose(), EXPECTED);
        let user = UserId::random();
        let (username, _) =
            credentials(&Secret::default(), user, Timestamp(1_000_000), Duration::from_secs(60));
        assert_eq!(username, format!("1060:{user}"));
    }

    const EXPECTED: &str = "VfuvcFeO8Kni083/bCKUEsscHGw=";

    #[test]
    fn only_turn_urls_come_with_credentials() {
        let urls = ["stun:s:3478".to_owned(), "turn:t:3478?transport=udp".to_owned()];
        let servers = IceServers::new(&urls, Secret::new("k".into()), None, Duration::from_secs(60))
            .for_user(UserId::random());
        assert_eq!(servers.len(), 2);
        assert!(servers[0].credential.is_none());
        assert!(servers[1].credential.is_some());
    }
}
