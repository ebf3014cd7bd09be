//! Opaque random tokens. The database holds only their SHA-256: a stolen copy of it opens nothing.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bedside_protocol::Secret;
use sha2::{Digest, Sha256};

/// A fresh token: 256 random bits, URL-safe base64.
#[must_use]
pub fn generate() -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// What is stored of a token. No salt: a token has 256 bits of entropy.
#[must_use]
pub fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
