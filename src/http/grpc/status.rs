//! Problems as statuses of gRPC: the code that the protocol's clients expect, and its message.

use axum::http::StatusCode;
use tonic::metadata::MetadataValue;
use tonic::{Code as StatusOf, Status};

use crate::http::oip::errors::{Kind, message};
use crate::http::problem::{Code, Problem};

/// When a client that retries by itself may do so, milliseconds.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The status of a problem.
pub(super) fn of(problem: &Problem) -> Status {
    let mut status = Status::new(code(problem), message(problem));
    if let Some(wait) = problem.retry_after {
        let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        status.metadata_mut().insert(PUSHBACK, MetadataValue::from(milliseconds));
    }
    status
}

fn code(problem: &Problem) -> StatusOf {
    match problem.code {
        Code::DeadlineExceeded | Code::BodyTimeout => StatusOf::DeadlineExceeded,
        // There is no such service or method.
        Code::NotFound | Code::MethodNotAllowed | Code::UnsupportedMediaType => StatusOf::Unimplemented,
        _ => match Kind::of(problem) {
            Kind::InvalidArgument => StatusOf::InvalidArgument,
            Kind::NotFound => StatusOf::NotFound,
            Kind::Unavailable => StatusOf::Unavailable,
            Kind::Unsupported => StatusOf::Unimplemented,
            Kind::TooLarge => StatusOf::ResourceExhausted,
            Kind::Internal => StatusOf::Internal,
        },
    }
}

/// What came of a call, in a status of HTTP: for logs and metrics, which know those only.
pub(super) fn outcome(code: StatusOf) -> StatusCode {
    match code {
        StatusOf::Ok => StatusCode::OK,
        StatusOf::InvalidArgument | StatusOf::FailedPrecondition | StatusOf::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        StatusOf::NotFound => StatusCode::NOT_FOUND,
        StatusOf::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
        StatusOf::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        StatusOf::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        StatusOf::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_problem_has_the_status_that_clients_expect() {
        let cases = [
            (Code::InvalidRequest, StatusOf::InvalidArgument),
            (Code::EmptyText, StatusOf::InvalidArgument),
            (Code::ModelNotFound, StatusOf::NotFound),
            (Code::VersionNotFound, StatusOf::NotFound),
            (Code::NotFound, StatusOf::Unimplemented),
            (Code::NotSupported, StatusOf::Unimplemented),
            (Code::BodyTooLarge, StatusOf::ResourceExhausted),
            (Code::QueueFull, StatusOf::Unavailable),
            (Code::ModelNotReady, StatusOf::Unavailable),
            (Code::ShuttingDown, StatusOf::Unavailable),
            (Code::DeadlineExceeded, StatusOf::DeadlineExceeded),
            (Code::BodyTimeout, StatusOf::DeadlineExceeded),
            (Code::Internal, StatusOf::Internal),
        ];
        for (code, expected) in cases {
            assert_eq!(of(&Problem::new(code, "because")).code(), expected, "{code:?}");
        }
    }

    #[test]
    fn a_client_is_told_when_to_try_again() {
        let wait = Some(Duration::from_millis(1500));
        let status = of(&Problem { retry_after: wait, ..Problem::new(Code::QueueFull, "full") });
        assert_eq!(status.metadata().get(PUSHBACK).unwrap(), "1500");
        assert!(of(&Problem::new(Code::EmptyText, "empty")).metadata().is_empty());
    }
}
