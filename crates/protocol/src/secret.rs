//! Values that must not reach a log: personal data, sealed payloads, tokens.
//!
//! None of them has a `Display`; their `Debug` says what they are and never what they hold, in every build.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

/// Personal data: a name, an address. Prints as `<personal data>`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[serde(transparent)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Marks `value` as personal data.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for showing to a person who may see it or for storing; never for a log line.
    pub const fn reveal(&self) -> &T {
        &self.0
    }

    /// The value itself, under the same rule as [`Pii::reveal`].
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl Pii<String> {
    /// The longest name of somebody or something that is read from the wire, characters.
    const LONGEST_NAME: usize = 200;

    /// Reads a name: for `deserialize_with`. One that is too long for a person to read is cut.
    pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut name = String::deserialize(deserializer)?;
        if let Some((end, _)) = name.char_indices().nth(Self::LONGEST_NAME) {
            name.truncate(end);
            name.shrink_to_fit();
        }
        Ok(Self(name))
    }
}

impl From<&str> for Pii<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<personal data>")
    }
}

/// Bytes that only the peers can read. The server relays them; on the wire they are base64 (RFC 4648 §4).
#[derive(Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = Byte))]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<sealed, {} bytes>", self.0.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(|_| serde::de::Error::custom("not valid base64"))
    }
}

/// What [`Sealed`] bytes say once they are open, or before they are sealed. Wiped from memory when dropped; prints its
/// length only. In records it is base64 like them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Plaintext(pub Zeroizing<Vec<u8>>);

impl From<&[u8]> for Plaintext {
    fn from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<plaintext, {} bytes>", self.0.len())
    }
}

impl Serialize for Plaintext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for Plaintext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.as_bytes());
        bytes
            .map(|bytes| Self(Zeroizing::new(bytes)))
            .map_err(|_| serde::de::Error::custom("not valid base64"))
    }
}

/// A credential: password, token. Wiped from memory when dropped; prints as `<secret>`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = Password))]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes ownership of a credential.
    #[must_use]
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The credential, for the one place that presents or checks it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_private_is_printed() {
        let printed = format!(
            "{:?} {:?} {:?} {:?}",
            Pii::from("Ana Ruiz"),
            Sealed(b"v=0".to_vec()),
            Plaintext::from(&b"hello"[..]),
            Secret::new("hunter2".into())
        );
        assert_eq!(printed, "<personal data> <sealed, 3 bytes> <plaintext, 5 bytes> <secret>");
    }

    #[test]
    fn sealed_bytes_survive_json_and_garbage_is_refused() {
        let sealed = Sealed(vec![0, 255, 7]);
        let json = serde_json::to_string(&sealed).unwrap();
        assert_eq!(json, "\"AP8H\"");
        assert_eq!(serde_json::from_str::<Sealed>(&json).unwrap(), sealed);
        assert!(serde_json::from_str::<Sealed>("\"%%\"").is_err());
        let plain = Plaintext::from(&sealed.0[..]);
        assert_eq!(serde_json::to_string(&plain).unwrap(), json, "records of older versions are read");
        assert_eq!(serde_json::from_str::<Plaintext>(&json).unwrap(), plain);
    }
}
