//! Classification: a question goes to a model's pipeline, its answers come back in the order of the inputs.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, http::HeaderName};
use futures_util::future::join_all;
use tower::ServiceExt as _;

use super::answer::{Classification, InputResult, Usage, server_timing};
use super::deadline::Deadline;
use super::document::Refusals;
use super::extract::{ClassifyRequest, PictureBytes, PictureForm, PictureQuestion, TextQuestion};
use super::problem::{Code, Problem};
use super::question::{Given, Inputs, Parameters, Question};
use super::refuse::listed;
use super::server::Gateway;
use crate::name::ModelName;
use crate::pipeline::{Answer, Pipeline, Request};
use crate::registry::{Entry, State as VersionState};
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
        ("x-request-timeout-ms" = Option<u64>, Header, description = "Milliseconds from the end of the request to \
            its answer; after them it is given up with 504"),
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
        ("x-request-timeout-ms" = Option<u64>, Header, description = "Milliseconds from the end of the request to \
            its answer; after them it is given up with 504"),
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
        ("x-request-timeout-ms" = Option<u64>, Header, description = "Milliseconds from the end of the request to \
            its answer; after them it is given up with 504"),
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
    let ask = |given: Given| {
        let top_k = question.parameters.top_k.map(std::num::NonZero::get);
        let pipeline = entry.handle.clone();
        async move {
            let request = Request { input: given?, top_k, deadline: Some(deadline) };
            pipeline.oneshot(request).await.map_err(Problem::from)
        }
    };
    let answers = match question.inputs {
        Inputs::One { given, pointer } => {
            let answer = ask(*given).await.map_err(|problem| match pointer {
                Some(pointer) if !problem.code.is_about_the_server() => problem.at(pointer),
                _ => problem,
            })?;
            vec![Ok(answer)]
        }
        Inputs::Many(given) => {
            let answers = join_all(given.into_iter().map(ask)).await;
            whole_refusal(&answers)?;
            answers
        }
    };
    Ok(present(&entry, task, answers))
}

fn present(entry: &Entry<Pipeline>, task: Task, answers: Vec<Result<Answer, Problem>>) -> Response {
    let answered = || answers.iter().filter_map(|answer| answer.as_ref().ok());
    let usage = Usage::of(task, answered());
    let timing = HeaderValue::try_from(server_timing(answered()));
    let result = |answer: Result<Answer, Problem>| answer.map_or_else(InputResult::from, InputResult::from);
    let body = Classification {
        model: entry.model.to_string(),
        version: entry.version.to_string(),
        results: answers.into_iter().map(result).collect(),
        usage,
    };
    let mut response = Json(body).into_response();
    if let Ok(timing) = timing {
        response.headers_mut().insert(HeaderName::from_static("server-timing"), timing);
    }
    response
}

/// The problem of the whole request, when nothing was answered and the server was why, each time the same way.
fn whole_refusal(answers: &[Result<Answer, Problem>]) -> Result<(), Problem> {
    let Some(Err(first)) = answers.first() else { return Ok(()) };
    let same =
        |answer: &Result<Answer, Problem>| answer.as_ref().is_err_and(|problem| problem.code == first.code);
    if first.code.is_about_the_server() && answers.iter().all(same) { Err(first.clone()) } else { Ok(()) }
}

/// The version that answers: of the model named, of the configured one, or of the only one of the task.
fn resolve(gateway: &Gateway, task: Task, asked: &Parameters) -> Result<Arc<Entry<Pipeline>>, Problem> {
    let name = match &asked.model {
        Some(name) => {
            let name = name.parse::<ModelName>();
            name.map_err(|error| Problem::new(Code::ModelNotFound, error.to_string()))?
        }
        None => match gateway.config.default_models.get(&task) {
            Some(name) => name.clone(),
            None => only_model(task, candidates(gateway, task))?,
        },
    };
    let entry = gateway.registry.resolve(name.as_str(), asked.version)?;
    let does = entry.handle.manifest().task;
    if does == task {
        return Ok(entry);
    }
    let others = candidates(gateway, task);
    let others = listed(others.iter(), "none");
    Err(Problem::new(Code::WrongTask, format!("model {name} does {does}; models for {task}: {others}")))
}

/// The models of a task that have a version that answers.
fn candidates(gateway: &Gateway, task: Task) -> Vec<ModelName> {
    let does = |state: &VersionState<Pipeline>| matches!(state, VersionState::Ready(entry) if entry.handle.manifest().task == task);
    let models = gateway.registry.models().into_iter();
    let fits = models.filter(|model| model.versions.iter().any(|version| does(&version.state)));
    fits.map(|model| model.name).collect()
}

fn only_model(task: Task, candidates: Vec<ModelName>) -> Result<ModelName, Problem> {
    match <[ModelName; 1]>::try_from(candidates) {
        Ok([only]) => Ok(only),
        Err(none) if none.is_empty() => Err(Problem::new(
            Code::ModelNotReady,
            format!("no model for {task} is ready; /v1/models says why"),
        )),
        Err(several) => {
            let names = listed(several.iter(), "none");
            let detail = format!("several models do {task}: name one as \"model\"; models: {names}");
            Err(Problem::new(Code::ModelRequired, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_fails_as_a_whole_only_for_one_reason_of_the_server() {
        let problem = |code| Err(Problem::new(code, "because"));
        let full = whole_refusal(&[problem(Code::QueueFull), problem(Code::QueueFull)]).unwrap_err();
        assert_eq!(full.code, Code::QueueFull);
        whole_refusal(&[problem(Code::QueueFull), problem(Code::DeadlineExceeded)]).unwrap();
        whole_refusal(&[problem(Code::EmptyText), problem(Code::EmptyText)]).unwrap();
        whole_refusal(&[problem(Code::QueueFull), problem(Code::EmptyText)]).unwrap();
    }

    #[test]
    fn without_a_name_the_only_model_answers() {
        let names =
            |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<ModelName>>();
        let task = Task::TextClassification;
        assert_eq!(only_model(task, names(&["sentiment"])).unwrap().as_str(), "sentiment");
        let several = only_model(task, names(&["intents", "sentiment"])).unwrap_err();
        assert_eq!(several.code, Code::ModelRequired);
        assert!(several.detail.ends_with("models: intents, sentiment"), "{}", several.detail);
        assert_eq!(only_model(task, Vec::new()).unwrap_err().code, Code::ModelNotReady);
    }
}
