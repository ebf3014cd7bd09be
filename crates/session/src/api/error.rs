//! Why a request failed, and what the window says about it.

use bedside_protocol::{ErrorCode, Problem};
use bedside_ui_contract::Failure;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address is not a web address, or plain http to another machine.
    #[error("the server address is not valid: write it like https://clinic.example")]
    BadAddress,
    /// No answer.
    #[error("the server can't be reached: check the network and the address")]
    Unreachable(#[source] reqwest::Error),
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted: ask the clinic's IT")]
    Untrusted(#[source] reqwest::Error),
    /// The server answered with a problem.
    #[error("the server refused: {}", .0.title)]
    Problem(Box<Problem>),
    /// The answer could not be read.
    #[error("the server's answer could not be read: the app may be too old")]
    Unreadable(#[source] Option<serde_json::Error>),
    /// Nobody is signed in.
    #[error("nobody is signed in")]
    SignedOut,
    /// The server goes on with the sign-in as if it were another device's, or another person's.
    #[error("the server took this device for another one: nothing was opened for it")]
    OtherDevice,
}

impl ApiError {
    /// What the window says about it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            ApiError::BadAddress => Failure::BadServerAddress,
            ApiError::Unreachable(_) => Failure::ServerUnreachable,
            ApiError::Untrusted(_) => Failure::UntrustedCertificate,
            ApiError::Unreadable(_) => Failure::UnsupportedVersion,
            ApiError::SignedOut => Failure::SignedOutElsewhere,
            ApiError::OtherDevice => Failure::OtherDevice,
            ApiError::Problem(problem) => failure_of(problem.code),
        }
    }

    /// What the window says about it to somebody who is signed in: there is no address in sight to check.
    #[must_use]
    pub fn failure_when_signed_in(&self) -> Failure {
        match self.failure() {
            Failure::ServerUnreachable => Failure::ClinicAway,
            failure => failure,
        }
    }

    /// Whether the same may be taken later: the server is away or has a problem of its own.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            ApiError::Unreachable(_) => true,
            ApiError::Problem(problem) => problem.status >= 500 || problem.code == ErrorCode::RateLimited,
            ApiError::BadAddress
            | ApiError::Untrusted(_)
            | ApiError::Unreadable(_)
            | ApiError::SignedOut
            | ApiError::OtherDevice => false,
        }
    }

    /// Whether the sign-in itself is over, as against a passing trouble.
    #[must_use]
    pub fn ends_sign_in(&self) -> bool {
        match self {
            ApiError::SignedOut | ApiError::OtherDevice => true,
            ApiError::Problem(problem) => matches!(
                problem.code,
                ErrorCode::NotSignedIn | ErrorCode::TokenExpired | ErrorCode::TokenReused
            ),
            ApiError::BadAddress
            | ApiError::Unreachable(_)
            | ApiError::Untrusted(_)
            | ApiError::Unreadable(_) => false,
        }
    }
}

/// What the window says about a server's error code.
#[must_use]
pub fn failure_of(code: ErrorCode) -> Failure {
    match code {
        ErrorCode::WrongCredentials => Failure::WrongCredentials,
        ErrorCode::RateLimited => Failure::TooManyAttempts,
        ErrorCode::UnsupportedVersion | ErrorCode::UnknownType => Failure::UnsupportedVersion,
        ErrorCode::NotSignedIn | ErrorCode::TokenExpired | ErrorCode::TokenReused => {
            Failure::SignedOutElsewhere
        }
        ErrorCode::NotAContact | ErrorCode::Forbidden | ErrorCode::NotFound => Failure::NotAContact,
        ErrorCode::AlreadyInCall => Failure::AlreadyInCall,
        ErrorCode::LongestCall => Failure::LongestCall,
        ErrorCode::CallNotFound | ErrorCode::IllegalTransition | ErrorCode::AnsweredElsewhere => {
            Failure::CallGone
        }
        ErrorCode::MalformedMessage
        | ErrorCode::InvalidValue
        | ErrorCode::TooLarge
        | ErrorCode::HelloExpected
        | ErrorCode::MethodNotAllowed
        | ErrorCode::UnsupportedMediaType
        | ErrorCode::IdempotencyConflict
        | ErrorCode::SessionLost
        | ErrorCode::StaleEpoch
        | ErrorCode::GroupExists
        | ErrorCode::NoGroup
        | ErrorCode::NotAMember
        | ErrorCode::NoArchive
        | ErrorCode::Expired
        | ErrorCode::WrongOffset
        | ErrorCode::WrongDigest
        | ErrorCode::StorageFull
        | ErrorCode::ShuttingDown
        | ErrorCode::Internal
        | ErrorCode::Unknown => Failure::ServerTrouble,
    }
}
