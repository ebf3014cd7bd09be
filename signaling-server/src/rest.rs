//! What all REST routes share: who is asking, bodies and parameters whose rejection is a problem, and problems
//! as responses (RFC 9457).

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request, rejection},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bedside_protocol::{ErrorCode, Problem, rest::Page};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{
    IntoResponses,
    openapi::{self, RefOr},
};

use crate::{app::App, fault::Fault, identity::Identity};

/// The largest body of a REST request, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Entries of a page when the client does not say.
const DEFAULT_PER_PAGE: u32 = 20;
/// The most entries of a page.
const MAX_PER_PAGE: u32 = 100;

/// The bearer of a valid access token, within its rate limit.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub Identity);

impl FromRequestParts<App> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(*caller);
        }
        let token = bearer(parts).ok_or_else(|| {
            Problem::new(ErrorCode::NotSignedIn)
                .with_detail("Send the access token as \"Authorization: Bearer …\".")
        })?;
        // Made-up tokens cost the address they come from. A right one is served whatever others there have spent.
        let address = address_of(parts)?;
        let who = match app.auth.identify(token).await {
            Err(refused @ Fault::Refused(_)) => {
                app.limits.check_address(address)?;
                return Err(refused);
            }
            identified => identified?,
        };
        app.limits.check_account(who.user)?;
        parts.extensions.insert(Caller(who));
        Ok(Caller(who))
    }
}

/// The address of somebody who is not signed in, within its rate limit.
#[derive(Clone, Copy, Debug)]
pub struct Visitor(pub IpAddr);

impl FromRequestParts<App> for Visitor {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let address = address_of(parts)?;
        app.limits.check_address(address)?;
        Ok(Visitor(address))
    }
}

fn address_of(parts: &Parts) -> Result<IpAddr, Fault> {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    Ok(info.ok_or(Fault::Internal("a connection without an address"))?.0.ip())
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

/// A JSON body, in and out.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(body_problem(&rejection).into()),
        }
    }
}

/// serde's words may quote the body, which may hold personal data: only line and column are passed on.
fn body_problem(rejection: &rejection::JsonRejection) -> Problem {
    use rejection::JsonRejection as R;
    match rejection {
        R::MissingJsonContentType(_) => Problem::new(ErrorCode::UnsupportedMediaType)
            .with_detail("Send the body as JSON, with \"Content-Type: application/json\"."),
        R::JsonDataError(_) => Problem::new(ErrorCode::InvalidValue)
            .with_detail("The body is JSON but does not have the shape that /api/openapi.json describes."),
        R::JsonSyntaxError(_) => {
            Problem::new(ErrorCode::MalformedMessage).with_detail("The body is not JSON.")
        }
        other => unread(other.status()),
    }
}

/// The problem for a body that did not come, not in time, or with more than [`MAX_BODY_BYTES`].
pub(crate) fn unread(status: StatusCode) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(ErrorCode::TooLarge)
            .with_detail(format!("A request may have {MAX_BODY_BYTES} bytes.")),
        _ => Problem::new(ErrorCode::MalformedMessage).with_detail("The body could not be read."),
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Parameters of the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(Problem::new(ErrorCode::NotFound)
                .with_detail("The path holds an id that is not a UUID.")
                .into()),
        }
    }
}

/// Parameters of the query string.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(_) => Err(Problem::new(ErrorCode::InvalidValue)
                .with_detail("A parameter of the query string is not valid; see /api/openapi.json.")
                .into()),
        }
    }
}

/// Which page of a list.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// From 1.
    #[param(minimum = 1)]
    pub page: Option<u32>,
    /// 1..=100; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    pub per_page: Option<u32>,
}

/// A checked [`Paging`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRange {
    page: u32,
    /// Entries at most.
    pub limit: u32,
    /// Entries to skip.
    pub offset: u64,
}

impl Paging {
    /// The entries to fetch.
    ///
    /// # Errors
    /// `invalid_value` when out of range.
    pub fn range(self) -> Result<PageRange, Fault> {
        let (page, limit) = (self.page.unwrap_or(1), self.per_page.unwrap_or(DEFAULT_PER_PAGE));
        if page == 0 || limit == 0 || limit > MAX_PER_PAGE {
            return Err(Problem::new(ErrorCode::InvalidValue)
                .with_detail("page counts from 1, per_page is 1 to 100.")
                .into());
        }
        Ok(PageRange { page, limit, offset: u64::from(page - 1) * u64::from(limit) })
    }
}

impl PageRange {
    /// The page made of `items`, out of `total`.
    #[must_use]
    pub fn page<T>(self, items: Vec<T>, total: u64) -> Page<T> {
        let pages = total.div_ceil(u64::from(self.limit));
        Page { items, total, pages, current_page: u64::from(self.page) }
    }
}

/// The media type of a [`Problem`] (RFC 9457).
const PROBLEM_JSON: &str = "application/problem+json";

/// In the description of a route: it may answer with this status and a [`Problem`].
pub(crate) struct Refused<const STATUS: u16>;

impl<const STATUS: u16> IntoResponses for Refused<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let content = openapi::Content::new(Some(openapi::Ref::from_schema_name("Problem")));
        let refusal = openapi::ResponseBuilder::new().content(PROBLEM_JSON, content).build();
        BTreeMap::from([(STATUS.to_string(), RefOr::T(refusal))])
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let problem = self.into_problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = problem.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_count_from_one_and_have_at_most_a_hundred_entries() {
        let range = Paging { page: Some(3), per_page: Some(50) }.range().unwrap();
        assert_eq!((range.offset, range.limit), (100, 50));
        let page = range.page(vec!["x"], 101);
        assert_eq!((page.pages, page.current_page, page.total), (3, 3, 101));
        for (page, per_page) in [(0, 1), (1, 0), (1, 101)] {
            assert!(Paging { page: Some(page), per_page: Some(per_page) }.range().is_err());
        }
        assert_eq!(Paging::default().range().unwrap().page(Vec::<()>::new(), 0).pages, 0);
    }
}
