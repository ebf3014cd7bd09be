//! What a message says about its file. It travels inside the conversation's sealed messages and nowhere else, as it
//! holds the key.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedside_e2ee::file::FileKey;
use bedside_protocol::{AttachmentId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

use super::{MAX_FILE_BYTES, TransferId, names, preview::MAX_PREVIEW_BYTES};

/// The longest media type.
const MAX_MEDIA_TYPE_BYTES: usize = 100;
/// What a file of no known type is (RFC 2046 §4.5.1).
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// A file as a message announces it. Reading one refuses what can't be, and makes the rest safe: the name is a name
/// and nothing more, the media type is one, the preview is short (its pixels are looked at when it is shown:
/// [`super::preview::shown`]). As JSON it is shorter than 24 KiB.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Announced")]
pub struct SharedFile {
    /// Its name, made safe.
    pub name: String,
    /// Bytes of content, at most [`MAX_FILE_BYTES`].
    pub bytes: u64,
    /// Its media type by the sender's word.
    pub media_type: String,
    /// What opens it.
    #[serde(serialize_with = "write_key")]
    pub key: FileKey,
    /// SHA-256 of the sealed bytes.
    #[serde(serialize_with = "write_base16")]
    pub sha256: [u8; 32],
    /// A small picture of it, PNG or JPEG, at most 10 KiB.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_preview")]
    pub preview: Option<Vec<u8>>,
    /// Where it is.
    pub source: FileSource,
}

/// Where a file is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FileSource {
    /// On the server.
    Attachment {
        /// Its id there.
        id: AttachmentId,
        /// When the server deletes it.
        expires_at: Timestamp,
    },
    /// On the sender's computer, for as long as the call lasts.
    Direct {
        /// How sender and receiver name it to each other.
        transfer: TransferId,
    },
}

impl std::fmt::Debug for SharedFile {
    /// Neither name nor key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<file, {} bytes>", self.bytes)
    }
}

/// A [`SharedFile`] as it came.
#[derive(Deserialize)]
struct Announced {
    name: String,
    bytes: u64,
    #[serde(default)]
    media_type: String,
    #[serde(deserialize_with = "read_key")]
    key: FileKey,
    #[serde(deserialize_with = "read_base16")]
    sha256: [u8; 32],
    #[serde(default, deserialize_with = "read_preview")]
    preview: Option<Vec<u8>>,
    source: FileSource,
}

impl TryFrom<Announced> for SharedFile {
    type Error = &'static str;

    fn try_from(announced: Announced) -> Result<Self, Self::Error> {
        if announced.bytes > MAX_FILE_BYTES {
            return Err("a file that is too long was announced");
        }
        let media_type = announced.media_type;
        Ok(Self {
            name: names::safe(&announced.name),
            bytes: announced.bytes,
            media_type: if is_media_type(&media_type) { media_type } else { UNKNOWN_TYPE.to_owned() },
            key: announced.key,
            sha256: announced.sha256,
            preview: announced.preview,
            source: announced.source,
        })
    }
}

/// `type/subtype` of the characters that RFC 6838 §4.2 permits, without parameters.
fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        let valid = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(valid)
    };
    text.len() <= MAX_MEDIA_TYPE_BYTES
        && text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

pub(super) fn write_key<S: Serializer>(key: &FileKey, serializer: S) -> Result<S::Ok, S::Error> {
    let text = Zeroizing::new(STANDARD.encode(key.export()));
    serializer.serialize_str(&text)
}

pub(super) fn read_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FileKey, D::Error> {
    let text = Zeroizing::new(String::deserialize(deserializer)?);
    let bytes = Zeroizing::new(STANDARD.decode(text.as_bytes()).map_err(|_| D::Error::custom("no base64"))?);
    FileKey::import(&bytes).map_err(|_| D::Error::custom("no file key"))
}

fn write_base16<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&base16(digest))
}

fn read_base16<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    from_base16(&text).ok_or_else(|| D::Error::custom("no SHA-256 in base16"))
}

#[expect(clippy::ref_option, reason = "the shape that serde calls")]
fn write_preview<S: Serializer>(preview: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    preview.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
}

fn read_preview<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let short = text.filter(|text| text.len() <= MAX_PREVIEW_BYTES * 4 / 3 + 4);
    Ok(short.and_then(|text| STANDARD.decode(text).ok()).filter(|bytes| bytes.len() <= MAX_PREVIEW_BYTES))
}

/// Lower-case base16 (RFC 4648 §8 allows either).
pub(super) fn base16(digest: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_base16(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let mut digest = [0; 32];
    if digits.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file() -> SharedFile {
        SharedFile {
            name: "\"ä\\".repeat(30),
            bytes: MAX_FILE_BYTES,
            media_type: "image/png".into(),
            key: FileKey::generate().unwrap(),
            sha256: [0xab; 32],
            preview: Some(vec![255; MAX_PREVIEW_BYTES]),
            source: FileSource::Attachment { id: AttachmentId::random(), expires_at: Timestamp(1) },
        }
    }

    #[test]
    fn it_survives_the_way_and_fits_into_a_message() {
        let json = serde_json::to_string(&file()).unwrap();
        assert!(json.len() < 24 * 1024, "{} bytes", json.len());
        let mut sent = file();
        sent.name = "scan.png".into();
        let read: SharedFile = serde_json::from_str(&serde_json::to_string(&sent).unwrap()).unwrap();
        assert_eq!((read.name, read.bytes, read.sha256), (sent.name, sent.bytes, sent.sha256));
        assert_eq!((read.preview, read.source), (sent.preview, sent.source));
        assert_eq!(read.key.export(), sent.key.export());
    }

    #[test]
    fn what_is_dangerous_in_it_is_made_safe_or_refused() {
        let mut json = serde_json::to_value(file()).unwrap();
        json["name"] = "../../.profile".into();
        json["media_type"] = "text/html; charset=\"<script>\"".into();
        json["preview"] = STANDARD.encode(vec![0; MAX_PREVIEW_BYTES + 1]).into();
        let read: SharedFile = serde_json::from_value(json.clone()).unwrap();
        assert_eq!((read.name.as_str(), read.media_type.as_str()), ("profile", UNKNOWN_TYPE));
        assert_eq!(read.preview, None);
        for (field, value) in [
            ("bytes", serde_json::json!(MAX_FILE_BYTES + 1)),
            ("key", serde_json::json!("AAAA")),
            ("sha256", serde_json::json!("ab")),
            ("source", serde_json::json!({"kind": "elsewhere"})),
        ] {
            let mut wrong = json.clone();
            wrong[field] = value;
            assert!(serde_json::from_value::<SharedFile>(wrong).is_err(), "{field}");
        }
    }

    #[test]
    fn printing_it_shows_neither_name_nor_key() {
        assert_eq!(format!("{:?}", file()), "<file, 2147483648 bytes>");
    }

    proptest! {
        #[test]
        fn a_digest_reads_as_it_was_written(digest: [u8; 32]) {
            prop_assert_eq!(from_base16(&base16(&digest)), Some(digest));
        }
    }
}
