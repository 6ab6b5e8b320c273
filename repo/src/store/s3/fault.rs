//! What a request's failure means: whether to try again, and whether it may have happened all the same.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::super::StoreErrorKind;

/// A request that failed.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// Whether it may have taken effect although no answer says so.
    pub(super) ambiguous: bool,
    /// What was said, for people.
    pub(super) message: String,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// There is no such object.
    Missing,
    /// The name is taken (412).
    Taken,
    /// Somebody else is creating it just now (409); ask again.
    Contended,
    /// The range lies behind the end (416).
    Range,
    /// We may not (403).
    Denied,
    /// Our credentials are no longer valid; others may be there by now.
    Expired,
    /// The server asks for less (429, 503, SlowDown).
    Slow,
    /// It may work next time: 5xx, a reset, a stall.
    Passing,
    /// The server does not do this (501).
    Unsupported,
    /// It will not work next time either.
    Final,
}

impl FaultKind {
    /// Whether trying again may help.
    pub(super) const fn passes(self) -> bool {
        matches!(self, Self::Contended | Self::Expired | Self::Slow | Self::Passing)
    }
}

impl Fault {
    /// One that trying again does not mend.
    pub(super) fn last(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Final, ambiguous: false, message: message.into() }
    }

    /// One that trying again may mend; what was asked for may have happened.
    pub(super) fn passing(message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Passing, ambiguous: true, message: message.into() }
    }

    /// What the SDK says of a request.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match error {
            SdkError::ServiceError(answer) => {
                let (code, said) = (answer.err().code(), answer.err().message());
                let status = answer.raw().status().as_u16();
                let kind = kind_of(status, code);
                let message = match (code, said) {
                    (Some(code), Some(said)) => format!("{status} {code}: {said}"),
                    (Some(code), None) => format!("{status} {code}"),
                    (None, _) => format!("{status} without a reason"),
                };
                Self { kind, ambiguous: status >= 500, message }
            }
            SdkError::ConstructionFailure(_) => Self::last(chain(error)),
            SdkError::DispatchFailure(failure) if failure.is_user() => Self::last(chain(error)),
            _ => {
                let said = chain(error);
                // That there are no credentials is a dispatch failure too, and a long one; asking again finds none.
                if said.contains(NO_CREDENTIALS) { Self::last(FIND_CREDENTIALS) } else { Self::passing(said) }
            }
        }
    }

    /// As the store's callers know it.
    pub(super) fn into_kind(self) -> StoreErrorKind {
        match self.kind {
            FaultKind::Missing => StoreErrorKind::Missing,
            FaultKind::Taken => StoreErrorKind::Exists,
            FaultKind::Denied => StoreErrorKind::Denied(self.message.into()),
            FaultKind::Unsupported => StoreErrorKind::Unsupported(self.message.into()),
            FaultKind::Slow | FaultKind::Passing | FaultKind::Contended | FaultKind::Expired => {
                StoreErrorKind::Unreachable(self.message.into())
            }
            FaultKind::Range | FaultKind::Final => StoreErrorKind::Other(self.message),
        }
    }
}

/// What the chain of credentials says where it ends.
const NO_CREDENTIALS: &str = "no credentials found in chain";
const FIND_CREDENTIALS: &str = "no credentials were found: not in AWS_ACCESS_KEY_ID, nor in shared files, nor from a \
                                web identity, a container or an instance";

/// Makers of servers agree on codes more than on statuses, and HEAD has only the status.
fn kind_of(status: u16, code: Option<&str>) -> FaultKind {
    match (status, code.unwrap_or_default()) {
        (_, "NoSuchKey" | "NoSuchVersion") => FaultKind::Missing,
        (_, "NoSuchBucket") => FaultKind::Final,
        (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "ExpiredTokenException") => {
            FaultKind::Expired
        }
        (
            _,
            "SlowDown" | "TooManyRequests" | "ThrottlingException" | "Throttling" | "RequestLimitExceeded",
        ) => FaultKind::Slow,
        // The body did not come whole, or not in time: the next one may.
        (_, "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch") => {
            FaultKind::Passing
        }
        // The SDK has learned the server's clock from the answer and signs by it from now on.
        (_, "RequestTimeTooSkewed") => FaultKind::Passing,
        (404, "" | "NotFound") => FaultKind::Missing,
        (412, _) => FaultKind::Taken,
        (409, "ConditionalRequestConflict" | "OperationAborted") => FaultKind::Contended,
        (416, _) => FaultKind::Range,
        (429 | 503, _) => FaultKind::Slow,
        (501, _) | (_, "NotImplemented" | "MethodNotAllowed") => FaultKind::Unsupported,
        (401 | 403, _) => FaultKind::Denied,
        (500..=599, _) => FaultKind::Passing,
        _ => FaultKind::Final,
    }
}

/// An error with everything below it, once each.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(source) = below {
        let said = source.to_string().replace('\n', " ");
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        below = source.source();
    }
    text
}

impl<E> From<SdkError<E, HttpResponse>> for Fault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        Self::of(&error)
    }
}
