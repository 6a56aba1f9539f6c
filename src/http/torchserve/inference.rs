//! Predictions, health, and what the API is.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, FromRequest as _, Multipart, Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, http};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Refusals, serving, version};
use crate::http::ask::{self, Asked, Given, check_count};
use crate::http::binary::Binary;
use crate::http::deadline::Deadline;
use crate::http::instance::{Instance, OneOrMany, read};
use crate::http::invocation::{Envelope, Wording, essence, every};
use crate::http::labels::{self, ByLabel};
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::http::{document, health, timing};
use crate::limits::MULTIPART_PARTS_MAX;
use crate::pipeline::{Answer, Pipeline};
use crate::registry::Entry;

/// Labels of an answer unless the request says otherwise: as many as `TorchServe`'s classifiers give.
const TOP_K: usize = 5;

/// That the server is well.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ping {
    /// `Healthy`.
    #[schema(example = "Healthy")]
    status: &'static str,
}

/// The five best labels with their scores; of several inputs a list of such, or such a list as `predictions`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Predictions {
    One(ByLabel),
    Many(Vec<ByLabel>),
    Named { predictions: Vec<ByLabel> },
}

/// Is the server well?
///
/// As `/health/ready`. Also what `SageMaker` asks.
#[utoipa::path(
    get,
    path = "/ping",
    tag = "torchserve",
    responses((status = 200, description = "Requests may be sent", body = Ping), Refusals),
)]
pub(super) async fn ping(State(gateway): State<Gateway>) -> Result<Json<Ping>, Problem> {
    health::check(&gateway).map(|()| Json(Ping { status: "Healthy" }))
}

/// That the server is not well.
pub(super) fn unhealthy() -> Response {
    (http::StatusCode::INTERNAL_SERVER_ERROR, Json(Ping { status: "Unhealthy" })).into_response()
}

/// Predict.
///
/// The body is the input (a text, a picture), a form with a part for each input, or JSON: an input, a list of them, or
/// `{"instances": […]}`.
#[utoipa::path(
    post,
    path = "/predictions/{name}",
    tag = "torchserve",
    params(("name" = String, Path, description = "The model's name", example = "sentiment")),
    request_body(content(
        (String = "text/plain", example = "a gripping, funny and deeply moving film"),
        (Binary = "application/octet-stream"),
        (Binary = "image/*"),
        (serde_json::Value = "application/json"),
        (Object = "multipart/form-data"),
    )),
    responses((status = 200, description = "Labels with scores", body = serde_json::Value,
        example = json!({"positive": 0.97, "negative": 0.03})), Refusals),
)]
pub(super) async fn predictions(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let entry = serving(&gateway, &name, None)?;
    answer(&gateway, &entry, request, deadline.0).await
}

/// Predict, as `curl -T` sends it.
#[utoipa::path(
    put,
    path = "/predictions/{name}",
    tag = "torchserve",
    params(("name" = String, Path, description = "The model's name", example = "sentiment")),
    request_body(content((Binary = "application/octet-stream"), (String = "text/plain"))),
    responses((status = 200, description = "Labels with scores", body = serde_json::Value,
        example = json!({"positive": 0.97, "negative": 0.03})), Refusals),
)]
pub(super) async fn put_predictions(
    gateway: State<Gateway>,
    deadline: Extension<Deadline>,
    name: Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    predictions(gateway, deadline, name, request).await
}

/// Predict, by a version.
#[utoipa::path(
    post,
    path = "/predictions/{name}/{version}",
    tag = "torchserve",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = String, Path, description = "The version, as `1` or `1.0`", example = "1.0"),
    ),
    request_body(content(
        (String = "text/plain", example = "a gripping, funny and deeply moving film"),
        (Binary = "application/octet-stream"),
        (Binary = "image/*"),
        (serde_json::Value = "application/json"),
        (Object = "multipart/form-data"),
    )),
    responses((status = 200, description = "Labels with scores", body = serde_json::Value,
        example = json!({"positive": 0.97, "negative": 0.03})), Refusals),
)]
pub(super) async fn version_predictions(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    Path((name, number)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    // The model comes first: its name may be the mistake.
    serving(&gateway, &name, None)?;
    let wanted = Some(version(&number, &name)?);
    let entry = serving(&gateway, &name, wanted)?;
    answer(&gateway, &entry, request, deadline.0).await
}

/// Predict, by a version, as `curl -T` sends it.
#[utoipa::path(
    put,
    path = "/predictions/{name}/{version}",
    tag = "torchserve",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = String, Path, description = "The version, as `1` or `1.0`", example = "1.0"),
    ),
    request_body(content((Binary = "application/octet-stream"), (String = "text/plain"))),
    responses((status = 200, description = "Labels with scores", body = serde_json::Value,
        example = json!({"positive": 0.97, "negative": 0.03})), Refusals),
)]
pub(super) async fn put_version_predictions(
    gateway: State<Gateway>,
    deadline: Extension<Deadline>,
    path: Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    version_predictions(gateway, deadline, path, request).await
}

