//! The OpenAPI 3.1 document, generated from the routes. `docs/openapi.json` is its snapshot.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bedside",
        description = "REST API of a Bedside server. Errors are RFC 9457 problem details with a stable `code`. \
                       Write routes take an `Idempotency-Key`: a retry with the same key gets the first answer."
    ),
    components(schemas(bedside_protocol::Problem, bedside_protocol::ErrorCode)),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Base;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The access token of /api/auth/sign-in or /api/auth/refresh."))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// What the document says besides the routes.
pub(crate) fn base() -> openapi::OpenApi {
    Base::openapi()
}

/// The document as served and printed: indented JSON with a newline at the end.
pub(crate) fn finish(document: openapi::OpenApi) -> String {
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// The document of all routes, for `bedside-server openapi` and the snapshot.
#[must_use]
pub fn document() -> String {
    finish(crate::routes::api().to_openapi())
}
