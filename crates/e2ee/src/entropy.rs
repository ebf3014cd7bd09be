//! Random bytes from the operating system.

use zeroize::Zeroizing;

/// The operating system gave no random bytes; nothing can be encrypted until it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system's random number generator does not answer")]
pub struct EntropyError;

/// Fresh random bytes for something public: a salt, a nonce.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], EntropyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| EntropyError)?;
    Ok(bytes)
}

/// Fresh random bytes for a key.
pub(crate) fn key<const N: usize>() -> Result<Zeroizing<[u8; N]>, EntropyError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| EntropyError)?;
    Ok(bytes)
}
