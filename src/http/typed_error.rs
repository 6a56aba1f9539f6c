//! Errors as model servers of the `TorchServe` family write them: code, type, message.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem};

/// An error as these clients read it.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct TypedError {
    /// The status.
    #[schema(example = 404)]
    code: u16,
    /// What kind of problem it is.
    #[serde(rename = "type")]
    #[schema(example = "ModelNotFoundException")]
    kind: &'static str,
    /// What was wrong.
    #[schema(example = "Model not found: sentimnt")]
    message: String,
}

/// The status and the type of a code.
fn kind(code: Code) -> (StatusCode, &'static str) {
    let own = code.status();
    match code {
        Code::ModelNotFound => (own, "ModelNotFoundException"),
        Code::VersionNotFound => (own, "ModelVersionNotFoundException"),
        Code::NotFound => (own, "ResourceNotFoundException"),
        Code::MethodNotAllowed => (own, "MethodNotAllowedException"),
        Code::BodyTimeout | Code::DeadlineExceeded => {
            (StatusCode::REQUEST_TIMEOUT, "RequestTimeoutException")
        }
        Code::BodyTooLarge | Code::TextTooLong | Code::PictureTooLarge => {
            (own, "RequestEntityTooLargeException")
        }
        Code::QueueFull | Code::NotReady | Code::ModelNotReady | Code::ShuttingDown => {
            (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException")
        }
        Code::Internal | Code::NonFiniteOutput => (own, "InternalServerException"),
        Code::ModelExists => (own, "ConflictStatusException"),
        Code::NoRoom => (own, "InsufficientStorageException"),
        Code::NotSupported => (own, "NotImplementedException"),
        _ => (own, "BadRequestException"),
    }
}

/// The problem in this shape.
pub(super) fn response(problem: &Problem) -> Response {
    let (status, kind) = kind(problem.code);
    let message = match problem.code {
        Code::NotFound => "Requested resource is not found, please refer to API document.".to_owned(),
        Code::MethodNotAllowed => "Requested method is not allowed, please refer to API document.".to_owned(),
        _ => problem.detail.clone(),
    };
    (status, Json(TypedError { code: status.as_u16(), kind, message })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_work_later_is_told_apart_from_what_never_will() {
        for (code, status, name) in [
            (Code::QueueFull, 503, "ServiceUnavailableException"),
            (Code::DeadlineExceeded, 408, "RequestTimeoutException"),
            (Code::EmptyText, 400, "BadRequestException"),
            (Code::UnsupportedPicture, 415, "BadRequestException"),
            (Code::NotSupported, 501, "NotImplementedException"),
            (Code::ModelExists, 409, "ConflictStatusException"),
            (Code::ModelRefused, 400, "BadRequestException"),
            (Code::NoRoom, 507, "InsufficientStorageException"),
        ] {
            assert_eq!((kind(code).0.as_u16(), kind(code).1), (status, name), "{code:?}");
        }
    }
}
