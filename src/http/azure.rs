//! Azure ML's managed online endpoints, whose routes are free: `/score` for predictions, as its own server has it.
//!
//! Liveness and readiness are `/` or `/health/live` and `/health/ready`. Azure hides the status of an answer that is
//! no 200 in a header of its own, so errors are this server's problem documents.

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::binary::Binary;
use super::deadline::Deadline;
use super::document::Refusals;
use super::invocation::{Choice, Content, invoke};
use super::native;
use super::problem::Problem;
use super::protocol::Protocol;
use super::server::Gateway;

/// It owns its one path.
pub(super) const PROTOCOL: Protocol =
    Protocol { routes, owns: |path| path == "/score", probes: &[], write: native::PROTOCOL.write };

#[derive(OpenApi)]
#[openapi(tags((name = "azure ml", description = "Azure ML's managed online endpoints")))]
struct Document;

fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(Document::openapi()).routes(routes!(score))
}

/// Score.
///
/// The body is a text, a picture, JSON (`{"input": …}`, `{"inputs": …}` or `{"instances": […]}`, each answered in its
/// own wording) or a JSON value a line. Which model answers: `model` in the body, else the only model, else the default
/// one of the task.
#[utoipa::path(
    post,
    path = "/score",
    tag = "azure ml",
    request_body(content(
        (serde_json::Value = "application/json", example = json!({"inputs": "a gripping, funny and deeply moving film"})),
        (String = "application/jsonlines"),
        (String = "text/plain", example = "a gripping, funny and deeply moving film"),
        (Binary = "image/*"),
    )),
    responses((status = 200, description = "The answer, in the wording of the question", content(
        (serde_json::Value = "application/json"),
        (String = "application/jsonlines"),
    )), Refusals),
)]
async fn score(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let content = Content::of(&headers, body)?;
    invoke(&gateway, Choice::default(), content, deadline.0).await
}
