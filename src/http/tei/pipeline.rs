//! The shape of Hugging Face's pipelines, at the root.

use axum::extract::{Extension, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::binary::Binary;
use crate::http::deadline::Deadline;
use crate::http::document::Refusals;
use crate::http::invocation::{Choice, Content, Lone, invoke};
use crate::http::labels::Label;
use crate::http::problem::Problem;
use crate::http::server::Gateway;

/// Inputs, and what is wanted of the answers.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it documents a body that is read as it comes")]
struct PipelineRequest {
    /// A text, or a picture in base64; or a list of either.
    #[schema(value_type = Value)]
    inputs: serde_json::Value,
    /// What is wanted of the answers.
    parameters: Option<PipelineParameters>,
}

/// What is wanted of the answers.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it documents a body that is read as it comes")]
struct PipelineParameters {
    /// Labels wanted; without it all.
    top_k: Option<usize>,
    /// `sigmoid` or `softmax`: only the one that the model was trained with.
    function_to_apply: Option<String>,
    /// The model that answers; without it the default one.
    model: Option<String>,
    /// The version that answers; without it the latest ready.
    version: Option<String>,
}

/// Labels of one picture, or of each text or picture: of one text as well, as Hugging Face's API has it.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it documents what is written as it comes")]
enum PipelineResponse {
    One(Vec<Label>),
    Many(Vec<Vec<Label>>),
}

/// Which model answers, of clients that can say it in no other place than their URL.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    model: Option<String>,
}

/// Classify, as Hugging Face's pipelines do.
///
/// A list of the labels of each input, best first, of a single text as well; of a single picture its labels. A text or a
/// picture may also be the whole body.
#[utoipa::path(
    post,
    path = "/",
    tag = "hugging face",
    params(("model" = Option<String>, Query, description = "The model that answers; a parameter in JSON as well")),
    request_body(content(
        (PipelineRequest = "application/json", example = json!({"inputs": "a gripping, funny and deeply moving film"})),
        (String = "text/plain", example = "a gripping, funny and deeply moving film"),
        (Binary = "image/*"),
    )),
    responses((status = 200, description = "Labels with scores", body = PipelineResponse), Refusals),
)]
pub(super) async fn run_pipeline(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    Query(chosen): Query<Chosen>,
    (headers, body): (HeaderMap, Bytes),
) -> Result<Response, Problem> {
    let content = Content::of(&headers, body)?;
    let choice = Choice { model: chosen.model, lone: Lone::ListOfOne, ..Choice::default() };
    invoke(&gateway, choice, content, deadline.0).await
}
