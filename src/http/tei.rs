//! The API of text-embeddings-inference as far as classifiers have it, and the shape of Hugging Face's pipelines.
//!
//! The default model for texts answers. `/` is this server's front page as well, so errors there are problem documents
//! with the members that these clients read.

mod info;
mod pipeline;
mod predict;
mod tokenize;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::health;
use super::problem::{Code, Problem};
use super::protocol::{Protocol, Refused};
use super::refusing::Refusing;
use super::server::Gateway;

/// It owns its few paths.
pub(super) const PROTOCOL: Protocol = Protocol {
    routes,
    owns: |path| matches!(path, "/" | "/predict" | "/tokenize" | "/info" | "/health"),
    probes: &["/health"],
    write,
};

/// An error as these clients read it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InferenceError {
    /// What was wrong.
    #[schema(example = "`inputs` cannot be empty")]
    error: String,
    /// `Unhealthy`, `Backend`, `Overloaded`, `Validation`, `Tokenizer` or `Empty`.
    #[schema(example = "Validation")]
    error_type: &'static str,
}

type Refusals = Refusing<InferenceError>;

#[derive(OpenApi)]
#[openapi(
    components(schemas(InferenceError)),
    tags((name = "hugging face", description = "Pipelines, and text-embeddings-inference")),
)]
struct Document;

fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(pipeline::run_pipeline))
        .routes(routes!(predict::predict_texts))
        .routes(routes!(tokenize::tokenize))
        .routes(routes!(info::info))
        .routes(routes!(health_of_texts))
}

/// May requests be sent here?
///
/// As `/health/ready`, without a body.
#[utoipa::path(
    get,
    path = "/health",
    tag = "hugging face",
    responses((status = 200, description = "Requests may be sent"), Refusals),
)]
async fn health_of_texts(State(gateway): State<Gateway>) -> Result<StatusCode, Problem> {
    health::check(&gateway).map(|()| StatusCode::OK)
}

/// What is said when there is no input.
const EMPTY: &str = "`inputs` cannot be empty";

/// The status and the type of a problem.
fn kind(problem: &Problem) -> (StatusCode, &'static str) {
    let own = problem.code.status();
    match problem.code {
        Code::NotReady | Code::ModelNotReady | Code::ShuttingDown => (own, "Unhealthy"),
        Code::QueueFull => (own, "Overloaded"),
        Code::Internal | Code::NonFiniteOutput => (StatusCode::FAILED_DEPENDENCY, "Backend"),
        Code::DeadlineExceeded => (own, "Backend"),
        Code::UnreadableText => (StatusCode::UNPROCESSABLE_ENTITY, "Tokenizer"),
        Code::InvalidRequest if problem.detail == EMPTY => (own, "Empty"),
        Code::InvalidJson
        | Code::JsonTooDeep
        | Code::UnsupportedMediaType
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::BodyTimeout
        | Code::BodyTooLarge
        | Code::TooManyHeaders
        | Code::NotSupported => (own, "Validation"),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, "Validation"),
    }
}

fn write(problem: &Problem, refused: &Refused<'_>) -> Response {
    let (status, error_type) = kind(problem);
    if refused.path != "/" {
        return (status, Json(InferenceError { error: problem.detail.clone(), error_type })).into_response();
    }
    let document = problem.document(refused.request_id, refused.path);
    let document = document.with_error(problem.detail.clone()).with_error_type(error_type);
    let mut response = (problem.code.status(), Json(document)).into_response();
    let content_type = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
