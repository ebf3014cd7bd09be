//! What devices publish so that others can add them to groups.

use axum::extract::{DefaultBodyLimit, State};
use bedside_protocol::{
    UserId,
    conversation::{ClaimedKeyPackage, KeyPackagesLeft, MAX_KEY_PACKAGES, PublishKeyPackages},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    fault::Fault,
    key_packages::MAX_KEY_PACKAGE_BYTES,
    rest::{Caller, Json, Path, Refused},
};

/// Room for as many key packages as are taken at once, in base64.
const PUBLISH_BODY_BYTES: usize = (MAX_KEY_PACKAGES + 1) * (MAX_KEY_PACKAGE_BYTES / 3 * 4 + 16);

/// `/api/key-packages`, `/api/users/{user_id}/key-packages/claim`.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(publish, left))
        .layer(DefaultBodyLimit::max(PUBLISH_BODY_BYTES))
        .routes(routes!(claim))
}

/// Publishes key packages of the asking device
#[utoipa::path(put, path = "/key-packages", tag = "key packages", operation_id = "publish_key_packages",
    request_body = PublishKeyPackages,
    responses((status = 200, body = KeyPackagesLeft), Refused<401>, Refused<413>, Refused<422>))]
async fn publish(
    State(app): State<App>,
    Caller(who): Caller,
    Json(wish): Json<PublishKeyPackages>,
) -> Result<Json<KeyPackagesLeft>, Fault> {
    Ok(Json(app.key_packages.publish(&who, wish).await?))
}

/// How many key packages of the asking device are left
#[utoipa::path(get, path = "/key-packages", tag = "key packages", operation_id = "key_packages_left",
    responses((status = 200, body = KeyPackagesLeft), Refused<401>))]
async fn left(State(app): State<App>, Caller(who): Caller) -> Result<Json<KeyPackagesLeft>, Fault> {
    Ok(Json(app.key_packages.left(&who).await?))
}

/// Takes one key package of each signed-in device of a contact, or of one's own other devices
///
/// Each is handed out once, the one of last resort whenever a device has no other. Devices without any are left out.
#[utoipa::path(post, path = "/users/{user_id}/key-packages/claim", tag = "key packages",
    operation_id = "claim_key_packages",
    params(("user_id" = UserId, Path, description = "Whose")),
    responses((status = 200, body = Vec<ClaimedKeyPackage>), Refused<401>, Refused<404>, Refused<429>))]
async fn claim(
    State(app): State<App>,
    Caller(who): Caller,
    Path(user): Path<UserId>,
) -> Result<Json<Vec<ClaimedKeyPackage>>, Fault> {
    Ok(Json(app.key_packages.claim(&who, user).await?))
}
