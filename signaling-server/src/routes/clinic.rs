//! What an app may know before anybody has signed in.

use axum::extract::State;
use bedside_protocol::{PROTOCOL_VERSIONS, rest::ClinicInfo};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    fault::Fault,
    rest::{Json, Visitor},
};

/// `/api/clinic`.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(clinic))
}

/// The clinic behind this address, for the sign-in screen
#[utoipa::path(get, path = "/clinic", tag = "clinic", operation_id = "clinic", security(()),
    responses((status = 200, body = ClinicInfo)))]
async fn clinic(State(app): State<App>, _: Visitor) -> Result<Json<ClinicInfo>, Fault> {
    // The sign-in screen works without; no conversation is created as long as the account is missing.
    let archive = app.directory.archive().await.unwrap_or_else(|fault| {
        // Logs what is the server's doing.
        fault.log();
        None
    });
    Ok(Json(ClinicInfo {
        name: app.config.clinic_name.clone(),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol_versions: PROTOCOL_VERSIONS.to_vec(),
        archive,
    }))
}
