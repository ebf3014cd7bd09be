//! The REST side of the line to the server: signing in, keeping the tokens fresh, fetching lists.
//!
//! Holds the access token in memory only and hands every rotated refresh token to the [`SecretStore`] before
//! it is used, so that a kill between two rotations does not sign anybody out.

mod delivery;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bedside_protocol::{
    AttachmentId, ErrorCode, Pii, Problem, Secret, Timestamp,
    attachment::{Attachment, UploadPart},
    call::CallRecord,
    quality::QualityMetrics,
    rest::{CallHistoryQuery, ClinicInfo, Page, RefreshRequest, SignInRequest, SignedIn},
    user::{Contact, DeviceInfo},
};
use bedside_ui_contract::Failure;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RANGE},
};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::secrets::{SecretError, SecretStore};

/// The name of the refresh token in the secret store.
const REFRESH_TOKEN: &str = "refresh-token";

/// How long signing in waits for the secret store, which may be asking for a password.
const STORE_PATIENCE: Duration = Duration::from_secs(8);

/// One part of a file on the slowest uplink that is worth waiting for: 8 MiB at 20 kbit/s.
const PART_TIMEOUT: Duration = Duration::from_secs(3600);
/// A whole file; silence is noticed long before by whoever reads it.
const CONTENT_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Refresh this long before the access token runs out, ms.
const REFRESH_AHEAD_MS: u64 = 60_000;

/// The longest answer that is read: a page of the longest entries, as base64.
const LONGEST_ANSWER_BYTES: usize = 160 * 1024 * 1024;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address is not a web address, or plain http to another machine.
    #[error("the server address is not valid: write it like https://clinic.example")]
    BadAddress,
    /// No answer.
    #[error("the server can't be reached: check the network and the address")]
    Unreachable(#[source] reqwest::Error),
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted: ask the clinic's IT")]
    Untrusted(#[source] reqwest::Error),
    /// The server answered with a problem.
    #[error("the server refused: {}", .0.title)]
    Problem(Box<Problem>),
    /// The answer could not be read.
    #[error("the server's answer could not be read: the app may be too old")]
    Unreadable(#[source] Option<serde_json::Error>),
    /// Nobody is signed in.
    #[error("nobody is signed in")]
    SignedOut,
}

impl ApiError {
    /// What the window says about it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            ApiError::BadAddress => Failure::BadServerAddress,
            ApiError::Unreachable(_) => Failure::ServerUnreachable,
            ApiError::Untrusted(_) => Failure::UntrustedCertificate,
            ApiError::Unreadable(_) => Failure::UnsupportedVersion,
            ApiError::SignedOut => Failure::SignedOutElsewhere,
            ApiError::Problem(problem) => failure_of(problem.code),
        }
    }

    /// Whether the sign-in itself is over, as against a passing trouble.
    #[must_use]
    pub fn ends_sign_in(&self) -> bool {
        match self {
            ApiError::SignedOut => true,
            ApiError::Problem(problem) => matches!(
                problem.code,
                ErrorCode::NotSignedIn | ErrorCode::TokenExpired | ErrorCode::TokenReused
            ),
            ApiError::BadAddress
            | ApiError::Unreachable(_)
            | ApiError::Untrusted(_)
            | ApiError::Unreadable(_) => false,
        }
    }
}

