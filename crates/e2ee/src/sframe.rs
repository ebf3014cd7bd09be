//! Media, one frame at a time (RFC 9605), with keys from the MLS group (§5.2).
//!
//! For media that passes through anything but a relay. AES-128-GCM with SHA-256 (`AES_128_GCM_SHA256_128`), full tags.
//! The key id in each frame's header says which member in which epoch sealed it: the least significant byte is the
//! epoch's, the two above it are the sender's leaf. Every member derives every member's key, so a frame proves that a
//! member sealed it, and not which one (RFC 9605 §9.1: sender authentication); members are trusted that far.
//!
//! The cipher is the crate `sframe` over RustCrypto, as MLS is here: of its providers the one in Rust that has all cipher
//! suites of the RFC, so that all of the working group's vectors are run.

use std::collections::{HashMap, VecDeque};

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{crypto::OpenMlsCrypto as _, types::HashType};
use sframe::{
    CipherSuite,
    error::SframeError,
    frame::{
        EncryptedFrameView, MediaFrameView, MonotonicCounter,
        validation::{ReplayAttackProtectionStore, Tolerance},
    },
    header::KeyId,
    key::{DecryptionKey, EncryptionKey},
    mls::{MlsKeyId, MlsKeyIdBitRange},
};
use zeroize::Zeroizing;

/// What the MLS exporter is asked for (RFC 9605 §5.2); the context is the call's id, where the RFC has none.
pub const EXPORTER_LABEL: &str = "SFrame 1.0 Base Key";
/// Bytes of the exported secret: the cipher's key size.
pub const BASE_KEY_BYTES: usize = 16;
/// The largest frame that is sealed or opened: an uncompressed 4K keyframe would be larger, nothing encoded is.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

const SUITE: CipherSuite = CipherSuite::AesGcm128Sha256;
const EPOCH_BITS: u8 = 8;
const LEAF_BITS: u8 = 16;
/// Epochs whose frames still open: frames under way while the group changed.
const EPOCHS_KEPT: usize = 3;
/// Frames per sender and epoch that may arrive out of order; RTP reorders far less.
const REORDERING: usize = 1024;

/// Why a frame was not sealed or opened. A receiver drops it and goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No SFrame header, or shorter than its tag.
    #[error("this is no SFrame frame")]
    Malformed,
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("the frame is too large")]
    TooLarge,
    /// Sealed in an epoch that is past or not yet here, or by nobody of this group.
    #[error("there is no key for this frame")]
    NoKey,
    /// Damaged, forged, or sealed with another key.
    #[error("the frame does not open")]
    Unreadable,
    /// Opened before, or too old to tell.
    #[error("the frame was seen before")]
    Replayed,
    /// This epoch's counter has run out; a new epoch brings a new key.
    #[error("this key has sealed all it may")]
    Exhausted,
    /// A leaf or secret that can't be one.
    #[error("these keys can't be used for frames")]
    BadKey,
}

/// One epoch's secret of a group, exported from MLS. Erased from memory when dropped.
#[derive(Clone)]
pub struct EpochSecret {
    epoch: u64,
    base_key: Zeroizing<Vec<u8>>,
}

impl EpochSecret {
    /// What [`crate::mls::Device::frame_secret`] exported; `base_key` has [`BASE_KEY_BYTES`] bytes.
    ///
    /// # Errors
    /// [`FrameError::BadKey`] for another length.
    pub fn new(epoch: u64, base_key: Zeroizing<Vec<u8>>) -> Result<Self, FrameError> {
        if base_key.len() != BASE_KEY_BYTES {
            return Err(FrameError::BadKey);
        }
        Ok(Self { epoch, base_key })
    }

    /// The same epoch's secret for one use of it, which `context` names (HKDF, RFC 5869): whoever begins to count anew
    /// does so with a context that was never used before.
    ///
    /// # Errors
    /// [`FrameError::BadKey`] when it can't be derived.
    pub fn bound_to(&self, context: &[u8]) -> Result<Self, FrameError> {
        let (crypto, hash) = (RustCrypto::default(), HashType::Sha2_256);
        let derived = crypto
            .hkdf_extract(hash, &[], &self.base_key)
            .and_then(|prk| crypto.hkdf_expand(hash, prk.as_slice(), context, BASE_KEY_BYTES))
            .map_err(|_| FrameError::BadKey)?;
        Self::new(self.epoch, Zeroizing::new(derived.as_slice().to_vec()))
    }
}

impl std::fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EpochSecret").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

fn range() -> Result<MlsKeyIdBitRange, FrameError> {
    MlsKeyIdBitRange::try_new(EPOCH_BITS, LEAF_BITS).map_err(|_| FrameError::BadKey)
}

/// Key id of `leaf` in `epoch`. The context, above both, tells streams of one sender apart.
fn key_id(epoch: u64, leaf: u32, stream: u32) -> Result<KeyId, FrameError> {
    MlsKeyId::try_new(stream, epoch, leaf, range()?).map(KeyId::from).map_err(|_| FrameError::BadKey)
}

/// Seals what one device sends as one stream in one epoch.
///
/// There must be only one sealer per secret, leaf and stream: two would count alike, and a nonce used twice breaks the
/// cipher. That a call's id is new is the server's word: see [`EpochSecret::bound_to`].
pub struct FrameSealer {
    key: EncryptionKey,
    counter: MonotonicCounter,
}

