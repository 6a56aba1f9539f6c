//! TensorFlow Serving's REST API and version 1 of `KServe`'s, which share their paths: `:predict`, `:classify`, status
//! and metadata under `/v1/models/`.
//!
//! `GET /v1/models/{name}` is this server's own page of the model with what these clients read added to it, so its
//! errors are problem documents with an `error` member.

mod classify;
mod metadata;
mod predict;
mod request;
mod resolve;
mod status;
mod target;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde::Serialize;
use tower::ServiceExt as _;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use self::status::{ModelVersionStatus, statuses};
use self::target::{Target, Verb};
use super::deadline::Deadline;
use super::problem::{Code, Problem};
use super::protocol::{Protocol, Refused};
use super::refusing::Refusing;
use super::server::Gateway;

/// It owns what is under a model.
pub(super) const PROTOCOL: Protocol = Protocol { routes, owns: target::is_below_root, probes: &[], write };

/// An error as these clients read it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TensorFlowError {
    /// What was wrong.
    #[schema(example = "Servable not found for request: Latest(sentimnt)")]
    error: String,
}

type Refusals = Refusing<TensorFlowError>;

#[derive(OpenApi)]
#[openapi(
    paths(
        predict::predict,
        predict::predict_version,
        predict::predict_label,
        classify::classify,
        classify::classify_version,
        classify::classify_label,
    ),
    components(schemas(TensorFlowError)),
    tags((name = "tensorflow serving", description = "TensorFlow Serving's REST API and KServe's version 1")),
)]
struct Document;

fn routes() -> OpenApiRouter<Gateway> {
    // A verb stands in the last segment, after a colon, which no route can tell apart: one handler takes all of them,
    // and each is documented where it is written.
    OpenApiRouter::with_openapi(Document::openapi())
        .route("/v1/models/{name}", post(call))
        .route("/v1/models/{name}/versions/{version}", post(call))
        .route("/v1/models/{name}/labels/{label}", post(call))
        .routes(routes!(status::version_status))
        .routes(routes!(status::label_status))
        .routes(routes!(metadata::metadata))
        .routes(routes!(metadata::version_metadata))
        .routes(routes!(metadata::label_metadata))
}

/// What no route matched, with the fixed words of its path in small letters: as TensorFlow Serving, whose paths may be in
/// any case.
pub(super) async fn in_any_case(routes: Router, mut request: Request) -> Response {
    let small = target::in_small_letters(request.uri().path()).and_then(|path| {
        let mut parts = request.uri().clone().into_parts();
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
        Uri::from_parts(parts).ok()
    });
    let Some(small) = small else { return StatusCode::NOT_FOUND.into_response() };
    *request.uri_mut() = small;
    routes.oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// A POST to a model, whatever its verb.
async fn call(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Problem> {
    let target = Target::of(&Method::POST, uri.path())?;
    match target.verb {
        Verb::Predict => predict::answer(&gateway, &target, &body, deadline.0).await,
        Verb::Classify => classify::answer(&gateway, &target, &body, deadline.0).await,
        Verb::Regress => Err(Problem::new(
            Code::InvalidRequest,
            "Expected regression signature method_name to be tensorflow/serving/regress. Was: \
             tensorflow/serving/classify; this model is a classifier: ask :classify or :predict",
        )),
        Verb::Explain => {
            let detail = "explanations are not computed by this server; :predict and :classify are";
            Err(Problem::new(Code::NotSupported, detail))
        }
    }
}

/// The status and the message that these clients know.
fn said(problem: &Problem) -> (StatusCode, String) {
    let detail = &problem.detail;
    match problem.code {
        Code::QueueFull => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("The batch scheduling queue to which this task was submitted is full: {detail}"),
        ),
        code => (code.status(), detail.clone()),
    }
}

fn write(problem: &Problem, refused: &Refused<'_>) -> Response {
    let Refused { method, path, .. } = *refused;
    let malformed = target::is_malformed(method, path) || problem.code == Code::MethodNotAllowed;
    let (status, error) = if malformed {
        (StatusCode::BAD_REQUEST, target::malformed(method, path).detail)
    } else {
        said(problem)
    };
    if !target::is_page(path) || malformed {
        return (status, Json(TensorFlowError { error })).into_response();
    }
    let error = match problem.code {
        Code::ModelNotFound => target::page_of(path)
            .map_or(error, |model| format!("Could not find any versions of model {model}")),
        _ => error,
    };
    let document = problem.document(refused.request_id, path).with_error(error);
    let mut response = (status, Json(document)).into_response();
    let content_type = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