/// Explain.
///
/// Answers 501: no model here explains itself.
#[utoipa::path(
    post,
    path = "/explanations/{name}",
    tag = "torchserve",
    params(("name" = String, Path, description = "The model's name", example = "sentiment")),
    responses(Refusals),
)]
pub(super) async fn explanations(Path(name): Path<String>) -> Problem {
    let name: String = name.chars().take(100).collect();
    let detail = format!("model {name} has no explanations: this server computes predictions only");
    Problem::new(Code::NotSupported, detail)
}

/// What the API is.
///
/// The OpenAPI document, as `/openapi.json`.
#[utoipa::path(
    options,
    path = "/",
    tag = "torchserve",
    responses((status = 200, description = "The OpenAPI document", body = Object)),
)]
pub(super) async fn describe_api() -> impl axum::response::IntoResponse {
    document::document().await
}

async fn answer(
    gateway: &Gateway,
    entry: &Arc<Entry<Pipeline>>,
    request: Request,
    deadline: Instant,
) -> Result<Response, Problem> {
    let takes = &entry.handle.manifest().input;
    let kind = essence(request.headers()).unwrap_or_default();
    if kind == "application/x-www-form-urlencoded" {
        let detail = "the content-type is application/x-www-form-urlencoded, which curl's -d says by itself: send the \
                      input with -T FILE, or add -H 'content-type: text/plain' or application/json";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    if kind == "multipart/form-data" {
        let parts = parts(request).await?;
        let given: Vec<Given> = parts.into_iter().map(|part| read::bytes(part, takes)).collect();
        return several(entry, Several { given, name: "parts", named: false }, deadline).await;
    }
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    let body = body.map_err(|_| Problem::new(Code::IncompleteBody, "the body broke off before its end"))?;
    if kind != "application/json" {
        return only(entry, read::bytes(body, takes), deadline).await;
    }
    let Envelope { wording, values, .. } = Envelope::parse(&body)?;
    let (values, named) = match (wording, values) {
        (Wording::Instances, values) => match values.items() {
            Ok(items) => (items, true),
            Err(other) => {
                let detail = format!("\"instances\" is {}, expected a list", other.kind());
                return Err(Problem::new(Code::InvalidRequest, detail));
            }
        },
        (_, values) => match values.one_or_many(takes) {
            OneOrMany::One(value) => return only(entry, value.input(takes), deadline).await,
            OneOrMany::Many(values) => (values, false),
        },
    };
    check_count(values.len(), gateway.config.request_inputs_max)?;
    let given: Vec<Given> = values.into_iter().map(|value: Instance| value.input(takes)).collect();
    let name = if named { "instances" } else { "body" };
    several(entry, Several { given, name, named }, deadline).await
}

fn asked(deadline: Instant) -> Asked {
    Asked::by_default(Some(TOP_K), deadline)
}

async fn only(entry: &Entry<Pipeline>, given: Given, deadline: Instant) -> Result<Response, Problem> {
    let answer = ask::one(entry, given, asked(deadline)).await?;
    let timing = timing::header(std::iter::once(&answer));
    Ok((timing, Json(Predictions::One(ByLabel(labels::of(answer))))).into_response())
}

/// Several inputs.
struct Several {
    given: Vec<Given>,
    /// What they are called, for messages.
    name: &'static str,
    /// Whether the answers are `predictions`.
    named: bool,
}

async fn several(entry: &Entry<Pipeline>, several: Several, deadline: Instant) -> Result<Response, Problem> {
    let Several { mut given, name, named } = several;
    if !named && name == "parts" && given.len() == 1 {
        let first = given.swap_remove(0);
        return only(entry, first, deadline).await;
    }
    let answers = every(ask::all(entry, given, asked(deadline)).await?, name)?;
    let timing = timing::header(answers.iter());
    let predictions = answers.into_iter().map(|answer: Answer| ByLabel(labels::of(answer))).collect();
    let body = if named { Predictions::Named { predictions } } else { Predictions::Many(predictions) };
    Ok((timing, Json(body)).into_response())
}

/// The parts of a form, each an input.
async fn parts(request: Request) -> Result<Vec<Bytes>, Problem> {
    let refused = |detail: String| Problem::new(Code::InvalidMultipart, detail);
    let unreadable = |text: String| refused(format!("the multipart body cannot be read: {text}"));
    let mut multipart =
        Multipart::from_request(request, &()).await.map_err(|error| unreadable(error.body_text()))?;
    let mut parts = Vec::new();
    while let Some(part) = multipart.next_field().await.map_err(|error| unreadable(error.body_text()))? {
        if parts.len() >= MULTIPART_PARTS_MAX {
            let detail =
                format!("more than {MULTIPART_PARTS_MAX} parts in one request: send them in several");
            return Err(Problem::new(Code::TooManyInputs, detail));
        }
        parts.push(part.bytes().await.map_err(|error| unreadable(error.body_text()))?);
    }
    if parts.is_empty() {
        return Err(refused("there is no part, as `curl -F data=@picture.jpg` sends one".to_owned()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[tokio::test]
    async fn the_description_is_json() {
        let response = describe_api().await.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    }
}
