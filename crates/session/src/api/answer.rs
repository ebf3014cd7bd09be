//! Reads what the server answers, no more of it than a server that means well sends.

use bedside_protocol::{ErrorCode, Problem};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::ApiError;

/// The longest answer that is read, bytes; problems and all that names no other limit.
pub(super) const LONGEST_BYTES: usize = 1024 * 1024;
/// The longest answer that holds sealed entries, welcomes or group information, as base64, bytes: a page of a log ends at
/// 8 MiB.
pub(super) const LONGEST_SEALED_BYTES: usize = 16 * 1024 * 1024;

/// Sends a request of somebody who is not signed in.
pub(super) async fn send<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, ApiError> {
    let response = request.send().await.map_err(transport)?;
    if !response.status().is_success() {
        return Err(problem_in(response).await);
    }
    Ok(read(response, LONGEST_BYTES).await?.0)
}

/// Puts `chunk` behind `content`. An answer may hold tokens: a buffer that has to grow is wiped when it is left.
fn append(content: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let length = content.len() + chunk.len();
    if length > content.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(length.max(2 * content.capacity())));
        larger.extend_from_slice(content);
        *content = larger;
    }
    content.extend_from_slice(chunk);
}

/// An answer's content and how many bytes it was, if it is no longer than a server that means well makes it.
pub(super) async fn read<T: DeserializeOwned>(
    mut response: Response,
    longest: usize,
) -> Result<(T, usize), ApiError> {
    let announced =
        response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    let mut content = Zeroizing::new(Vec::with_capacity(announced.min(longest)));
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if content.len() + chunk.len() > longest {
            return Err(ApiError::Unreadable(None));
        }
        append(&mut content, &chunk);
    }
    let value = serde_json::from_slice(&content).map_err(|error| ApiError::Unreadable(Some(error)))?;
    Ok((value, content.len()))
}

pub(super) async fn problem_in(response: Response) -> ApiError {
    let status = response.status();
    let read = read::<Problem>(response, LONGEST_BYTES).await;
    let problem = read.map(|(problem, _)| problem).unwrap_or_else(|_| {
        Problem::new(match status {
            StatusCode::UNAUTHORIZED => ErrorCode::NotSignedIn,
            StatusCode::FORBIDDEN => ErrorCode::Forbidden,
            StatusCode::NOT_FOUND => ErrorCode::NotFound,
            StatusCode::GONE => ErrorCode::Expired,
            StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
            StatusCode::RANGE_NOT_SATISFIABLE => ErrorCode::InvalidValue,
            StatusCode::INSUFFICIENT_STORAGE => ErrorCode::StorageFull,
            StatusCode::TOO_MANY_REQUESTS => ErrorCode::RateLimited,
            _ => ErrorCode::Internal,
        })
    });
    ApiError::Problem(Box::new(problem))
}

pub(super) fn transport(error: reqwest::Error) -> ApiError {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(current) = cause {
        if current
            .downcast_ref::<rustls::Error>()
            .is_some_and(|e| matches!(e, rustls::Error::InvalidCertificate(_)))
        {
            return ApiError::Untrusted(error);
        }
        cause = current.source();
    }
    ApiError::Unreachable(error)
}
