//! REST twins of the socket's presence messages.

use axum::extract::State;
use bedside_protocol::{UserId, rest::UpdatePresence, user::Presence};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    fault::Fault,
    rest::{Caller, Json, Path, Refused},
};

/// `/api/presence/*`.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(update)).routes(routes!(view))
}

/// Says how the asking device can be reached
///
/// Only a device with a socket counts as present: without one this changes nothing.
#[utoipa::path(post, path = "/presence/update", tag = "presence", operation_id = "update_presence",
    request_body = UpdatePresence,
    responses((status = 200, body = Presence), Refused<401>, Refused<422>))]
async fn update(
    State(app): State<App>,
    Caller(who): Caller,
    Json(update): Json<UpdatePresence>,
) -> Result<Json<Presence>, Fault> {
    Ok(Json(app.presence.update(&who, &update)?))
}

/// The presence of a contact, or one's own
#[utoipa::path(get, path = "/presence/{user_id}", tag = "presence", operation_id = "presence",
    params(("user_id" = UserId, Path, description = "Whose")),
    responses((status = 200, body = Presence), Refused<401>, Refused<404>))]
async fn view(
    State(app): State<App>,
    Caller(who): Caller,
    Path(user): Path<UserId>,
) -> Result<Json<Presence>, Fault> {
    Ok(Json(app.presence.view(who.user, user).await?))
}
