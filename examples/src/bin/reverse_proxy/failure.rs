//! Why the origin gave no response, and what the client is told.

use hyper::StatusCode;
use hyper_util::client::legacy::Error;
use std::{error::Error as StdError, fmt, io, iter::successors};

#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection could be made.
    Unreachable(Error),
    /// The connection ended before a response's head, or brought what is no HTTP.
    Broken(Error),
    /// No head came in time.
    Overdue,
    /// It is a response, but none that can be passed on.
    Unfit(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if error.is_connect() {
            Self::Unreachable(error)
        } else {
            Self::Broken(error)
        }
    }
}

impl Failure {
    /// 504 where the origin did not answer in time, 502 where it answered wrongly or not at all (RFC
    /// 9110 §15.6.3, §15.6.5).
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Overdue => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable(error) if is_timeout(error) => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable(_) | Self::Broken(_) | Self::Unfit(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// What the client is told: nothing of addresses or of the system.
    pub(crate) fn problem(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "the origin cannot be reached",
            Self::Broken(_) => "the origin gave no response",
            Self::Overdue => "the origin gave no response in time",
            Self::Unfit(problem) => problem,
        }
    }
}

fn is_timeout(error: &Error) -> bool {
    sources(error).any(|source| {
        let error = source.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    })
}

fn sources(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    successors(error.source(), |source| (*source).source())
}

/// For the log: with all that is known.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.problem())?;
        match self {
            Self::Unreachable(error) | Self::Broken(error) => {
                sources(error).try_for_each(|source| write!(f, ": {source}"))
            }
            Self::Overdue | Self::Unfit(_) => Ok(()),
        }
    }
}
