//! Whom one may call.

use axum::extract::State;
use bedside_protocol::{rest::Page, user::Contact};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    fault::Fault,
    rest::{Caller, Json, Paging, Query, Refused},
};

/// `/api/contacts`.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(contacts))
}

/// Lists the people whom one may call, by name, with their presence
#[utoipa::path(get, path = "/contacts", tag = "users", operation_id = "contacts", params(Paging),
    responses((status = 200, body = Page<Contact>), Refused<401>))]
async fn contacts(
    State(app): State<App>,
    Caller(who): Caller,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Contact>>, Fault> {
    let range = paging.range()?;
    let (rows, total) = app.directory.contacts(who.user, range.offset, range.limit).await?;
    let with_presence = |row: crate::directory::ContactRow| {
        let mut presence = app.presence.snapshot(row.user.id);
        if presence.last_seen.is_none() {
            presence.last_seen = row.last_seen.at;
            presence.device_type = row.last_seen.device_type;
        }
        Contact { user: row.user, presence }
    };
    Ok(Json(range.page(rows.into_iter().map(with_presence).collect(), total)))
}
