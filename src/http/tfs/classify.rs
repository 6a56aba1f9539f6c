//! `:classify`: labels with scores, best first.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::Refusals;
use super::request;
use super::resolve::resolve;
use super::target::Target;
use crate::http::ask::Asked;
use crate::http::invocation::every_answer;
use crate::http::problem::Problem;
use crate::http::server::Gateway;
use crate::http::{labels, timing};

/// What is to be classified.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it documents a body that is read as it comes")]
struct ClassifyExamples {
    /// `serving_default`, the only one.
    #[schema(nullable = false)]
    signature_name: Option<String>,
    /// Features that all examples share.
    #[schema(value_type = Option<Object>, nullable = false)]
    context: Option<serde_json::Value>,
    /// Examples, each with one feature: a text as a string, a picture as `{"b64": …}` or as numbers.
    #[schema(value_type = Vec<Object>)]
    examples: Vec<serde_json::Value>,
}

/// Labels with scores, best first, of each example.
#[derive(Debug, Serialize, ToSchema)]
struct ClassifyResults {
    /// `[[label, score], …]` of each example.
    #[schema(value_type = Vec<Vec<Vec<Value>>>, example = json!([[["positive", 0.97], ["negative", 0.03]]]))]
    results: Vec<Vec<(Arc<str>, f32)>>,
}

/// Classify.
///
/// Labels with scores, best first, of each example. The content type is not looked at.
#[utoipa::path(
    post,
    path = "/v1/models/{name}:classify",
    tag = "tensorflow serving",
    params(("name" = String, Path, description = "The model's name", example = "sentiment")),
    request_body(content = ClassifyExamples,
        example = json!({"examples": [{"text": "a gripping, funny and deeply moving film"}]})),
    responses((status = 200, description = "Labels with scores", body = ClassifyResults), Refusals),
)]
#[expect(dead_code, reason = "it documents one of the verbs of a path")]
pub(super) fn classify() {}

/// Classify, by a version.
#[utoipa::path(
    post,
    path = "/v1/models/{name}/versions/{version}:classify",
    tag = "tensorflow serving",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = u32, Path, description = "The version that answers", example = 1),
    ),
    request_body(content = ClassifyExamples,
        example = json!({"examples": [{"text": "a gripping, funny and deeply moving film"}]})),
    responses((status = 200, description = "Labels with scores", body = ClassifyResults), Refusals),
)]
#[expect(dead_code, reason = "it documents one of the verbs of a path")]
pub(super) fn classify_version() {}

/// Classify, by the version of a label.
#[utoipa::path(
    post,
    path = "/v1/models/{name}/labels/{label}:classify",
    tag = "tensorflow serving",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("label" = String, Path, description = "`stable` or `canary`", example = "stable"),
    ),
    request_body(content = ClassifyExamples,
        example = json!({"examples": [{"text": "a gripping, funny and deeply moving film"}]})),
    responses((status = 200, description = "Labels with scores", body = ClassifyResults), Refusals),
)]
#[expect(dead_code, reason = "it documents one of the verbs of a path")]
pub(super) fn classify_label() {}

/// Answers.
///
/// # Errors
/// What was wrong with the request, the model, or the first example that has no answer.
pub(super) async fn answer(
    gateway: &Gateway,
    target: &Target,
    body: &Bytes,
    deadline: Instant,
) -> Result<Response, Problem> {
    let entry = resolve(gateway, &target.model, &target.selector)?;
    let examples = ("examples", request::classify(body, gateway.config.request_inputs_max)?);
    let answers = every_answer(gateway, &entry, examples, Asked::by_default(None, deadline)).await?;
    let timing = timing::header(answers.iter());
    let results = answers.into_iter().map(|answer| labels::rows(labels::of(answer))).collect();
    Ok((timing, Json(ClassifyResults { results })).into_response())
}
