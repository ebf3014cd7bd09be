//! Signing in, staying signed in, and ending sign-ins.

use axum::{extract::State, http::StatusCode};
use bedside_protocol::{
    SessionId,
    rest::{Page, RefreshRequest, SignInRequest, SignInSession, SignedIn},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    fault::Fault,
    rest::{Caller, Json, Paging, Path, Query, Refused, Visitor},
};

/// `/api/auth/*`.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sign_in))
        .routes(routes!(refresh))
        .routes(routes!(sign_out))
        .routes(routes!(sessions))
        .routes(routes!(revoke))
}

/// Signs a device in
#[utoipa::path(post, path = "/auth/sign-in", tag = "auth", operation_id = "sign_in", security(()),
    request_body = SignInRequest,
    responses((status = 200, body = SignedIn), Refused<401>, Refused<429>))]
async fn sign_in(
    State(app): State<App>,
    Visitor(address): Visitor,
    Json(request): Json<SignInRequest>,
) -> Result<Json<SignedIn>, Fault> {
    Ok(Json(app.auth.sign_in(request, address).await?))
}

/// Exchanges a refresh token for the next pair
///
/// Each refresh token works once. One that comes back has been copied and ends the whole sign-in.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", operation_id = "refresh", security(()),
    request_body = RefreshRequest,
    responses((status = 200, body = SignedIn), Refused<401>))]
async fn refresh(
    State(app): State<App>,
    _: Visitor,
    Json(request): Json<RefreshRequest>,
) -> Result<Json<SignedIn>, Fault> {
    Ok(Json(app.auth.refresh(request).await?))
}

/// Ends the sign-in that asks; its socket closes
#[utoipa::path(post, path = "/auth/sign-out", tag = "auth", operation_id = "sign_out",
    responses((status = 204), Refused<401>))]
async fn sign_out(State(app): State<App>, Caller(who): Caller) -> Result<StatusCode, Fault> {
    app.auth.sign_out(&who).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the devices that are signed in as the one who asks
#[utoipa::path(get, path = "/auth/sessions", tag = "auth", operation_id = "sessions", params(Paging),
    responses((status = 200, body = Page<SignInSession>), Refused<401>))]
async fn sessions(
    State(app): State<App>,
    Caller(who): Caller,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<SignInSession>>, Fault> {
    let range = paging.range()?;
    let (items, total) = app.auth.sessions(&who, range.offset, range.limit).await?;
    Ok(Json(range.page(items, total)))
}

/// Ends another sign-in of the same person; its socket closes
#[utoipa::path(delete, path = "/auth/sessions/{id}", tag = "auth", operation_id = "revoke_session",
    params(("id" = SessionId, Path, description = "From the list of sessions")),
    responses((status = 204), Refused<401>, Refused<404>))]
async fn revoke(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<SessionId>,
) -> Result<StatusCode, Fault> {
    app.auth.revoke(&who, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
