//! Finding the model that a request names, and having it answer.

use std::sync::Arc;
use std::time::Instant;

use super::errors::invalid;
use super::public::PublicModel;
use super::request::{InferRequest, InferResponse, Inputs, Schedule};
use super::signature::Signature;
use super::{inputs, outputs};
use crate::http::ask::{self, Asked};
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::name::Version;
use crate::pipeline::Pipeline;
use crate::registry::{Entry, Unresolved};

/// A model that answers.
#[derive(Clone, Debug)]
pub(in crate::http) enum Model {
    /// A version from the models directory.
    Version(Arc<Entry<Pipeline>>),
    /// A public test model.
    Public(PublicModel),
}

impl Model {
    /// The model of this name, in the version of this number; the policy's when `version` is empty.
    ///
    /// # Errors
    /// There is none, or it does not answer: in Triton's words.
    pub(in crate::http) fn find(gateway: &Gateway, name: &str, version: &str) -> Result<Self, Problem> {
        let number = number(name, version)?;
        if let Some(public) = PublicModel::named(gateway, name) {
            let there = number.is_none_or(|number| number == Version::FIRST);
            return match (there, gateway.public.is_loaded(public)) {
                (true, true) => Ok(Self::Public(public)),
                (true, false) => Err(no_versions(name)),
                (false, _) => Err(no_version(name, version)),
            };
        }
        gateway
            .registry
            .resolve(name, number)
            .map(Self::Version)
            .map_err(|error| unknown(name, version, &error))
    }

    /// Its name.
    pub(in crate::http) fn name(&self) -> &str {
        match self {
            Self::Version(entry) => entry.model.as_str(),
            Self::Public(public) => public.name(),
        }
    }

    /// Its version.
    pub(in crate::http) fn version(&self) -> String {
        match self {
            Self::Version(entry) => entry.version.to_string(),
            Self::Public(_) => Version::FIRST.to_string(),
        }
    }

    /// What it takes and gives.
    pub(in crate::http) fn signature(&self, gateway: &Gateway) -> Signature {
        match self {
            Self::Version(entry) => {
                let own = entry.handle.request_rows_max().unwrap_or(usize::MAX);
                Signature::of(entry.handle.manifest(), own.min(gateway.config.request_inputs_max))
            }
            Self::Public(public) => public.signature(gateway),
        }
    }
}

/// Answers a request: the deadline is the server's, the request's own may be earlier.
///
/// # Errors
/// What is wrong with the request, or the first of its rows that has no answer and why.
pub(in crate::http) async fn infer(
    gateway: &Gateway,
    request: InferRequest,
    deadline: Instant,
) -> Result<InferResponse, Problem> {
    let model = Model::find(gateway, &request.model, &request.version)?;
    let schedule = Schedule::of(&request.parameters)?;
    let signature = model.signature(gateway);
    let name = model.name();
    let wanted = outputs::wanted(name, &signature, &request.outputs)?;
    let tensors = match request.inputs {
        Inputs::Tensors(tensors) => tensors,
        Inputs::Raw(body) => vec![signature.of_raw(name, &body)?],
    };
    signature.check(name, &tensors)?;
    let outputs = match &model {
        Model::Public(public) => public.answer(gateway, (&wanted, &tensors))?,
        Model::Version(entry) => {
            let given = inputs::rows(name, &tensors)?;
            let asked =
                Asked { top_k: Some(1), deadline: schedule.deadline(deadline), priority: schedule.priority };
            let answers = ask::all(entry, given, asked).await?;
            let answers = answers
                .into_iter()
                .enumerate()
                .map(|(row, answer)| answer.map_err(|problem| at(row, problem)));
            let answers = answers.collect::<Result<Vec<_>, Problem>>()?;
            outputs::of_answers(&wanted, &entry.handle.manifest().labels, &answers)
        }
    };
    Ok(InferResponse { model: name.to_owned(), version: model.version(), id: request.id, outputs })
}

/// The problem of a row, which says which one it is.
fn at(row: usize, problem: Problem) -> Problem {
    if problem.code.is_about_the_server() {
        return problem;
    }
    Problem { detail: format!("row {row} of the batch: {}", problem.detail), ..problem }
}

/// The number of a version; `None` when the policy is to choose.
fn number(model: &str, version: &str) -> Result<Option<Version>, Problem> {
    if version.is_empty() {
        return Ok(None);
    }
    match version.trim_start_matches('0').parse() {
        Ok(number) if version.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(number)),
        _ if version.bytes().all(|byte| byte.is_ascii_digit())
            && version.bytes().any(|byte| byte != b'0') =>
        {
            Err(no_version(model, version))
        }
        _ => {
            let shown: String = version.chars().take(40).collect();
            Err(invalid(format!(
                "failed to get model version from specified version string '{shown}', version should be an integral \
                 value > 0"
            )))
        }
    }
}

fn no_version(model: &str, version: &str) -> Problem {
    let detail = format!("Request for unknown model: '{model}' version {version} is not found");
    Problem::new(Code::VersionNotFound, detail)
}

fn no_versions(model: &str) -> Problem {
    let detail = format!("Request for unknown model: '{model}' has no available versions");
    Problem::new(Code::ModelNotFound, detail)
}

/// That a model does not answer, in Triton's words.
fn unknown(model: &str, version: &str, error: &Unresolved) -> Problem {
    let model: String = model.chars().take(100).collect();
    match error {
        Unresolved::UnknownModel { .. } => {
            Problem::new(Code::ModelNotFound, format!("Request for unknown model: '{model}' is not found"))
        }
        Unresolved::UnknownVersion { .. } => no_version(&model, version),
        Unresolved::NotReady { .. } if version.is_empty() => no_versions(&model),
        Unresolved::NotReady { .. } => {
            let detail =
                format!("Request for unknown model: '{model}' version {version} is not at ready state");
            Problem::new(Code::ModelNotReady, detail)
        }
    }
}
