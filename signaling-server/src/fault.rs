//! What goes wrong while serving a request, and how it is told.
//!
//! A refusal carries the problem that the client sees. Anything else is a fault of the server's: its cause is
//! logged here, once, and the client gets `internal` without it.

use std::{error::Error, fmt};

use bedside_protocol::{ErrorCode, Problem};

/// An error with all its causes, for a log: the messages of errors don't repeat their sources'.
#[derive(Clone, Copy)]
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The client gets this problem; it says what to do next.
    #[error("refused: {}", .0.code.as_str())]
    Refused(Box<Problem>),
    /// The database failed; the client may try again later.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Something that should always work did not; the text says what and holds no personal data.
    #[error("internal fault: {0}")]
    Internal(&'static str),
}

impl Fault {
    /// For a fault that nobody can be answered with: logs its cause.
    pub fn log(self) {
        let _ = self.into_problem();
    }

    /// The problem to answer with. Logs the cause of anything that is not the client's doing.
    #[must_use]
    pub fn into_problem(self) -> Box<Problem> {
        match self {
            Fault::Refused(problem) => problem,
            Fault::Database(error) if is_full(&error) => {
                tracing::error!(%error, "the database's disk is full");
                Box::new(Problem::new(ErrorCode::StorageFull))
            }
            Fault::Database(error) => {
                tracing::error!(%error, "the database failed");
                Box::new(Problem::new(ErrorCode::Internal).with_detail("Please try again in a moment."))
            }
            Fault::Internal(what) => {
                tracing::error!(what, "internal fault");
                Box::new(Problem::new(ErrorCode::Internal).with_detail("Please try again in a moment."))
            }
        }
    }
}

/// `SQLITE_FULL`.
fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "13")
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        Fault::Refused(Box::new(Problem::new(code)))
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Fault::Refused(Box::new(problem))
    }
}

impl From<Box<Problem>> for Fault {
    fn from(problem: Box<Problem>) -> Self {
        Fault::Refused(problem)
    }
}
