//! Reads what the server answers, no more of it than a server that means well sends.

use bedside_protocol::{ErrorCode, Problem};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::ApiError;

/// The longest answer that is read: a page of the longest entries, as base64.
const LONGEST_ANSWER_BYTES: usize = 160 * 1024 * 1024;

pub(super) async fn send<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, ApiError> {
    let response = request.send().await.map_err(transport)?;
    if !response.status().is_success() {
        return Err(problem_in(response).await);
    }
    read(response).await
}

/// An answer's content, if it is no longer than a server that means well makes it.
async fn read<T: DeserializeOwned>(mut response: Response) -> Result<T, ApiError> {
    let mut content = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if content.len() + chunk.len() > LONGEST_ANSWER_BYTES {
            return Err(ApiError::Unreadable(None));
        }
        content.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&content).map_err(|error| ApiError::Unreadable(Some(error)))
}

pub(super) async fn problem_in(response: Response) -> ApiError {
    let status = response.status();
    let problem = read::<Problem>(response).await.unwrap_or_else(|_| {
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
