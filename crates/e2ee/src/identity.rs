//! Who a device is: one Ed25519 key (RFC 8032), made at first sign-in and kept in the system's keyring.
//!
//! A [`DeviceIdentity`] signs what the device says, its MLS messages first of all. A [`PublicIdentity`] is what others
//! know of it: which user and device it claims to be, and its key. The binding of key and person is proven by nobody
//! but the people themselves, who compare a [check code](crate::check_code). A device is revoked by removing it from
//! every group ([`crate::mls::Device::revoke`]); there is no other authority that could do it.

use bedside_protocol::{DeviceId, UserId, mls::Credential};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::entropy::{self, EntropyError};

/// Bytes of an exported identity: a credential and the secret key.
const EXPORT_BYTES: usize = Credential::BYTES + 32;
/// Begins every signature's input, so that none can pass for one of MLS (whose inputs begin with a length below 64).
const SIGNATURE_DOMAIN: &[u8] = b"Bedside 1 ";

/// Why an identity or a signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Bytes of the wrong length, of an unknown version, or a key that is no point of the curve or of small order.
    #[error("these bytes are no identity of this version")]
    Malformed,
    /// The signature is not by this identity, not for this purpose, or not of these bytes.
    #[error("the signature does not match")]
    WrongSignature,
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// What a signature is for. A signature for one purpose is invalid for every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A consent to be recorded.
    Consent,
    /// A device's claim on its keys, published with its key packages.
    DeviceClaim,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Consent => b"consent",
            Self::DeviceClaim => b"device claim",
        }
    }

    /// Domain, label with its length, message: no two purposes and messages share an input.
    fn input(self, message: &[u8]) -> Vec<u8> {
        let label = self.label();
        let mut input = Vec::with_capacity(SIGNATURE_DOMAIN.len() + 1 + label.len() + message.len());
        input.extend_from_slice(SIGNATURE_DOMAIN);
        input.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        input.extend_from_slice(label);
        input.extend_from_slice(message);
        input
    }
}

/// A device's identity with its secret key, which is erased from memory when this is dropped.
pub struct DeviceIdentity {
    public: PublicIdentity,
    key: SigningKey,
}

impl DeviceIdentity {
    /// A new identity for `device` of `user`.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate(user: UserId, device: DeviceId) -> Result<Self, IdentityError> {
        Ok(Self::new(user, device, SigningKey::from_bytes(&*entropy::key()?)))
    }

    fn new(user: UserId, device: DeviceId, key: SigningKey) -> Self {
        let public = PublicIdentity { user, device, key: key.verifying_key().to_bytes() };
        Self { public, key }
    }

    /// What others may know.
    #[must_use]
    pub const fn public(&self) -> PublicIdentity {
        self.public
    }

    /// Signs `message` for one purpose. Ed25519 signatures are deterministic; 64 bytes.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> [u8; 64] {
        self.key.sign(&purpose.input(message)).to_bytes()
    }

    /// The whole identity as 65 bytes, for a secret store and for nothing else.
    #[must_use]
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(EXPORT_BYTES));
        bytes.extend_from_slice(&self.public.credential());
        bytes.extend_from_slice(self.key.as_bytes());
        bytes
    }

    /// What [`export`](Self::export) wrote.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] for anything else.
    pub fn import(bytes: &[u8]) -> Result<Self, IdentityError> {
        let (credential, secret) =
            bytes.split_at_checked(Credential::BYTES).ok_or(IdentityError::Malformed)?;
        let Credential { user, device } =
            Credential::from_bytes(credential).ok_or(IdentityError::Malformed)?;
        let secret: &[u8; 32] = secret.try_into().map_err(|_| IdentityError::Malformed)?;
        Ok(Self::new(user, device, SigningKey::from_bytes(secret)))
    }
}

impl std::fmt::Debug for DeviceIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceIdentity").field("public", &self.public).finish_non_exhaustive()
    }
}

/// MLS signs with the same key; its inputs begin with a label of their own (RFC 9420 §5.1.2).
impl openmls_traits::signatures::Signer for DeviceIdentity {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, openmls_traits::signatures::SignerError> {
        Ok(self.key.sign(payload).to_bytes().to_vec())
    }

    fn signature_scheme(&self) -> openmls_traits::types::SignatureScheme {
        openmls_traits::types::SignatureScheme::ED25519
    }
}

/// What others know of a device: whom it claims to belong to, and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PublicIdentity {
    /// Whose device it says it is.
    pub user: UserId,
    /// Which of their devices.
    pub device: DeviceId,
    /// Its Ed25519 public key.
    pub key: [u8; 32],
}