/// What the window says about a server's error code.
#[must_use]
pub fn failure_of(code: ErrorCode) -> Failure {
    match code {
        ErrorCode::WrongCredentials => Failure::WrongCredentials,
        ErrorCode::RateLimited => Failure::TooManyAttempts,
        ErrorCode::UnsupportedVersion | ErrorCode::UnknownType => Failure::UnsupportedVersion,
        ErrorCode::NotSignedIn | ErrorCode::TokenExpired | ErrorCode::TokenReused => {
            Failure::SignedOutElsewhere
        }
        ErrorCode::NotAContact | ErrorCode::Forbidden | ErrorCode::NotFound => Failure::NotAContact,
        ErrorCode::AlreadyInCall => Failure::AlreadyInCall,
        ErrorCode::CallNotFound | ErrorCode::IllegalTransition | ErrorCode::AnsweredElsewhere => {
            Failure::CallGone
        }
        ErrorCode::MalformedMessage
        | ErrorCode::InvalidValue
        | ErrorCode::TooLarge
        | ErrorCode::HelloExpected
        | ErrorCode::MethodNotAllowed
        | ErrorCode::UnsupportedMediaType
        | ErrorCode::IdempotencyConflict
        | ErrorCode::SessionLost
        | ErrorCode::StaleEpoch
        | ErrorCode::GroupExists
        | ErrorCode::NoGroup
        | ErrorCode::Expired
        | ErrorCode::WrongOffset
        | ErrorCode::WrongDigest
        | ErrorCode::StorageFull
        | ErrorCode::ShuttingDown
        | ErrorCode::Internal
        | ErrorCode::Unknown => Failure::ServerTrouble,
    }
}

/// The tokens in force.
struct Tokens {
    access: Secret,
    expires_at: Timestamp,
    refresh: Secret,
}

/// A client of one clinic's server.
#[derive(Clone)]
pub struct Api {
    base: Url,
    http: Client,
    tokens: Arc<Mutex<Option<Tokens>>>,
    secrets: Arc<dyn SecretStore>,
    /// The newest refresh token could not be handed to the store.
    store_failed: Arc<AtomicBool>,
}

impl Api {
    /// A client for the server at `address`; a missing scheme means https, plain http is for loopback only.
    ///
    /// # Errors
    /// [`ApiError::BadAddress`].
    pub fn new(address: &str, secrets: Arc<dyn SecretStore>) -> Result<Self, ApiError> {
        let base = parse_address(address)?;
        crate::tls::install_provider();
        let http = Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(ApiError::Unreachable)?;
        Ok(Self { base, http, tokens: Arc::new(Mutex::new(None)), secrets, store_failed: Arc::default() })
    }

    /// The server's address in its normal form.
    #[must_use]
    pub fn address(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// Whether the server is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.base)
    }

    /// Whether the sign-in could not be kept, though it was meant to be.
    #[must_use]
    pub fn store_failed(&self) -> bool {
        self.store_failed.load(Ordering::Relaxed)
    }

    /// The socket's address.
    #[must_use]
    pub fn socket_url(&self) -> String {
        let scheme = if self.base.scheme() == "https" { "wss" } else { "ws" };
        let rest = self.address();
        let rest = rest.split_once("://").map_or("", |(_, rest)| rest);
        format!("{scheme}://{rest}/ws")
    }

