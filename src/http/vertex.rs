//! Google Vertex AI's custom containers: `{"instances": […]}` in, `{"predictions": […]}` out, at `/vertex` and at the
//! route that the platform chooses.

mod route;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use self::route::at_chosen_routes;
use super::deadline::Deadline;
use super::invocation::{Envelope, Wording, answering, every_answer};
use super::labels::{self, Label};
use super::problem::{Code, Problem};
use super::protocol::{Protocol, Refused};
use super::refusing::Refusing;
use super::server::Gateway;
use super::timing;

/// Where predictions are asked for, besides the route that the platform chooses.
const PATH: &str = "/vertex";

/// It owns its one path.
pub(super) const PROTOCOL: Protocol = Protocol { routes, owns: |path| path == PATH, probes: &[], write };

/// An error as Google's APIs write it.
#[derive(Debug, Serialize, ToSchema)]
struct GoogleError {
    error: GoogleStatus,
}

/// What was wrong.
#[derive(Debug, Serialize, ToSchema)]
struct GoogleStatus {
    /// The status.
    #[schema(example = 400)]
    code: u16,
    /// What was wrong.
    message: String,
    /// What kind of problem it is.
    #[schema(example = "INVALID_ARGUMENT")]
    status: &'static str,
}

/// Inputs, and what is wanted of the answers.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it documents a body that is read as it comes")]
struct VertexRequest {
    /// Inputs: texts as strings, pictures as `{"b64": …}` or as numbers, each possibly the only member of an object.
    #[schema(value_type = Vec<Value>)]
    instances: Vec<serde_json::Value>,
    /// `model`, `version`, `top_k`.
    #[schema(value_type = Option<Object>)]
    parameters: Option<serde_json::Value>,
}

/// One prediction an instance.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VertexResponse {
    /// The labels of each instance, best first.
    predictions: Vec<Vec<Label>>,
    /// What the platform calls the deployment, when it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed_model_id: Option<String>,
    /// The model that answered.
    model: String,
    /// The version that answered.
    model_version_id: String,
}

type Refusals = Refusing<GoogleError>;

#[derive(OpenApi)]
#[openapi(
    components(schemas(GoogleError)),
    tags((name = "vertex ai", description = "Google Vertex AI's custom containers")),
)]
struct Document;

fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(Document::openapi()).routes(routes!(vertex))
}

/// Predict instances.
///
/// Which model answers: `model` in `parameters`, else the only model, else the default one of the task. The same at
/// `AIP_PREDICT_ROUTE`.
#[utoipa::path(
    post,
    path = "/vertex",
    tag = "vertex ai",
    request_body(content = VertexRequest, example = json!({"instances": ["a gripping, funny and deeply moving film"]})),
    responses((status = 200, description = "A prediction an instance", body = VertexResponse), Refusals),
)]
async fn vertex(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    body: Bytes,
) -> Result<Response, Problem> {
    let Envelope { wording: Wording::Instances, values, choice, function } = Envelope::parse(&body)? else {
        return Err(Problem::new(
            Code::InvalidRequest,
            "\"instances\" is missing, expected a list of inputs",
        ));
    };
    let entry = answering(&gateway, &choice, values.task())?;
    let manifest = entry.handle.manifest();
    function.check(manifest.objective)?;
    let instances = values.items().map_err(|other| {
        Problem::new(Code::InvalidRequest, format!("\"instances\" is {}, expected a list", other.kind()))
    })?;
    let answers = every_answer(&gateway, &entry, ("instances", instances), choice.asked(deadline.0)).await?;
    let timing = timing::header(answers.iter());
    let body = VertexResponse {
        predictions: answers.into_iter().map(labels::of).collect(),
        deployed_model_id: gateway.config.platform.deployed_model_id.clone(),
        model: entry.model.to_string(),
        model_version_id: entry.version.to_string(),
    };
    Ok((timing, Json(body)).into_response())
}

fn write(problem: &Problem, _: &Refused<'_>) -> Response {
    let code = problem.code.status();
    let status = match code {
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => "UNIMPLEMENTED",
        StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
        StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED",
        code if code.is_server_error() => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    let error = GoogleStatus { code: code.as_u16(), message: problem.detail.clone(), status };
    (code, Json(GoogleError { error })).into_response()
}
