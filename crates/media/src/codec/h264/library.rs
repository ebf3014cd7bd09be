//! Where the codec comes from: compiled in (feature `openh264-source`, the default), or Cisco's own binary
//! found on the user's machine (feature `openh264-cisco`), which alone carries Cisco's patent licence.

use openh264::OpenH264API;

use crate::codec::CodecError;

/// Environment variable naming Cisco's library file.
#[cfg(feature = "openh264-cisco")]
const LIBRARY_VARIABLE: &str = "BEDSIDE_OPENH264";

/// The library's entry points. Cisco's file is taken only if its digest is one of those that are known.
#[cfg(feature = "openh264-cisco")]
pub(super) fn load() -> Result<OpenH264API, CodecError> {
    let path = std::env::var_os(LIBRARY_VARIABLE)
        .ok_or_else(|| CodecError::Setup(format!("{LIBRARY_VARIABLE} does not name Cisco's library")))?;
    OpenH264API::from_blob_path(path).map_err(|error| CodecError::Setup(error.to_string()))
}

/// The library's entry points.
#[cfg(not(feature = "openh264-cisco"))]
#[expect(clippy::unnecessary_wraps, reason = "loading Cisco's library can fail")]
pub(super) fn load() -> Result<OpenH264API, CodecError> {
    Ok(OpenH264API::from_source())
}
