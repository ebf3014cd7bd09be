//! Files on the server: sealed by their sender, stored in parts, fetched by range.

use serde::{Deserialize, Serialize};

use crate::{AttachmentId, CallId, ConversationId, EntryId, Timestamp};

/// Every part but the last has exactly this many bytes of the sealed file.
pub const PART_BYTES: u64 = 8 * 1024 * 1024;
/// The longest sealed file: 2 GiB of content and what sealing adds.
pub const MAX_ATTACHMENT_BYTES: u64 = 2 * 1024 * 1024 * 1024 + 1024 * 1024;

/// Who may fetch an attachment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AttachmentAccess {
    /// Its owner alone.
    Private,
    /// The participants of the call.
    SharedCall,
    /// The participants of the conversation.
    #[default]
    SharedConversation,
}

/// The first field (`upload`, JSON) of `POST /api/attachments/upload` (`multipart/form-data`); the second (`file`) holds
/// the bytes of one part. Parts come in order. After an interruption, `GET /api/attachments/{id}` says how many bytes
/// are there. A part that is there already is answered as if it were new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadPart {
    /// Chosen by the sender, the same for every part.
    pub id: AttachmentId,
    /// Where this part begins: a multiple of [`PART_BYTES`].
    pub offset: u64,
    /// Bytes of the whole sealed file.
    pub total_bytes: u64,
    /// SHA-256 of the whole sealed file, base16; compared when the last part has come. Absent before the last part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Who may fetch it.
    #[serde(default)]
    pub access_control: AttachmentAccess,
    /// The conversation it is shared in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// The call it is shared in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<CallId>,
    /// The message it is shared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<EntryId>,
    /// When it is to be deleted; at most, and if absent, as the server is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// An attachment: the answer to a part, and `GET /api/attachments/{id}`. Its content, once complete, is
/// `GET /api/attachments/{id}/content` with `Range` (RFC 9110 §14); `DELETE /api/attachments/{id}` removes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attachment {
    /// The attachment.
    pub id: AttachmentId,
    /// Bytes of the whole sealed file.
    pub total_bytes: u64,
    /// How many of them are here: the offset of the next part.
    pub received_bytes: u64,
    /// Whether all are here and the digest was right.
    pub complete: bool,
    /// SHA-256 of the whole sealed file, base16, once complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Who may fetch it.
    pub access_control: AttachmentAccess,
    /// When its first part came.
    pub uploaded_at: Timestamp,
    /// When it is deleted.
    pub expires_at: Timestamp,
}
