//! Classification: a question goes to a model's pipeline, its answers come back in the order of the inputs.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};

use super::answer::Classification;
use super::extract::{ClassifyRequest, PictureBytes, PictureForm, PictureQuestion, TextQuestion};
use super::question::{Inputs, Parameters, Question};
use crate::http::ask::{self, Asked};
use crate::http::deadline::Deadline;
use crate::http::document::Refusals;
use crate::http::problem::Problem;
use crate::http::server::Gateway;
use crate::http::timing;
use crate::pipeline::{Answer, Pipeline};
use crate::registry::Entry;
use crate::value::Task;

/// Classify texts.
///
/// One text or a list of them. A single text that fails is a problem; in a list each failing text carries its own
/// `error` in its place and the others are answered.
#[utoipa::path(
    post,
    path = "/v1/text/classify",
    tag = "classify",
    params(
        ("model" = Option<String>, Query, description = "The model that answers; a field of the JSON body as well"),
        ("version" = Option<String>, Query, description = "The version that answers; without it the latest ready"),
        ("top_k" = Option<usize>, Query, minimum = 1, description = "Labels wanted; without it all"),
        ("x-request-timeout-ms" = Option<u64>, Header, minimum = 1, description = "Milliseconds from the end of the \
            request to its answer; after them it is given up with 504"),
    ),
    request_body(content(
        (ClassifyRequest = "application/json", examples(
            ("one" = (summary = "One text", value = json!({
                "model": "sentiment", "input": "a gripping, funny and deeply moving film"
            }))),
            ("many" = (summary = "Several texts, the best label of each", value = json!({
                "model": "sentiment", "top_k": 1,
                "input": ["a gripping, funny and deeply moving film", "two hours of my life that I will not get back"]
            }))),
        )),
        (String = "text/plain", example = "a gripping, funny and deeply moving film"),
    )),
    responses(
        (status = 200, description = "One result an input, in order", body = Classification, headers(
            ("server-timing" = String, description = "Milliseconds of prepare, queue and compute"),
        )),
        Refusals,
    ),
)]
pub(super) async fn classify_text(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    TextQuestion(question): TextQuestion,
) -> Result<Response, Problem> {
    classify(&gateway, Task::TextClassification, deadline.0, question).await
}

/// Classify pictures.
///
/// The bytes of one picture (PNG, JPEG, WebP, BMP, GIF's first frame), a form with `file` parts, or JSON with
/// pictures in base64. The format is known by the bytes, whatever the content type says.
#[utoipa::path(
    post,
    path = "/v1/image/classify",
    tag = "classify",
    params(
        ("model" = Option<String>, Query, description = "The model that answers; a field of JSON and forms as well"),
        ("version" = Option<String>, Query, description = "The version that answers; without it the latest ready"),
        ("top_k" = Option<usize>, Query, minimum = 1, description = "Labels wanted; without it all"),
        ("x-request-timeout-ms" = Option<u64>, Header, minimum = 1, description = "Milliseconds from the end of the \
            request to its answer; after them it is given up with 504"),
    ),
    request_body(content(
        (ClassifyRequest = "application/json", example = json!({
            "model": "sign-digits",
            "input": "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAR0lEQVR42mN4RiJgGA4agEBAQEBBQcHAwMDBwSEgICAhIaGgoKChoWHChAkLFizYsGHDgQMHLly48ODBgw8fPoxMDSMxaQAAzBI2X17fhrEAAAAASUVORK5CYII="
        })),
        (PictureForm = "multipart/form-data"),
        (PictureBytes = "image/*"),
        (PictureBytes = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "One result an input, in order", body = Classification, headers(
            ("server-timing" = String, description = "Milliseconds of prepare, queue and compute"),
        )),
        Refusals,
    ),
)]
pub(super) async fn classify_picture(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    PictureQuestion(question): PictureQuestion,
) -> Result<Response, Problem> {
    classify(&gateway, Task::ImageClassification, deadline.0, question).await
}

/// Classify a picture, as `curl -T` sends it.
///
/// The same as POST, for `curl -T picture.jpg`, which uses PUT and sends no content type.
#[utoipa::path(
    put,
    path = "/v1/image/classify",
    tag = "classify",
    params(
        ("model" = Option<String>, Query, description = "The model that answers"),
        ("version" = Option<String>, Query, description = "The version that answers; without it the latest ready"),
        ("top_k" = Option<usize>, Query, minimum = 1, description = "Labels wanted; without it all"),
        ("x-request-timeout-ms" = Option<u64>, Header, minimum = 1, description = "Milliseconds from the end of the \
            request to its answer; after them it is given up with 504"),
    ),
    request_body(content((PictureBytes = "application/octet-stream"), (PictureBytes = "image/*"))),
    responses((status = 200, description = "One result", body = Classification), Refusals),
)]
pub(super) async fn upload_picture(
    gateway: State<Gateway>,
    deadline: Extension<Deadline>,
    question: PictureQuestion,
) -> Result<Response, Problem> {
    classify_picture(gateway, deadline, question).await
}

async fn classify(
    gateway: &Gateway,
    task: Task,
    deadline: Instant,
    question: Question,
) -> Result<Response, Problem> {
    let entry = resolve(gateway, task, &question.parameters)?;
    let asked = Asked::by_default(question.parameters.top_k.map(NonZeroUsize::get), deadline);
    let answers = match question.inputs {
        Inputs::One { given, pointer } => {
            let answer = ask::one(&entry, *given, asked).await.map_err(|problem| match pointer {
                Some(pointer) if !problem.code.is_about_the_server() => problem.at(pointer),
                _ => problem,
            })?;
            vec![Ok(answer)]
        }
        Inputs::Many(given) => ask::all(&entry, given, asked).await?,
    };
    Ok(present(&entry, task, answers))
}

fn present(entry: &Entry<Pipeline>, task: Task, answers: Vec<Result<Answer, Problem>>) -> Response {
    let timing = timing::header(answers.iter().filter_map(|answer| answer.as_ref().ok()));
    let mut response = Json(Classification::of(entry, task, answers)).into_response();
    response.headers_mut().extend(timing);
    response
}

/// The version that answers: of the model named, of the configured one, or of the only one of the task.
fn resolve(gateway: &Gateway, task: Task, asked: &Parameters) -> Result<Arc<Entry<Pipeline>>, Problem> {
    match &asked.model {
        Some(name) => ask::doing(gateway, ask::named(gateway, name, asked.version)?, task),
        None => ask::of_task(gateway, task, asked.version),
    }
}
