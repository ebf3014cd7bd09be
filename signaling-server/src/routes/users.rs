//! The account of who asks.

use axum::extract::State;
use bedside_protocol::user::UserProfile;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    fault::Fault,
    rest::{Caller, Json, Refused},
};

/// `/api/users/*`.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(me))
}

/// Who is signed in
#[utoipa::path(get, path = "/users/me", tag = "users", operation_id = "me",
    responses((status = 200, body = UserProfile), Refused<401>))]
async fn me(State(app): State<App>, Caller(who): Caller) -> Result<Json<UserProfile>, Fault> {
    Ok(Json(app.directory.profile(who.user).await?))
}
