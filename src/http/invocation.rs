//! A request of any content type to a path that names no protocol: what platforms forward of their callers.
//!
//! Text, a picture, or JSON in one of three wordings, each answered in its own: `{"input": …}` as this server's own
//! API, `{"inputs": …}` as Hugging Face's pipelines, `{"instances": […]}` as `{"predictions": […]}`.

mod content;
mod envelope;
mod lines;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, http};
use bytes::Bytes;
use serde::Serialize;

pub(super) use self::content::Content;
pub(super) use self::envelope::{Envelope, Wording};
use super::ask::{self, Asked, Given, check_count};
use super::instance::{Instance, OneOrMany, read};
use super::labels::{self, Label};
use super::native::Classification;
use super::problem::{Code, Problem};
use super::server::Gateway;
use super::timing;
use crate::name::Version;
use crate::pipeline::{Answer, Pipeline};
use crate::registry::{Entry, State as VersionState};
use crate::value::Task;

/// Which model is to answer, and how much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// The model.
    pub(super) model: Option<String>,
    /// The version of it.
    pub(super) version: Option<Version>,
    /// Labels wanted.
    pub(super) top_k: Option<NonZeroUsize>,
    /// How the labels of one text alone are written.
    pub(super) lone: Lone,
}

/// How the labels of one text alone are written, in the wording of Hugging Face. Those of a picture are always a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lone {
    /// As a list: as pipelines answer, and the containers made of them.
    #[default]
    List,
    /// As the only list of a list: as Hugging Face's own API answers, whose clients take the first.
    ListOfOne,
}

impl Lone {
    fn written(self, task: Task, labels: Vec<Label>) -> Body {
        match (self, task) {
            (Self::ListOfOne, Task::TextClassification) => Body::Lists(vec![labels]),
            _ => Body::Labels(labels),
        }
    }
}

impl Choice {
    /// These, and another's where these say nothing.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            model: self.model.or(other.model),
            version: self.version.or(other.version),
            top_k: self.top_k.or(other.top_k),
            lone: self.lone,
        }
    }

    /// How much is wanted, and until when.
    pub(super) fn asked(&self, deadline: Instant) -> Asked {
        Asked::by_default(self.top_k.map(NonZeroUsize::get), deadline)
    }
}

/// Answers a body. What the choice says goes before what the body says.
///
/// # Errors
/// What was wrong with the request, or with the only input or any of several; of JSON lines each has its own.
pub(super) async fn invoke(
    gateway: &Gateway,
    choice: Choice,
    content: Content,
    deadline: Instant,
) -> Result<Response, Problem> {
    match content {
        Content::Json(body) => {
            let reply = json(gateway, choice, &body, deadline).await?;
            Ok(reply.into_response())
        }
        Content::Lines(body) => lines::answer_each(gateway, &choice, &body, deadline).await,
        Content::Bytes { bytes, task } => {
            let entry = answering(gateway, &choice, task)?;
            let given = read::bytes(bytes, &entry.handle.manifest().input);
            let answer = ask::one(&entry, given, choice.asked(deadline)).await?;
            let timing = timing::header(std::iter::once(&answer));
            let body = choice.lone.written(entry.handle.manifest().task, labels::of(answer));
            Ok(Reply { timing, body }.into_response())
        }
    }
}

/// Answers a body of JSON.
async fn json(gateway: &Gateway, choice: Choice, body: &Bytes, deadline: Instant) -> Result<Reply, Problem> {
    let mut envelope = Envelope::parse(body)?;
    envelope.choice = choice.or(envelope.choice);
    let entry = answering(gateway, &envelope.choice, envelope.values.task())?;
    let asked = envelope.choice.asked(deadline);
    answer(gateway, &entry, envelope, asked).await
}

