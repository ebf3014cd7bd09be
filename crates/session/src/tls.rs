//! One cryptography provider for the whole process.

/// Makes ring the process's rustls provider; later calls do nothing.
pub fn install_provider() {
    // An error means that somebody else has installed one already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