impl FrameSealer {
    /// The sealer of the device at `leaf`, for its stream number `stream` (sound, camera, screen).
    ///
    /// # Errors
    /// [`FrameError::BadKey`] when `leaf` is above 65535.
    pub fn new(secret: &EpochSecret, leaf: u32, stream: u32) -> Result<Self, FrameError> {
        let id = key_id(secret.epoch, leaf, stream)?;
        let key = EncryptionKey::derive_from(SUITE, id, secret.base_key.as_slice())
            .map_err(|_| FrameError::BadKey)?;
        Ok(Self { key, counter: MonotonicCounter::default() })
    }

    /// Seals `frame` into `sealed`, which is emptied first: header (1 to 17 bytes), ciphertext, 16 bytes of tag.
    /// `metadata` travels beside the frame, in the clear, and must be the same at the receiver.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`], [`FrameError::Exhausted`].
    pub fn seal(&mut self, frame: &[u8], metadata: &[u8], sealed: &mut Vec<u8>) -> Result<(), FrameError> {
        sealed.clear();
        if frame.len() > MAX_FRAME_BYTES {
            return Err(FrameError::TooLarge);
        }
        let view = MediaFrameView::try_with_meta_data(&mut self.counter, frame, metadata)
            .map_err(|_| FrameError::Exhausted)?;
        view.encrypt_into(&self.key, sealed).map_err(|_| FrameError::Unreadable)?;
        // The library puts the metadata before the frame; it travels by itself.
        sealed.drain(..metadata.len());
        Ok(())
    }
}

impl std::fmt::Debug for FrameSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameSealer")
    }
}

/// One epoch at the receiver: the secret, and the keys whose frames have opened so far.
struct OpenEpoch {
    secret: EpochSecret,
    keys: HashMap<KeyId, DecryptionKey>,
    seen: ReplayAttackProtectionStore,
}

/// Where a frame came from, as far as its key tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameOrigin {
    /// The sender's leaf in the group.
    pub leaf: u32,
    /// Which of the sender's streams.
    pub stream: u64,
    /// The epoch in which it was sealed.
    pub epoch: u64,
}

/// Opens what the other members send, in the newest epoch and the two before it.
#[derive(Default)]
pub struct FrameOpener {
    /// Newest first.
    epochs: VecDeque<OpenEpoch>,
}

impl FrameOpener {
    /// From now on opens frames of this epoch too; the oldest of more than three is forgotten.
    ///
    /// # Errors
    /// [`FrameError::BadKey`] when the epoch is not newer than all before.
    pub fn enter(&mut self, secret: EpochSecret) -> Result<(), FrameError> {
        if self.epochs.front().is_some_and(|newest| newest.secret.epoch >= secret.epoch) {
            return Err(FrameError::BadKey);
        }
        let tolerance = Tolerance::try_new(REORDERING).map_err(|_| FrameError::BadKey)?;
        let seen = ReplayAttackProtectionStore::new(tolerance);
        self.epochs.push_front(OpenEpoch { secret, keys: HashMap::new(), seen });
        self.epochs.truncate(EPOCHS_KEPT);
        Ok(())
    }

    /// Opens `sealed` into `frame`, which is emptied first. `metadata` is what travelled beside the frame.
    ///
    /// # Errors
    /// One for each way to be wrong; nothing is remembered of a frame that did not open.
    pub fn open(
        &mut self,
        sealed: &[u8],
        metadata: &[u8],
        frame: &mut Vec<u8>,
    ) -> Result<FrameOrigin, FrameError> {
        frame.clear();
        if sealed.len() > MAX_FRAME_BYTES + 64 {
            return Err(FrameError::TooLarge);
        }
        let view =
            EncryptedFrameView::try_with_meta_data(sealed, metadata).map_err(|_| FrameError::Malformed)?;
        let id = view.header().key_id();
        let parts = MlsKeyId::from_key_id(id, range()?);
        let epoch = self
            .epochs
            .iter_mut()
            .find(|epoch| epoch.secret.epoch & ((1 << EPOCH_BITS) - 1) == parts.epoch_lsb())
            .ok_or(FrameError::NoKey)?;
        let derived = match epoch.keys.get(&id) {
            Some(_) => None,
            None => Some(
                DecryptionKey::derive_from(SUITE, id, epoch.secret.base_key.as_slice())
                    .map_err(|_| FrameError::BadKey)?,
            ),
        };
        let key = derived.as_ref().or_else(|| epoch.keys.get(&id)).ok_or(FrameError::NoKey)?;
        if let Err(error) = view.validated_decrypt_into(key, frame, &mut epoch.seen) {
            frame.clear();
            return Err(match error {
                SframeError::FrameValidationFailed(_) => FrameError::Replayed,
                SframeError::InvalidBuffer(_) => FrameError::Malformed,
                _ => FrameError::Unreadable,
            });
        }
        frame.drain(..metadata.len());
        if let Some(key) = derived {
            epoch.keys.insert(id, key);
        }
        let leaf = u32::try_from(parts.member_index()).map_err(|_| FrameError::BadKey)?;
        Ok(FrameOrigin { leaf, stream: parts.context_id(), epoch: epoch.secret.epoch })
    }
}

impl std::fmt::Debug for FrameOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameOpener")
    }
}

#[cfg(test)]
#[path = "sframe/tests.rs"]
mod tests;
