//! Why a transfer does not go on: what the person is told, and what passes by itself.

use std::{io, time::Duration};

use bedside_e2ee::{file::FileError, store::StoreError};
use bedside_protocol::ErrorCode;
use bedside_ui_contract::chat::TransferFailure;
use reqwest::StatusCode;

use crate::api::ApiError;

/// Why an attempt ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The person paused or cancelled it.
    Interrupted,
    /// For good, unless the person wants it again.
    Failed(TransferFailure),
    /// The network or the server is away for the moment.
    Away {
        /// The server said when to come back.
        after: Option<Duration>,
    },
    /// The server is there and has trouble: some attempts more, not for ever.
    Trouble,
}

impl From<TransferFailure> for Stop {
    fn from(failure: TransferFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for Stop {
    /// Trouble with a file on this computer.
    fn from(error: io::Error) -> Self {
        Self::Failed(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                TransferFailure::DiskFull
            }
            _ => TransferFailure::NoAccess,
        })
    }
}

impl From<FileError> for Stop {
    fn from(error: FileError) -> Self {
        match error {
            FileError::TooLong => Self::Failed(TransferFailure::TooLarge),
            FileError::Entropy(_) => Self::Failed(TransferFailure::NoAccess),
            FileError::Damaged { .. } | FileError::WrongDigest | FileError::BadKey => {
                Self::Failed(TransferFailure::Damaged)
            }
        }
    }
}

impl From<StoreError> for Stop {
    fn from(_: StoreError) -> Self {
        Self::Failed(TransferFailure::NoAccess)
    }
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        let problem = match error {
            ApiError::Problem(problem) => problem,
            // Somebody has to sign in, or the network has to come back.
            ApiError::Unreachable(_) | ApiError::SignedOut | ApiError::OtherDevice => {
                return Self::Away { after: None };
            }
            ApiError::Untrusted(_) | ApiError::Unreadable(_) | ApiError::BadAddress => return Self::Trouble,
        };
        match problem.code {
            ErrorCode::Forbidden | ErrorCode::NotAContact => Self::Failed(TransferFailure::Forbidden),
            ErrorCode::NotFound => Self::Failed(TransferFailure::NotFound),
            ErrorCode::Expired | ErrorCode::CallNotFound => Self::Failed(TransferFailure::Expired),
            ErrorCode::StorageFull => Self::Failed(TransferFailure::ServerFull),
            ErrorCode::TooLarge => Self::Failed(TransferFailure::TooLarge),
            ErrorCode::WrongDigest => Self::Failed(TransferFailure::Damaged),
            // What the server has is shorter than what was announced.
            _ if problem.status == StatusCode::RANGE_NOT_SATISFIABLE.as_u16() => {
                Self::Failed(TransferFailure::Damaged)
            }
            ErrorCode::RateLimited | ErrorCode::ShuttingDown => Self::Away {
                after: problem.retry_after_s.map(|s| Duration::from_secs(s.min(MOST_PATIENCE_S))),
            },
            ErrorCode::NotSignedIn | ErrorCode::TokenExpired | ErrorCode::TokenReused => {
                Self::Away { after: None }
            }
            // The server has not what this side thought: ask it again.
            ErrorCode::WrongOffset | ErrorCode::Internal | ErrorCode::Unknown => Self::Trouble,
            _ => Self::Failed(TransferFailure::ServerTrouble),
        }
    }
}

/// The longest pause that a server may ask for, seconds.
const MOST_PATIENCE_S: u64 = 300;

#[cfg(test)]
mod tests {
    use bedside_protocol::Problem;

    use super::*;

    #[test]
    fn a_disk_that_is_full_is_told_from_one_that_refuses() {
        assert_eq!(
            Stop::from(io::Error::from(io::ErrorKind::StorageFull)),
            Stop::Failed(TransferFailure::DiskFull)
        );
        assert_eq!(
            Stop::from(io::Error::from(io::ErrorKind::PermissionDenied)),
            Stop::Failed(TransferFailure::NoAccess)
        );
    }

    #[test]
    fn each_answer_of_the_server_has_its_meaning() {
        let stop = |code| Stop::from(ApiError::Problem(Box::new(Problem::new(code))));
        assert_eq!(stop(ErrorCode::Forbidden), Stop::Failed(TransferFailure::Forbidden));
        assert_eq!(stop(ErrorCode::NotFound), Stop::Failed(TransferFailure::NotFound));
        assert_eq!(stop(ErrorCode::Expired), Stop::Failed(TransferFailure::Expired));
        assert_eq!(stop(ErrorCode::StorageFull), Stop::Failed(TransferFailure::ServerFull));
        assert_eq!(stop(ErrorCode::TooLarge), Stop::Failed(TransferFailure::TooLarge));
        assert_eq!(stop(ErrorCode::Internal), Stop::Trouble);
        assert_eq!(stop(ErrorCode::ShuttingDown), Stop::Away { after: None });
        let mut range = Problem::new(ErrorCode::InvalidValue);
        range.status = 416;
        assert_eq!(Stop::from(ApiError::Problem(Box::new(range))), Stop::Failed(TransferFailure::Damaged));
    }
}
