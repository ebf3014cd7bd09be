//! For whoever watches the process: is it alive, and should it get requests?

use axum::{Router, extract::State, http::StatusCode, routing::get};

use crate::app::App;

/// `/healthz` and `/readyz`.
pub(crate) fn router() -> Router<App> {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready))
}

/// Ready while the database answers and the server is not being stopped.
async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    if !app.db.is_ready().await {
        return (StatusCode::SERVICE_UNAVAILABLE, "database\n");
    }
    (StatusCode::OK, "ready\n")
}
