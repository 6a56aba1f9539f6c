//! `:predict`: the scores of every label, in the order of the model's labels.

use std::time::Instant;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::Refusals;
use super::request::{self, Asked};
use super::resolve::resolve;
use super::target::Target;
use crate::http::ask;
use crate::http::instance::OneOrMany;
use crate::http::invocation::every_answer;
use crate::http::problem::Problem;
use crate::http::server::Gateway;
use crate::http::timing;
use crate::pipeline::Answer;

/// What is to be predicted: either `instances` (rows) or `inputs` (a column).
#[derive(ToSchema)]
#[expect(dead_code, reason = "it documents a body that is read as it comes")]
struct PredictRequest {
    /// `serving_default`, the only one.
    #[schema(nullable = false)]
    signature_name: Option<String>,
    /// Inputs, one a row: texts as strings, pictures as `{"b64": …}` or as numbers, each possibly the only member of
    /// an object.
    #[schema(value_type = Option<Vec<Value>>, nullable = false)]
    instances: Option<Vec<serde_json::Value>>,
    /// The same as one column, possibly as the only member of an object.
    #[schema(value_type = Option<Value>)]
    inputs: Option<serde_json::Value>,
}

/// Scores in the order of the model's labels.
#[derive(Debug, Default, Serialize, ToSchema)]
struct PredictResponse {
    /// The scores of each row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Vec<f32>>>)]
    predictions: Option<Scores>,
    /// The scores of each item of a column, or of its only input.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Value>>)]
    outputs: Option<Scores>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Scores {
    One(Vec<f32>),
    Many(Vec<Vec<f32>>),
}

/// Predict.
///
/// The scores of every label, in the order of the model's labels. Also `:classify`; `:regress` and `:explain` say that
/// no model here does either. The content type is not looked at.
#[utoipa::path(
    post,
    path = "/v1/models/{name}:predict",
    tag = "tensorflow serving",
    params(("name" = String, Path, description = "The model's name", example = "sentiment")),
    request_body(content = PredictRequest, example = json!({"instances": ["a gripping, funny and deeply moving film"]})),
    responses((status = 200, description = "Scores of each row or item", body = PredictResponse), Refusals),
)]
#[expect(dead_code, reason = "it documents one of the verbs of a path")]
pub(super) fn predict() {}

/// Predict, by a version.
#[utoipa::path(
    post,
    path = "/v1/models/{name}/versions/{version}:predict",
    tag = "tensorflow serving",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = u32, Path, description = "The version that answers", example = 1),
    ),
    request_body(content = PredictRequest, example = json!({"instances": ["a gripping, funny and deeply moving film"]})),
    responses((status = 200, description = "Scores of each row or item", body = PredictResponse), Refusals),
)]
#[expect(dead_code, reason = "it documents one of the verbs of a path")]
pub(super) fn predict_version() {}

/// Predict, by the version of a label.
///
/// `canary` is the newest version that is ready and `stable` the one before it; while there is only one, it is
/// `stable` and there is no `canary`.
#[utoipa::path(
    post,
    path = "/v1/models/{name}/labels/{label}:predict",
    tag = "tensorflow serving",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("label" = String, Path, description = "`stable` or `canary`", example = "stable"),
    ),
    request_body(content = PredictRequest, example = json!({"instances": ["a gripping, funny and deeply moving film"]})),
    responses((status = 200, description = "Scores of each row or item", body = PredictResponse), Refusals),
)]
#[expect(dead_code, reason = "it documents one of the verbs of a path")]
pub(super) fn predict_label() {}

/// Answers.
///
/// # Errors
/// What was wrong with the request, the model, or the first input that has no answer.
pub(super) async fn answer(
    gateway: &Gateway,
    target: &Target,
    body: &Bytes,
    deadline: Instant,
) -> Result<Response, Problem> {
    // The model comes before the body: a client that misspells its name is told so first.
    let entry = resolve(gateway, &target.model, &target.selector)?;
    let takes = &entry.handle.manifest().input;
    let asked = ask::Asked::by_default(None, deadline);
    let (name, values) = match request::predict(body)? {
        Asked::Rows(rows) => ("instances", rows),
        Asked::Column(column) => match column.one_or_many(takes) {
            OneOrMany::Many(values) => ("inputs", values),
            OneOrMany::One(value) => {
                let answer = ask::one(&entry, value.input(takes), asked).await?;
                let timing = timing::header(std::iter::once(&answer));
                let outputs = Some(Scores::One(answer.outcome.scores));
                let body = PredictResponse { outputs, ..PredictResponse::default() };
                return Ok((timing, Json(body)).into_response());
            }
        },
    };
    let answers = every_answer(gateway, &entry, (name, values), asked).await?;
    let timing = timing::header(answers.iter());
    let scores = answers.into_iter().map(|answer: Answer| answer.outcome.scores).collect();
    let scores = Some(Scores::Many(scores));
    let body = match name {
        "instances" => PredictResponse { predictions: scores, outputs: None },
        _ => PredictResponse { predictions: None, outputs: scores },
    };
    Ok((timing, Json(body)).into_response())
}
