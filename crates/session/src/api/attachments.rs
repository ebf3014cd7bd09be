//! Sealed files on the server: sent in parts, fetched from any place on.

use std::time::Duration;

use bedside_protocol::{
    AttachmentId,
    attachment::{Attachment, UploadPart},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::{
    Method,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RANGE},
};

use super::{Api, ApiError};

/// One part of a file on the slowest uplink that is worth waiting for: 8 MiB at 20 kbit/s.
const PART_TIMEOUT: Duration = Duration::from_secs(3600);

/// A whole file; silence is noticed long before by whoever reads it.
const CONTENT_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

impl Api {
    /// Sends one part of a sealed file; `content` is its `bytes` bytes in pieces of any size.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn upload_part(
        &self,
        part: &UploadPart,
        content: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
        bytes: u64,
    ) -> Result<Attachment, ApiError> {
        let description = serde_json::to_string(part).unwrap_or_default();
        let boundary = uuid::Uuid::new_v4().simple().to_string();
        let before = Bytes::from(format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"upload\"\r\nContent-Type: application/json\r\n\r\n\
             {description}\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"part\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        ));
        let after = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let length = before.len() as u64 + bytes + after.len() as u64;
        let once = |bytes| futures_util::stream::iter([Ok(bytes)]);
        let body = once(before).chain(content).chain(once(after));
        let request = self
            .authorised(Method::POST, "api/attachments/upload")
            .await?
            .timeout(PART_TIMEOUT)
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .header(CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(body));
        self.send(request).await
    }

    /// How far an attachment has come.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn attachment(&self, id: AttachmentId) -> Result<Attachment, ApiError> {
        self.send(self.authorised(Method::GET, &format!("api/attachments/{id}")).await?).await
    }

    /// The sealed bytes of an attachment from `from` on. The answer's body is still to be read; whoever reads it
    /// gives up when nothing comes.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn attachment_content(
        &self,
        id: AttachmentId,
        from: u64,
    ) -> Result<reqwest::Response, ApiError> {
        let request = self
            .authorised(Method::GET, &format!("api/attachments/{id}/content"))
            .await?
            .timeout(CONTENT_TIMEOUT)
            .header(RANGE, format!("bytes={from}-"));
        self.ask(request).await
    }

    /// Removes an attachment of one's own.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete_attachment(&self, id: AttachmentId) -> Result<(), ApiError> {
        self.done(self.authorised(Method::DELETE, &format!("api/attachments/{id}")).await?).await
    }
}
