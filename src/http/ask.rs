//! Asking a model, whatever the protocol: which version answers, and its answers in the order of the inputs.

use std::sync::Arc;
use std::time::Instant;

use tower::ServiceExt as _;

use super::problem::{Code, Problem};
use super::refuse::listed;
use super::server::Gateway;
use super::timing;
use crate::batch::Priority;
use crate::limits::REQUEST_INPUTS_MAX;
use crate::name::{ModelName, Version};
use crate::pipeline::{Answer, Error, Pipeline, Request};
use crate::registry::{Entry, ModelStatus, State as VersionState};
use crate::value::{Input, Task};

/// How much of an answer is wanted, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Labels wanted; all when `None`.
    pub(super) top_k: Option<usize>,
    /// When the caller stops waiting.
    pub(super) deadline: Instant,
    /// What it goes before.
    pub(super) priority: Priority,
}

impl Asked {
    /// With the default priority.
    pub(super) fn by_default(top_k: Option<usize>, deadline: Instant) -> Self {
        Self { top_k, deadline, priority: Priority::default() }
    }

    /// These inputs, asked so.
    fn of<I>(self, input: I) -> Request<I> {
        let Self { top_k, deadline, priority } = self;
        Request { input, top_k, deadline: Some(deadline), priority }
    }
}

/// One input that was read, or why it cannot be read.
pub(super) type Given = Result<Input, Problem>;

/// The version of this model that answers: the one wanted, or the latest ready.
pub(super) fn named(
    gateway: &Gateway,
    model: &str,
    version: Option<Version>,
) -> Result<Arc<Entry<Pipeline>>, Problem> {
    let name = model.parse::<ModelName>();
    let name = name.map_err(|error| Problem::new(Code::ModelNotFound, error.to_string()))?;
    Ok(gateway.registry.resolve(name.as_str(), version)?)
}

/// The version that answers for a task when no model is named: of the configured model, or of the only one.
pub(super) fn of_task(
    gateway: &Gateway,
    task: Task,
    version: Option<Version>,
) -> Result<Arc<Entry<Pipeline>>, Problem> {
    let name = match gateway.config.default_models.get(&task) {
        Some(name) => name.clone(),
        None => only_model(task, candidates(gateway, task))?,
    };
    doing(gateway, gateway.registry.resolve(name.as_str(), version)?, task)
}

/// The same version, unless it does another task.
pub(super) fn doing(
    gateway: &Gateway,
    entry: Arc<Entry<Pipeline>>,
    task: Task,
) -> Result<Arc<Entry<Pipeline>>, Problem> {
    let does = entry.handle.manifest().task;
    if does == task {
        return Ok(entry);
    }
    let others = candidates(gateway, task);
    let others = listed(others.iter(), "none");
    let detail = format!("model {} does {does}; models for {task}: {others}", entry.model);
    Err(Problem::new(Code::WrongTask, detail))
}

/// The answer to one input.
pub(super) async fn one(entry: &Entry<Pipeline>, given: Given, asked: Asked) -> Result<Answer, Problem> {
    let begun = Instant::now();
    let answer = answer(entry, given, asked).await;
    count(entry, begun, std::slice::from_ref(&answer));
    answer
}

async fn answer(entry: &Entry<Pipeline>, given: Given, asked: Asked) -> Result<Answer, Problem> {
    let request = asked.of(given?);
    entry.handle.clone().oneshot(request).await.map_err(Problem::from)
}

/// The answers to several inputs, which enter the queue as one and are computed side by side, each with its own problem.
///
/// # Errors
/// They do not fit the queue; or nothing was answered and the server was why, each time the same way.
pub(super) async fn all(
    entry: &Entry<Pipeline>,
    given: Vec<Given>,
    asked: Asked,
) -> Result<Vec<Result<Answer, Problem>>, Problem> {
    let begun = Instant::now();
    let answers = match <[Given; 1]>::try_from(given) {
        Ok([only]) => Ok(vec![answer(entry, only, asked).await]),
        Err(several) => together(entry, several, asked).await,
    };
    let answers = answers.inspect_err(|_| entry.handle.count_failure(begun.elapsed()))?;
    count(entry, begun, &answers);
    whole_refusal(&answers)?;
    Ok(answers)
}

/// The answers to the inputs that could be read, and in their places the problems of the others.
async fn together(
    entry: &Entry<Pipeline>,
    given: Vec<Given>,
    asked: Asked,
) -> Result<Vec<Result<Answer, Problem>>, Problem> {
    let mut inputs = Vec::with_capacity(given.len());
    let problems: Vec<Option<Problem>> =
        given.into_iter().map(|given| given.map(|input| inputs.push(input)).err()).collect();
    let answers: Vec<Result<Answer, Error>> = entry.handle.clone().oneshot(asked.of(inputs)).await?;
    let mut answers = answers.into_iter();
    let missing = || Err(Problem::new(Code::Internal, "an input has no answer"));
    let place = |problem: Option<Problem>| match problem {
        Some(problem) => Err(problem),
        None => answers.next().map_or_else(missing, |answer| answer.map_err(Problem::from)),
    };
    Ok(problems.into_iter().map(place).collect())
}

/// Counts a request for the statistics of its model.
fn count(entry: &Entry<Pipeline>, begun: Instant, answers: &[Result<Answer, Problem>]) {
    let took = begun.elapsed();
    if answers.iter().all(Result::is_ok) {
        entry.handle.count_success(took, &timing::longest(answers.iter().flatten()));
    } else {
        entry.handle.count_failure(took);
    }
}

/// Refuses an empty list and one that is longer than a request may bring.
///
/// # Errors
/// Which of the two.
pub(super) fn check_count(count: usize, count_max: usize) -> Result<(), Problem> {
    let count_max = count_max.min(REQUEST_INPUTS_MAX);
    if count == 0 {
        let detail = "the list of inputs is empty: expected at least one";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    if count > count_max {
        let detail = format!("more than {count_max} inputs in one request: send them in several");
        return Err(Problem::new(Code::TooManyInputs, detail));
    }
    Ok(())
}

/// The version that answers when none is named.
pub(super) fn answering(model: &ModelStatus<Pipeline>) -> Option<&Entry<Pipeline>> {
    model.versions.iter().find_map(|version| match &version.state {
        VersionState::Ready(entry) => Some(&**entry),
        _ => None,
    })
}

/// The problem of the whole request, when nothing was answered and the server was why, each time the same way.
fn whole_refusal(answers: &[Result<Answer, Problem>]) -> Result<(), Problem> {
    let Some(Err(first)) = answers.first() else { return Ok(()) };
    let same =
        |answer: &Result<Answer, Problem>| answer.as_ref().is_err_and(|problem| problem.code == first.code);
    if first.code.is_about_the_server() && answers.iter().all(same) { Err(first.clone()) } else { Ok(()) }
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

    #[test]
    fn a_list_has_one_input_and_no_more_than_the_bound() {
        assert_eq!(check_count(0, 4).unwrap_err().code, Code::InvalidRequest);
        check_count(4, 4).unwrap();
        assert_eq!(check_count(5, 4).unwrap_err().code, Code::TooManyInputs);
        assert_eq!(check_count(REQUEST_INPUTS_MAX + 1, usize::MAX).unwrap_err().code, Code::TooManyInputs);
    }
}
