//! The REST side of the line to the server: signing in, keeping the tokens fresh, fetching lists.
//!
//! Holds the access token in memory only and hands every rotated refresh token to the [`SecretStore`] before
//! it is used, so that a kill between two rotations does not sign anybody out.

mod address;
mod answer;
mod attachments;
mod delivery;
mod error;
#[cfg(test)]
pub(crate) mod testing;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bedside_protocol::{
    DeviceId, ErrorCode, Pii, Secret, Timestamp, UserId,
    call::CallRecord,
    quality::QualityMetrics,
    rest::{CallHistoryQuery, ClinicInfo, Page, RefreshRequest, SignInRequest, SignedIn},
    user::{Contact, DeviceInfo},
};
use reqwest::{
    Client, Method, RequestBuilder, Response, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

pub use self::error::{ApiError, failure_of};

use self::{
    address::{is_loopback, parse_address},
    answer::send,
};
use crate::secrets::{SecretError, SecretStore};

/// The name of the refresh token in the secret store.
const REFRESH_TOKEN: &str = "refresh-token";

/// How long signing in waits for the secret store, which may be asking for a password.
const STORE_PATIENCE: Duration = Duration::from_secs(8);

/// Refresh this long before the access token runs out, ms.
const REFRESH_AHEAD_MS: u64 = 60_000;
/// How long an access token is taken for good, ms, whatever this computer's clock makes of the server's: a token that is not
/// is found out by being refused.
const TAKEN_FOR_GOOD_MS: std::ops::RangeInclusive<u64> = 5 * 60_000..=60 * 60_000;

/// The tokens in force.
struct Tokens {
    access: Secret,
    /// Nothing where the access token is to be renewed before it is used.
    good: Option<Good>,
    refresh: Secret,
    /// Whose sign-in it is, and on which device; not known of one that an older version kept.
    whose: Option<(UserId, DeviceId)>,
}

/// How long an access token may be used. The server's clock says until when, and this computer's may be wrong or be set
/// meanwhile; what has passed since is the longer of what its two clocks tell, since one stands still while it sleeps.
struct Good {
    since: Instant,
    since_by_the_clock: Timestamp,
    for_ms: u64,
}

impl Good {
    fn until(expires_at: Timestamp) -> Self {
        let now = crate::clock::now();
        let left = expires_at.millis_since(now).saturating_sub(REFRESH_AHEAD_MS);
        let for_ms = left.clamp(*TAKEN_FOR_GOOD_MS.start(), *TAKEN_FOR_GOOD_MS.end());
        Self { since: Instant::now(), since_by_the_clock: now, for_ms }
    }

    fn is_over(&self) -> bool {
        let passed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        passed.max(crate::clock::now().millis_since(self.since_by_the_clock)) >= self.for_ms
    }
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

    /// Takes up the sign-in of an earlier run without asking the server; the first request that needs it does. False
    /// when there is none. `whose` it was is what the server has to say too.
    pub async fn recall(&self, whose: Option<(UserId, DeviceId)>) -> bool {
        let stored = self.with_secrets(|secrets| secrets.load(REFRESH_TOKEN)).await;
        let Some(refresh) = stored.flatten() else { return false };
        let access = Secret::new(String::new());
        *self.tokens.lock().await = Some(Tokens { access, good: None, refresh, whose });
        true
    }

    /// Has the server go on with the sign-in, and say whose it is.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::ends_sign_in`] tells whether the stored token is worthless now.
    pub async fn renew(&self) -> Result<SignedIn, ApiError> {
        let mut guard = self.tokens.lock().await;
        self.renew_with(&mut guard).await
    }

    /// Ends the sign-in on the server and here.
    pub async fn sign_out(&self) {
        let tokens = self.tokens.lock().await.take();
        // Here first: who closes the app now, or without a network, is not to be signed in at its next start.
        self.forget_stored().await;
        let Some(tokens) = tokens else { return };
        let access = if tokens.is_fresh() {
            tokens.access
        } else {
            match self.exchange(tokens.refresh).await {
                Ok(signed_in) => signed_in.access_token,
                Err(error) => return tracing::debug!(%error, "the server was not told of a sign-out"),
            }
        };
        let request = self.http.request(Method::POST, self.url("api/auth/sign-out"));
        if let Err(error) = request.header(AUTHORIZATION, bearer(&access)).send().await {
            tracing::debug!(error = %error.without_url(), "the server was not told of a sign-out");
        }
    }

    /// A valid access token, refreshed where it is about to run out.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn access_token(&self) -> Result<Secret, ApiError> {
        let mut guard = self.tokens.lock().await;
        let tokens = guard.as_ref().ok_or(ApiError::SignedOut)?;
        if tokens.is_fresh() {
            return Ok(tokens.access.clone());
        }
        Ok(self.renew_with(&mut guard).await?.access_token)
    }

    /// One attempt at a time: a token that is presented twice ends the sign-in.
    async fn renew_with(&self, tokens: &mut Option<Tokens>) -> Result<SignedIn, ApiError> {
        let present = tokens.as_ref().ok_or(ApiError::SignedOut)?;
        let renewed = self.refresh_with(present.refresh.clone(), present.whose).await;
        match &renewed {
            Ok(signed_in) => *tokens = Some(Tokens::from(signed_in)),
            Err(error) if error.ends_sign_in() => {
                *tokens = None;
                self.forget_stored().await;
            }
            Err(_) => {}
        }
        renewed
    }

    /// Forgets the access token, so that the next request refreshes: the server said it is no longer good.
    pub async fn expire_access_token(&self) {
        if let Some(tokens) = self.tokens.lock().await.as_mut() {
            tokens.good = None;
        }
    }

    /// Everybody this person may call.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn contacts(&self) -> Result<Vec<Contact>, ApiError> {
        self.all("api/contacts", delivery::AT_ONCE).await
    }

    /// A page of past calls.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn call_history(&self, query: &CallHistoryQuery) -> Result<Page<CallRecord>, ApiError> {
        self.send(self.authorised(Method::GET, "api/call-history").await?.query(query)).await
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
        self.done(self.authorised(Method::POST, &path).await?.json(batch)).await
    }

    async fn authorised(&self, method: Method, path: &str) -> Result<RequestBuilder, ApiError> {
        let token = self.access_token().await?;
        Ok(self.http.request(method, self.url(path)).header(AUTHORIZATION, bearer(&token)))
    }

    /// Sends a request, and once more with a new token where the server says that its own has run out: only the server
    /// knows its clock.
    async fn ask(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let again = request.try_clone();
        let response = request.send().await.map_err(answer::transport)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let refused = answer::problem_in(response).await;
        if !matches!(&refused, ApiError::Problem(problem) if problem.code == ErrorCode::TokenExpired) {
            return Err(refused);
        }
        let Some(again) = again else {
            // What it carries is read only once. The next one has a new token.
            self.expire_access_token().await;
            return Err(refused);
        };
        let mut again = again.build().map_err(answer::transport)?;
        let token = bearer(&self.token_instead_of(again.headers().get(AUTHORIZATION)).await?);
        again.headers_mut().insert(AUTHORIZATION, token);
        let response = self.http.execute(again).await.map_err(answer::transport)?;
        if response.status().is_success() { Ok(response) } else { Err(answer::problem_in(response).await) }
    }

    /// A token that is not the refused one. Of several requests that were refused together, the first renews it.
    async fn token_instead_of(&self, refused: Option<&HeaderValue>) -> Result<Secret, ApiError> {
        let mut guard = self.tokens.lock().await;
        let present = guard.as_ref().ok_or(ApiError::SignedOut)?;
        if refused.is_some_and(|refused| *refused != bearer(&present.access)) {
            return Ok(present.access.clone());
        }
        Ok(self.renew_with(&mut guard).await?.access_token)
    }

    /// Sends a request of somebody who is signed in.
    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ApiError> {
        Ok(self.send_up_to(request, answer::LONGEST_BYTES).await?.0)
    }

    /// As [`Api::send`], for longer answers; and how many bytes it was.
    async fn send_up_to<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        longest: usize,
    ) -> Result<(T, usize), ApiError> {
        answer::read(self.ask(request).await?, longest).await
    }

    /// Sends a request whose answer has no content.
    async fn done(&self, request: RequestBuilder) -> Result<(), ApiError> {
        self.ask(request).await.map(drop)
    }

    /// Going on with a sign-in makes nobody another person and no device another one.
    async fn refresh_with(
        &self,
        refresh_token: Secret,
        whose: Option<(UserId, DeviceId)>,
    ) -> Result<SignedIn, ApiError> {
        let signed_in = self.exchange(refresh_token).await?;
        if whose.is_some_and(|whose| whose != (signed_in.user.id, signed_in.device_id)) {
            tracing::error!("the server took this device for another one");
            return Err(ApiError::OtherDevice);
        }
        self.store(signed_in.refresh_token.clone()).await;
        Ok(signed_in)
    }

    async fn exchange(&self, refresh_token: Secret) -> Result<SignedIn, ApiError> {
        let body = RefreshRequest { refresh_token };
        send(self.http.request(Method::POST, self.url("api/auth/refresh")).json(&body)).await
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
    pub(crate) async fn with_secrets<T: Send + 'static>(
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

/// Presents an access token; what is logged of a request leaves it out. A token that no header can hold is presented
/// as none, and refused.
pub(crate) fn bearer(token: &Secret) -> HeaderValue {
    let words = Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut value = words.parse().unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}

impl Tokens {
    /// Whether the access token is good for a request that begins now.
    fn is_fresh(&self) -> bool {
        self.good.as_ref().is_some_and(|good| !good.is_over())
    }
}

impl From<&SignedIn> for Tokens {
    fn from(signed_in: &SignedIn) -> Self {
        Self {
            access: signed_in.access_token.clone(),
            good: Some(Good::until(signed_in.access_expires_at)),
            refresh: signed_in.refresh_token.clone(),
            whose: Some((signed_in.user.id, signed_in.device_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::IntoFuture as _, sync::atomic::AtomicUsize};

    use axum::{
        Json, Router,
        http::HeaderMap,
        response::IntoResponse,
        routing::{delete, post},
    };
    use bedside_protocol::Problem;

    use super::*;

    /// The clocks of app and server differ: only the server knows that the token is over.
    #[tokio::test]
    async fn requests_whose_token_the_server_says_is_over_are_made_again_with_one_new_token() {
        let renewals = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&renewals);
        let refresh = move || async move {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut signed_in = testing::sign_in().await;
            signed_in.access_token = Secret::new("newer".into());
            signed_in
        };
        let router: Router = testing::sign_in_route()
            .route("/api/auth/refresh", post(refresh))
            .route("/api/devices/{id}", delete(newer_only));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        let api = testing::signed_in(&address).await;
        // Not what this is about.
        api.tokens.lock().await.as_mut().unwrap().whose = None;
        let revoke = || api.revoke_device(DeviceId::random());
        let (one, two, three) = tokio::join!(revoke(), revoke(), revoke());
        for done in [one, two, three, revoke().await] {
            done.expect("it is made again");
        }
        assert_eq!(renewals.load(Ordering::Relaxed), 1);
    }

    async fn newer_only(headers: HeaderMap) -> axum::response::Response {
        if headers.get(AUTHORIZATION).is_some_and(|token| token == "Bearer newer") {
            return axum::http::StatusCode::NO_CONTENT.into_response();
        }
        let problem = Json(Problem::new(ErrorCode::TokenExpired));
        (axum::http::StatusCode::UNAUTHORIZED, problem).into_response()
    }

    #[test]
    fn a_token_is_taken_for_good_neither_for_ever_nor_not_at_all_when_the_clocks_differ() {
        let in_ms = |ms: i64| Timestamp(crate::clock::now().0 + ms);
        let minutes = |expires_at| Good::until(expires_at).for_ms / 60_000;
        assert_eq!(minutes(in_ms(11 * 60_000 + 5_000)), 10);
        assert_eq!(minutes(in_ms(-3_600_000)), 5, "this clock is an hour ahead");
        assert_eq!(minutes(in_ms(86_400_000)), 60, "this clock is a day behind");
        let mut good = Good::until(in_ms(600_000));
        assert!(!good.is_over());
        good.since_by_the_clock = in_ms(-86_400_000);
        assert!(good.is_over(), "the computer slept for a day");
    }

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
}