/// The answer of this version to what is in an envelope.
///
/// # Errors
/// What was wrong with it; with any of several inputs, except in this server's own wording.
pub(super) async fn answer(
    gateway: &Gateway,
    entry: &Entry<Pipeline>,
    envelope: Envelope,
    asked: Asked,
) -> Result<Reply, Problem> {
    let manifest = entry.handle.manifest();
    envelope.function.check(manifest.objective)?;
    let inputs = match envelope.wording {
        // Instances are a list, whatever is in them.
        Wording::Instances => OneOrMany::Many(envelope.values.items().map_err(|other| {
            let detail = format!("\"instances\" is {}, expected a list", other.kind());
            Problem::new(Code::InvalidRequest, detail)
        })?),
        Wording::Own | Wording::Inputs => envelope.values.one_or_many(&manifest.input),
    };
    let body = match inputs {
        OneOrMany::One(value) => {
            let answer = ask::one(entry, value.input(&manifest.input), asked).await?;
            let timing = timing::header(std::iter::once(&answer));
            let body = match envelope.wording {
                Wording::Own => Body::Own(Classification::of(entry, manifest.task, vec![Ok(answer)])),
                Wording::Inputs => envelope.choice.lone.written(manifest.task, labels::of(answer)),
                Wording::Instances => Body::Labels(labels::of(answer)),
            };
            return Ok(Reply { timing, body });
        }
        OneOrMany::Many(values) => {
            check_count(values.len(), gateway.config.request_inputs_max)?;
            let given: Vec<Given> = values.into_iter().map(|value| value.input(&manifest.input)).collect();
            ask::all(entry, given, asked).await?
        }
    };
    let timing = timing::header(body.iter().filter_map(|answer| answer.as_ref().ok()));
    let body = match envelope.wording {
        Wording::Own => Body::Own(Classification::of(entry, manifest.task, body)),
        Wording::Inputs => Body::Lists(lists(body, "inputs")?),
        Wording::Instances => Body::Predictions { predictions: lists(body, "instances")? },
    };
    Ok(Reply { timing, body })
}

/// The labels of every answer, or the first problem with its place.
fn lists(answers: Vec<Result<Answer, Problem>>, name: &str) -> Result<Vec<Vec<Label>>, Problem> {
    every(answers, name).map(|answers| answers.into_iter().map(labels::of).collect())
}

/// The answers to several inputs, of which every one must have one.
///
/// # Errors
/// They are none or too many, or the first problem of one with its place in `name`.
pub(super) async fn every_answer(
    gateway: &Gateway,
    entry: &Entry<Pipeline>,
    (name, values): (&str, Vec<Instance>),
    asked: Asked,
) -> Result<Vec<Answer>, Problem> {
    check_count(values.len(), gateway.config.request_inputs_max)?;
    let takes = &entry.handle.manifest().input;
    let given: Vec<Given> = values.into_iter().map(|value| value.input(takes)).collect();
    every(ask::all(entry, given, asked).await?, name)
}

/// Every answer, or the first problem with its place.
pub(super) fn every(answers: Vec<Result<Answer, Problem>>, name: &str) -> Result<Vec<Answer>, Problem> {
    let placed = |(index, answer): (usize, Result<Answer, Problem>)| {
        answer.map_err(|problem| {
            if problem.code.is_about_the_server() {
                return problem;
            }
            let detail = format!("{name}[{index}]: {}", problem.detail);
            Problem { detail, ..problem }.at(format!("/{name}/{index}"))
        })
    };
    answers.into_iter().enumerate().map(placed).collect()
}

/// The version that answers: of the model chosen, of the only model there is, or of the task's.
pub(super) fn answering(
    gateway: &Gateway,
    choice: &Choice,
    task: Task,
) -> Result<Arc<Entry<Pipeline>>, Problem> {
    if let Some(name) = &choice.model {
        return ask::named(gateway, name, choice.version);
    }
    let models = gateway.registry.models();
    let ready = |state: &VersionState<Pipeline>| matches!(state, VersionState::Ready(_));
    let mut ready = models.iter().filter(|model| model.versions.iter().any(|version| ready(&version.state)));
    match (ready.next(), ready.next()) {
        (Some(only), None) => ask::named(gateway, only.name.as_str(), choice.version),
        _ => ask::of_task(gateway, task, choice.version),
    }
}

/// An answer, ready to be written.
#[derive(Debug)]
pub(super) struct Reply {
    /// Where the time went.
    timing: HeaderMap,
    /// What is said.
    body: Body,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body {
    Own(Classification),
    Labels(Vec<Label>),
    Lists(Vec<Vec<Label>>),
    Predictions { predictions: Vec<Vec<Label>> },
}

impl Reply {
    /// The body as it is written, without its headers.
    ///
    /// # Errors
    /// It cannot be written; none that is made here.
    fn written(&self) -> Result<Vec<u8>, Problem> {
        let unwritten = |error: serde_json::Error| Problem::new(Code::Internal, error.to_string());
        serde_json::to_vec(&self.body).map_err(unwritten)
    }
}

impl axum::response::IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        response.headers_mut().extend(self.timing);
        response
    }
}

/// The content type of a body, in small letters and without its parameters.
pub(super) fn essence(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::CONTENT_TYPE)?;
    let value = String::from_utf8_lossy(value.as_bytes());
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}