    /// What the server says about itself to anybody.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn clinic(&self) -> Result<ClinicInfo, ApiError> {
        send(self.http.request(Method::GET, self.url("api/clinic"))).await
    }

    /// Signs in with a password.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn sign_in(
        &self,
        login: Pii<String>,
        password: Secret,
        device: DeviceInfo,
    ) -> Result<SignedIn, ApiError> {
        let body = SignInRequest { login, password, device };
        let signed_in: SignedIn =
            send(self.http.request(Method::POST, self.url("api/auth/sign-in")).json(&body)).await?;
        self.keep(&signed_in).await;
        Ok(signed_in)
    }

    /// Signs in with the refresh token of an earlier run. `Ok(None)` when there is none.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::ends_sign_in`] tells whether the stored token is worthless now.
    pub async fn restore(&self) -> Result<Option<SignedIn>, ApiError> {
        let stored = self.with_secrets(|secrets| secrets.load(REFRESH_TOKEN)).await;
        let Some(refresh) = stored.flatten() else { return Ok(None) };
        let mut tokens = self.tokens.lock().await;
        let signed_in = self.refresh_with(refresh).await;
        if signed_in.as_ref().is_err_and(ApiError::ends_sign_in) {
            self.forget_stored().await;
        }
        let signed_in = signed_in?;
        *tokens = Some(Tokens::from(&signed_in));
        Ok(Some(signed_in))
    }

    /// Ends the sign-in on the server and here.
    pub async fn sign_out(&self) {
        if let Ok(request) = self.authorised(Method::POST, "api/auth/sign-out").await {
            let _ = request.send().await;
        }
        *self.tokens.lock().await = None;
        self.forget_stored().await;
    }

    /// A valid access token, refreshed where it is about to run out.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn access_token(&self) -> Result<Secret, ApiError> {
        let mut guard = self.tokens.lock().await;
        let tokens = guard.as_ref().ok_or(ApiError::SignedOut)?;
        if tokens.expires_at.millis_since(crate::clock::now()) > REFRESH_AHEAD_MS {
            return Ok(tokens.access.clone());
        }
        match self.refresh_with(tokens.refresh.clone()).await {
            Ok(signed_in) => {
                *guard = Some(Tokens::from(&signed_in));
                Ok(signed_in.access_token)
            }
            Err(error) => {
                if error.ends_sign_in() {
                    *guard = None;
                    self.forget_stored().await;
                }
                Err(error)
            }
        }
    }

    /// Forgets the access token, so that the next request refreshes: the server said it is no longer good.
    pub async fn expire_access_token(&self) {
        if let Some(tokens) = self.tokens.lock().await.as_mut() {
            tokens.expires_at = Timestamp(0);
        }
    }

    /// Everybody this person may call.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn contacts(&self) -> Result<Vec<Contact>, ApiError> {
        self.all("api/contacts").await
    }

    /// A page of past calls.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn call_history(&self, query: &CallHistoryQuery) -> Result<Page<CallRecord>, ApiError> {
        send(self.authorised(Method::GET, "api/call-history").await?.query(query)).await
    }

    /// Hands in what was measured.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn post_quality(
        &self,
        call: bedside_protocol::CallId,
        batch: &[QualityMetrics],
    ) -> Result<(), ApiError> {
        let path = format!("api/calls/{call}/quality-metrics");
        delivery::done(self.authorised(Method::POST, &path).await?.json(batch)).await
    }

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
        send(request).await
    }

    /// How far an attachment has come.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn attachment(&self, id: AttachmentId) -> Result<Attachment, ApiError> {
        send(self.authorised(Method::GET, &format!("api/attachments/{id}")).await?).await
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
        let response = request.send().await.map_err(transport)?;
        if response.status().is_success() { Ok(response) } else { Err(problem_in(response).await) }
    }

    /// Removes an attachment of one's own.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete_attachment(&self, id: AttachmentId) -> Result<(), ApiError> {
        let request = self.authorised(Method::DELETE, &format!("api/attachments/{id}")).await?;
        let response = request.send().await.map_err(transport)?;
        if response.status().is_success() { Ok(()) } else { Err(problem_in(response).await) }
    }

    async fn authorised(&self, method: Method, path: &str) -> Result<RequestBuilder, ApiError> {
        let token = self.access_token().await?;
        Ok(self.http.request(method, self.url(path)).bearer_auth(token.expose()))
    }

    async fn refresh_with(&self, refresh_token: Secret) -> Result<SignedIn, ApiError> {
        let body = RefreshRequest { refresh_token };
        let signed_in: SignedIn =
            send(self.http.request(Method::POST, self.url("api/auth/refresh")).json(&body)).await?;
        self.store(signed_in.refresh_token.clone()).await;
        Ok(signed_in)
    }

    async fn keep(&self, signed_in: &SignedIn) {
        self.store(signed_in.refresh_token.clone()).await;
        *self.tokens.lock().await = Some(Tokens::from(signed_in));
    }

    async fn store(&self, refresh: Secret) {
        let saved = self.with_secrets(move |secrets| secrets.save(REFRESH_TOKEN, &refresh)).await;
        self.store_failed.store(saved.is_none(), Ordering::Relaxed);
    }

    async fn forget_stored(&self) {
        self.with_secrets(|secrets| secrets.delete(REFRESH_TOKEN)).await;
    }

    /// Works with the store on a thread that may block. `None` when the store refused or is not done in time: a
    /// keyring that asks its user for a password finishes later by itself.
    async fn with_secrets<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn SecretStore) -> Result<T, SecretError> + Send + 'static,
    ) -> Option<T> {
        let secrets = self.secrets.clone();
        let working = tokio::task::spawn_blocking(move || work(secrets.as_ref()));
        match tokio::time::timeout(STORE_PATIENCE, working).await {
            Ok(Ok(Ok(done))) => Some(done),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "a sign-in can't be kept here");
                None
            }
            Ok(Err(_)) => None,
            Err(_) => {
                tracing::warn!("the keyring takes long to answer; it may be locked");
                None
            }
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.address())
    }
}

