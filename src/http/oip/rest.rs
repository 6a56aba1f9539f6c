//! The protocol over HTTP: paths, JSON bodies, tensors as bytes after them, errors as `{"error": …}`.

mod body;
mod elements;
mod health;
mod infer;
mod models;
mod read;
mod repository;
mod settings;
mod write;

use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoResponses, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Kind, message};
use crate::http::compression::AsItIs;
use crate::http::problem::{Code, Problem};
use crate::http::protocol::{Protocol, Refused};
use crate::http::server::Gateway;

/// It owns `/v2` and what is below it.
pub(in crate::http) const PROTOCOL: Protocol =
    Protocol { routes, owns, probes: &["/v2/health/live", "/v2/health/ready"], write };

#[derive(OpenApi)]
#[openapi(components(schemas(OipError)))]
struct Document;

fn routes() -> OpenApiRouter<Gateway> {
    // Triton compresses answers to inference and nothing else, and its clients rely on it.
    let described = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::server_metadata))
        .routes(routes!(health::server_metadata_below))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(models::list))
        .routes(routes!(models::metadata))
        .routes(routes!(models::version_metadata))
        .routes(routes!(models::ready))
        .routes(routes!(models::version_ready))
        .routes(routes!(models::config))
        .routes(routes!(models::version_config))
        .routes(routes!(models::all_statistics))
        .routes(routes!(models::statistics))
        .routes(routes!(models::version_statistics))
        .routes(routes!(repository::index))
        .routes(routes!(repository::load))
        .routes(routes!(repository::unload))
        .routes(routes!(settings::show_logging, settings::change_logging))
        .routes(routes!(settings::show_trace, settings::change_trace))
        .routes(routes!(settings::show_model_trace, settings::change_model_trace))
        .layer(map_response(|response: Response| async { (Extension(AsItIs), response) }));
    described.routes(routes!(infer::infer)).routes(routes!(infer::infer_version))
}

fn owns(path: &str) -> bool {
    path == "/v2" || path.starts_with("/v2/")
}

fn write(problem: &Problem, _refused: &Refused<'_>) -> Response {
    let error = message(problem);
    (status(problem), Extension(AsItIs), Json(OipError { error })).into_response()
}

/// The status of a problem, by the kind of it that Triton's clients know.
fn status(problem: &Problem) -> StatusCode {
    match problem.code {
        // What goes wrong before the protocol has its say.
        Code::MethodNotAllowed | Code::BodyTimeout | Code::UnsupportedMediaType | Code::TooManyHeaders => {
            problem.code.status()
        }
        _ => match Kind::of(problem) {
            Kind::InvalidArgument => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) struct OipError {
    /// What was wrong.
    #[schema(example = "Request for unknown model: 'sentimnt' is not found")]
    error: String,
}

/// The errors that any path of the protocol may answer with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it documents what the layers and handlers answer")]
pub(super) enum Errors {
    /// The request is wrong, or the server or the model is not ready where that was asked.
    #[response(status = 400)]
    BadRequest(OipError),
    /// There is no such path, model or version.
    #[response(status = 404)]
    NotFound(OipError),
    /// The path takes other methods.
    #[response(status = 405)]
    MethodNotAllowed(OipError),
    /// The body did not arrive in time.
    #[response(status = 408)]
    RequestTimeout(OipError),
    /// The body is too large, as it is or once it is decompressed.
    #[response(status = 413)]
    TooLarge(OipError),
    /// The body is of a content encoding other than gzip and deflate.
    #[response(status = 415)]
    UnsupportedEncoding(OipError),
    /// There are too many header lines.
    #[response(status = 431)]
    TooManyHeaders(OipError),
    /// The server failed.
    #[response(status = 500)]
    Internal(OipError),
    /// The server does not do this.
    #[response(status = 501)]
    NotImplemented(OipError),
    /// The server or the model cannot answer now: the queue is full, the time has passed, the server is ending.
    #[response(status = 503)]
    Unavailable(OipError),
}

/// A version as it stands in a path: digits, or there is nothing at that path.
fn digits(version: &str) -> Result<&str, Problem> {
    if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(version);
    }
    Err(Problem::new(Code::NotFound, "a version in a path is digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_owns_its_paths_and_no_others() {
        for path in ["/v2", "/v2/", "/v2/models/m/infer", "/v2/nothing"] {
            assert!(owns(path), "{path}");
        }
        for path in ["/", "/v1/models", "/v20", "/v2x/models"] {
            assert!(!owns(path), "{path}");
        }
    }

    #[test]
    fn every_problem_has_the_status_of_its_kind() {
        let cases = [
            (Code::InvalidRequest, 400),
            (Code::UnsupportedPicture, 400),
            (Code::TextTooLong, 400),
            (Code::ModelNotFound, 404),
            (Code::NotFound, 404),
            (Code::MethodNotAllowed, 405),
            (Code::BodyTimeout, 408),
            (Code::BodyTooLarge, 413),
            (Code::UnsupportedMediaType, 415),
            (Code::TooManyHeaders, 431),
            (Code::Internal, 500),
            (Code::NotSupported, 501),
            (Code::QueueFull, 503),
            (Code::DeadlineExceeded, 503),
            (Code::ModelNotReady, 503),
        ];
        for (code, expected) in cases {
            assert_eq!(status(&Problem::new(code, "because")).as_u16(), expected, "{code:?}");
        }
    }
}
