//! `Idempotency-Key`: a write request that is sent again with the same key gets the answer of the first.
//!
//! The first answer is kept for a day. A key that comes back with another request is refused; one whose first
//! request still runs is told to wait. Requests without the header, and those of nobody, pass untouched. Nothing that opens
//! anything is kept: of a [`Ticket`] only which call it is for.

use std::time::Duration;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bedside_protocol::{CallId, ErrorCode, Problem, UserId, rest::CallTicket};
use sha2::{Digest, Sha256};
use sqlx::Row;

use crate::{
    app::App,
    clock,
    db::Database,
    fault::Fault,
    rest::{Caller, Json, bearer, unread},
};

const HEADER: &str = "idempotency-key";
const REPLAYED: &str = "idempotency-replayed";
const MAX_KEY_CHARS: usize = 200;
/// How long answers are kept, ms.
const KEEP_MS: i64 = 24 * 3600 * 1000;
/// A request that has not ended after this time, ms, died with its process.
const ABANDONED_MS: i64 = 60_000;
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The middleware.
pub(crate) async fn replay(State(app): State<App>, request: Request, next: Next) -> Response {
    let write = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !write || !request.headers().contains_key(HEADER) || knows_repetitions(request.uri().path()) {
        return next.run(request).await;
    }
    match once(app, request, next).await {
        Ok(response) => response,
        Err(fault) => fault.into_response(),
    }
}

/// Whether a route knows by itself what was sent before, or answers with tokens, which are not kept anywhere.
fn knows_repetitions(path: &str) -> bool {
    let Some(path) = path.strip_prefix("/api/") else { return false };
    path.starts_with("auth/")
        || path == "key-packages"
        || path == "attachments/upload"
        || (path.starts_with("messages/") && path.ends_with("/mark-read"))
        || (path.starts_with("conversations/")
            && ["/found", "/commits", "/send-message"].iter().any(|end| path.ends_with(end)))
}

async fn once(app: App, request: Request, next: Next) -> Result<Response, Fault> {
    let key = key_of(request.headers())?;
    let (mut parts, body) = request.into_parts();
    if bearer(&parts).is_none() {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    let Caller(who) = Caller::from_request_parts(&mut parts, &app).await?;
    let whole = Request::from_parts(parts.clone(), body);
    let body = Bytes::from_request(whole, &app).await.map_err(|rejection| unread(rejection.status()))?;
    let mut hasher = Sha256::new();
    for part in [parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), &body] {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    let hash = hasher.finalize().to_vec();
    match claim(&app.db, who.user, &key, &hash).await? {
        Claim::New => {}
        Claim::Answered { status, body } => return Ok(replayed(status, body)),
        Claim::Ticketed(call) => {
            let mut again = Json(app.calls.ticket(&who, call).await?).into_response();
            again.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            return Ok(again);
        }
    }
    // On a task of its own: a client that hangs up must not leave the request half done.
    let request = Request::from_parts(parts, Body::from(body));
    tokio::spawn(async move { settle(&app.db, who.user, &key, next.run(request).await).await })
        .await
        .map_err(|_| Fault::Internal("a request with an idempotency key was aborted"))?
}

fn key_of(headers: &HeaderMap) -> Result<String, Fault> {
    let key = headers.get(HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if key.is_empty() || key.len() > MAX_KEY_CHARS {
        let detail = format!("Idempotency-Key has 1 to {MAX_KEY_CHARS} visible ASCII characters.");
        return Err(Problem::new(ErrorCode::InvalidValue).with_detail(detail).into());
    }
    Ok(key.to_owned())
}

/// An answer that lets a device into a call.
pub(crate) struct Ticket(pub(crate) CallTicket);

/// Beside an answer: it is a ticket for this call.
#[derive(Clone, Copy)]
struct ForCall(CallId);

impl IntoResponse for Ticket {
    fn into_response(self) -> Response {
        let call = ForCall(self.0.call_id);
        (Extension(call), Json(self.0)).into_response()
    }
}

/// What became of a key so far.
enum Claim {
    /// Nothing: it is now this request's.
    New,
    /// Its request had this answer.
    Answered { status: StatusCode, body: Vec<u8> },
    /// Its request was answered with a ticket.
    Ticketed(CallId),
}

/// Reserves the key for this request, or gives what its first one was answered.
async fn claim(db: &Database, user: UserId, key: &str, hash: &[u8]) -> Result<Claim, Fault> {
    let now = clock::now();
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    let row = sqlx::query(
        "SELECT request_hash, created_at, status, body, call_id FROM idempotency_keys WHERE user_id = ?1 AND key = ?2",
    )
    .bind(user.0)
    .bind(key)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = row {
        if row.try_get::<Vec<u8>, _>("request_hash")? != hash {
            return Err(ErrorCode::IdempotencyConflict.into());
        }
        if let Some(status) = row.try_get::<Option<u16>, _>("status")? {
            if let Some(call) = row.try_get("call_id")? {
                return Ok(Claim::Ticketed(CallId(call)));
            }
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let body = row.try_get::<Option<Vec<u8>>, _>("body")?.unwrap_or_default();
            return Ok(Claim::Answered { status, body });
        }
        if row.try_get::<i64, _>("created_at")? > now.0 - ABANDONED_MS {
            return Err(Problem::new(ErrorCode::IdempotencyConflict)
                .with_detail("The first request with this key is still being served; try again in a moment.")
                .with_retry_after(1)
                .into());
        }
    }
    sqlx::query(
        "INSERT INTO idempotency_keys (user_id, key, request_hash, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET created_at = excluded.created_at",
    )
    .bind(user.0)
    .bind(key)
    .bind(hash)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Claim::New)
}

/// Keeps the answer, unless another try may bring a better one.
async fn settle(db: &Database, user: UserId, key: &str, response: Response) -> Result<Response, Fault> {
    let status = response.status();
    let passing = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED);
    if passing {
        sqlx::query("DELETE FROM idempotency_keys WHERE user_id = ?1 AND key = ?2")
            .bind(user.0)
            .bind(key)
            .execute(&db.write)
            .await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MAX_ANSWER_BYTES)
        .await
        .map_err(|_| Fault::Internal("an answer was too large to keep"))?;
    let call = parts.extensions.get::<ForCall>().map(|call| call.0.0);
    sqlx::query(
        "UPDATE idempotency_keys SET status = ?3, body = ?4, call_id = ?5 WHERE user_id = ?1 AND key = ?2",
    )
    .bind(user.0)
    .bind(key)
    .bind(status.as_u16())
    .bind(call.is_none().then(|| body.to_vec()))
    .bind(call)
    .execute(&db.write)
    .await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replayed(status: StatusCode, body: Vec<u8>) -> Response {
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// Forgets answers after a day.
///
/// # Errors
/// The database failed.
pub(crate) async fn sweep(db: &Database) -> Result<(), Fault> {
    sqlx::query("DELETE FROM idempotency_keys WHERE created_at <= ?1")
        .bind(clock::now().0 - KEEP_MS)
        .execute(&db.write)
        .await?;
    Ok(())
}

/// How often [`sweep`] is worth its while.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(600);
