//! Nobody in the middle: what keeps the server, and everybody on the way, from reading or changing what people say.
//!
//! | module | what it does | source |
//! | --- | --- | --- |
//! | [`identity`] | one Ed25519 key per installation, and what it signs | RFC 8032 |
//! | [`mls`] | groups of devices that share changing keys through a server they don't trust | RFC 9420 |
//! | [`check_code`] | emoji and digits that two people compare aloud | Discord's DAVE, RFC 9106 |
//! | [`sframe`] | one frame of media at a time | RFC 9605 |
//! | [`file`] | a stream of any length in chunks | STREAM, as in Hoang et al. 2015 |
//! | [`at_rest`] | small records on disk, and keys from a passphrase | XChaCha20-Poly1305, RFC 9106 |
//! | [`store`] | where group state lives, written whole or not at all | |
//!
//! The crate has no network, no runtime and no thread. It is told the time where time matters; `openmls` alone looks
//! at the system's clock, when it checks whether a key package has expired. Randomness comes from the operating system.
//! Bytes from a peer or the server never make it panic: each wrong input has its own answer.

pub mod at_rest;
pub mod check_code;
pub mod file;
pub mod identity;
pub mod mls;
pub mod sframe;
pub mod store;

mod entropy;

pub use entropy::EntropyError;
pub use identity::{DeviceIdentity, PublicIdentity};
