//! One's own devices.

use axum::{extract::State, http::StatusCode};
use bedside_protocol::{
    DeviceId,
    conversation::{OwnDevice, RenameDevice},
    rest::Page,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    fault::Fault,
    rest::{Caller, Json, Paging, Path, Query, Refused},
};

/// `/api/devices*`.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(devices)).routes(routes!(rename, revoke))
}

/// Lists one's own devices, the newest first
#[utoipa::path(get, path = "/devices", tag = "devices", operation_id = "devices", params(Paging),
    responses((status = 200, body = Page<OwnDevice>), Refused<401>))]
async fn devices(
    State(app): State<App>,
    Caller(who): Caller,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<OwnDevice>>, Fault> {
    let range = paging.range()?;
    let (items, total) = app.devices.list(&who, range.offset, range.limit).await?;
    Ok(Json(range.page(items, total)))
}

/// Names one of one's own devices
#[utoipa::path(patch, path = "/devices/{id}", tag = "devices", operation_id = "rename_device",
    params(("id" = DeviceId, Path, description = "Which")), request_body = RenameDevice,
    responses((status = 200, body = OwnDevice), Refused<401>, Refused<404>, Refused<422>))]
async fn rename(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<DeviceId>,
    Json(wish): Json<RenameDevice>,
) -> Result<Json<OwnDevice>, Fault> {
    Ok(Json(app.devices.rename(&who, id, &wish.name).await?))
}

/// Revokes one of one's own devices: its sign-ins end, and it never comes back
#[utoipa::path(delete, path = "/devices/{id}", tag = "devices", operation_id = "revoke_device",
    params(("id" = DeviceId, Path, description = "Which")),
    responses((status = 204), Refused<401>, Refused<404>))]
async fn revoke(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<DeviceId>,
) -> Result<StatusCode, Fault> {
    app.devices.revoke(&who, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