impl PublicIdentity {
    /// Reads a credential (as in an MLS leaf) and the key beside it.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] when either is none, or the key is one that anybody could sign for.
    pub fn from_parts(credential: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let Credential { user, device } =
            Credential::from_bytes(credential).ok_or(IdentityError::Malformed)?;
        let key: [u8; 32] = key.try_into().map_err(|_| IdentityError::Malformed)?;
        let point = VerifyingKey::from_bytes(&key).map_err(|_| IdentityError::Malformed)?;
        if point.is_weak() {
            return Err(IdentityError::Malformed);
        }
        Ok(Self { user, device, key })
    }

    /// The MLS basic credential's content.
    #[must_use]
    pub fn credential(&self) -> [u8; Credential::BYTES] {
        Credential { user: self.user, device: self.device }.to_bytes()
    }

    /// SHA-256 over credential and key: two identities that differ in anything have different fingerprints.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(b"Bedside 1 identity fingerprint")
            .chain_update(self.credential())
            .chain_update(self.key)
            .finalize()
            .into()
    }

    /// Whether this identity signed `message` for `purpose`. Strict: one signature has one encoding (RFC 8032 §5.1.7).
    ///
    /// # Errors
    /// [`IdentityError::WrongSignature`] when not, [`IdentityError::Malformed`] when the key is no key.
    pub fn verify(&self, purpose: Purpose, message: &[u8], signature: &[u8]) -> Result<(), IdentityError> {
        let key = VerifyingKey::from_bytes(&self.key).map_err(|_| IdentityError::Malformed)?;
        let signature =
            ed25519_dalek::Signature::from_slice(signature).map_err(|_| IdentityError::WrongSignature)?;
        key.verify_strict(&purpose.input(message), &signature).map_err(|_| IdentityError::WrongSignature)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn someone() -> DeviceIdentity {
        DeviceIdentity::generate(UserId::random(), DeviceId::random()).unwrap()
    }

    #[test]
    fn an_exported_identity_comes_back_and_signs_the_same() {
        let before = someone();
        let after = DeviceIdentity::import(&before.export()).unwrap();
        assert_eq!(before.public(), after.public());
        assert_eq!(before.sign(Purpose::Consent, b"yes"), after.sign(Purpose::Consent, b"yes"));
    }

    #[test]
    fn a_signature_holds_for_its_purpose_message_and_signer_only() {
        let (ana, ben) = (someone(), someone());
        let signature = ana.sign(Purpose::Consent, b"yes");
        let verify = |who: &DeviceIdentity, purpose, message: &[u8], signature: &[u8]| {
            who.public().verify(purpose, message, signature)
        };
        assert_eq!(verify(&ana, Purpose::Consent, b"yes", &signature), Ok(()));
        let wrong = Err(IdentityError::WrongSignature);
        assert_eq!(verify(&ana, Purpose::DeviceClaim, b"yes", &signature), wrong);
        assert_eq!(verify(&ana, Purpose::Consent, b"no", &signature), wrong);
        assert_eq!(verify(&ben, Purpose::Consent, b"yes", &signature), wrong);
        assert_eq!(verify(&ana, Purpose::Consent, b"yes", &signature[..63]), wrong);
    }

    #[test]
    fn a_key_that_anybody_could_sign_for_is_refused() {
        let mut identity_element = [0; 32];
        identity_element[0] = 1;
        let credential = someone().public().credential();
        assert_eq!(PublicIdentity::from_parts(&credential, &identity_element), Err(IdentityError::Malformed));
    }

    #[test]
    fn a_fingerprint_covers_user_device_and_key() {
        let one = someone().public();
        for other in [
            PublicIdentity { user: UserId::random(), ..one },
            PublicIdentity { device: DeviceId::random(), ..one },
            PublicIdentity { key: someone().public().key, ..one },
        ] {
            assert_ne!(one.fingerprint(), other.fingerprint());
        }
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let identity = someone();
        let shown = format!("{identity:?}");
        let secret = format!("{:?}", identity.key.as_bytes());
        assert!(!shown.contains(secret.trim_matches(['[', ']'])));
    }

    proptest! {
        #[test]
        fn random_bytes_are_no_identity(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if bytes.len() != EXPORT_BYTES || bytes[0] != 1 {
                prop_assert!(DeviceIdentity::import(&bytes).is_err());
            }
            if bytes.len() != Credential::BYTES || bytes[0] != 1 {
                prop_assert!(PublicIdentity::from_parts(&bytes, &bytes).is_err());
            }
            prop_assert!(someone().public().verify(Purpose::Consent, b"yes", &bytes).is_err());
        }
    }
}
