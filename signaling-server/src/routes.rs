//! The HTTP surface: the REST API under `/api` with one module per area, the socket, and health.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use bedside_protocol::ErrorCode;
use utoipa_axum::router::OpenApiRouter;

pub mod attachments;
pub mod auth;
pub mod calls;
pub mod clinic;
pub mod contacts;
pub mod conversations;
pub mod devices;
pub mod health;
pub mod key_packages;
pub mod presence;
pub mod users;

use crate::{app::App, fault::Fault, idempotency, listener, openapi, rest::MAX_BODY_BYTES, socket};

/// Every documented route under `/api`.
pub(crate) fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::base()).nest(
        "/api",
        OpenApiRouter::new()
            .merge(auth::router())
            .merge(users::router())
            .merge(contacts::router())
            .merge(presence::router())
            .merge(clinic::router())
            .merge(calls::router())
            .merge(conversations::router())
            .merge(key_packages::router())
            .merge(devices::router())
            .merge(attachments::router()),
    )
}

/// The whole server as a router.
pub fn router(app: App) -> Router {
    let (api, document) = api().split_for_parts();
    let document = openapi::finish(document);
    let api = api
        .route(
            "/api/openapi.json",
            get(async move || ([(header::CONTENT_TYPE, "application/json")], document)),
        )
        .layer(middleware::from_fn_with_state(app.clone(), idempotency::replay))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(app.config.socket.body_within, listener::limit_bodies));
    api.route("/ws", get(socket::open))
        .merge(health::router())
        .fallback(async || Fault::from(ErrorCode::NotFound))
        .method_not_allowed_fallback(async || Fault::from(ErrorCode::MethodNotAllowed))
        .layer(middleware::map_response(harden))
        .with_state(app)
}

/// Answers hold personal data: no cache keeps them, no browser guesses their type.
async fn harden(response: Response) -> Response {
    let mut response = response.into_response();
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