impl From<&SignedIn> for Tokens {
    fn from(signed_in: &SignedIn) -> Self {
        Self {
            access: signed_in.access_token.clone(),
            expires_at: signed_in.access_expires_at,
            refresh: signed_in.refresh_token.clone(),
        }
    }
}

/// Reads a server address as people type it.
fn parse_address(address: &str) -> Result<Url, ApiError> {
    let address = address.trim();
    let full = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
    let url = Url::parse(&full).map_err(|_| ApiError::BadAddress)?;
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(ApiError::BadAddress),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

async fn send<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, ApiError> {
    let response = request.send().await.map_err(transport)?;
    if !response.status().is_success() {
        return Err(problem_in(response).await);
    }
    read(response).await
}

/// An answer's content, if it is no longer than a server that means well makes it.
async fn read<T: DeserializeOwned>(mut response: Response) -> Result<T, ApiError> {
    let mut content = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if content.len() + chunk.len() > LONGEST_ANSWER_BYTES {
            return Err(ApiError::Unreadable(None));
        }
        content.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&content).map_err(|error| ApiError::Unreadable(Some(error)))
}

async fn problem_in(response: Response) -> ApiError {
    let status = response.status();
    let problem = read::<Problem>(response).await.unwrap_or_else(|_| {
        Problem::new(match status {
            StatusCode::UNAUTHORIZED => ErrorCode::NotSignedIn,
            StatusCode::FORBIDDEN => ErrorCode::Forbidden,
            StatusCode::NOT_FOUND => ErrorCode::NotFound,
            StatusCode::GONE => ErrorCode::Expired,
            StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
            StatusCode::RANGE_NOT_SATISFIABLE => ErrorCode::InvalidValue,
            StatusCode::INSUFFICIENT_STORAGE => ErrorCode::StorageFull,
            StatusCode::TOO_MANY_REQUESTS => ErrorCode::RateLimited,
            _ => ErrorCode::Internal,
        })
    });
    ApiError::Problem(Box::new(problem))
}

fn transport(error: reqwest::Error) -> ApiError {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(current) = cause {
        if current
            .downcast_ref::<rustls::Error>()
            .is_some_and(|e| matches!(e, rustls::Error::InvalidCertificate(_)))
        {
            return ApiError::Untrusted(error);
        }
        cause = current.source();
    }
    ApiError::Unreachable(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_people_type_it() {
        let secrets: Arc<dyn SecretStore> = Arc::new(crate::secrets::MemoryStore::default());
        let api = Api::new(" clinic.example/ ", secrets.clone()).unwrap();
        assert_eq!(api.address(), "https://clinic.example");
        assert_eq!(api.socket_url(), "wss://clinic.example/ws");
        assert_eq!(
            Api::new("http://127.0.0.1:8080", secrets).unwrap().socket_url(),
            "ws://127.0.0.1:8080/ws"
        );
    }

    #[test]
    fn a_password_is_never_sent_in_the_clear_to_another_machine() {
        for address in ["http://clinic.example", "ftp://clinic.example", "", "https://", "http://127.example"]
        {
            assert!(parse_address(address).is_err(), "{address}");
        }
    }
}
