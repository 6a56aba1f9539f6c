//! The answer to a classify request, as it is written on the wire.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::labels::{self, Label};
use crate::http::problem::{Code, Problem};
use crate::pipeline::{Answer, Pipeline};
use crate::registry::Entry;
use crate::value::Task;

/// The answer to a classify request.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Classification {
    /// The model that answered.
    #[schema(example = "sentiment")]
    model: String,
    /// The version that answered.
    #[schema(example = "1")]
    version: String,
    /// One result an input, in the order of the inputs.
    results: Vec<InputResult>,
    /// What the answered inputs were worth.
    usage: Usage,
}

impl Classification {
    /// What this version answered.
    pub(in crate::http) fn of(
        entry: &Entry<Pipeline>,
        task: Task,
        answers: Vec<Result<Answer, Problem>>,
    ) -> Self {
        let usage = Usage::of(task, answers.iter().filter_map(|answer| answer.as_ref().ok()));
        let result =
            |answer: Result<Answer, Problem>| answer.map_or_else(InputResult::from, InputResult::from);
        Self {
            model: entry.model.to_string(),
            version: entry.version.to_string(),
            results: answers.into_iter().map(result).collect(),
            usage,
        }
    }
}

/// What one input is, or why it has no answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum InputResult {
    /// It was answered.
    Answered(Answered),
    /// It failed, alone.
    Failed(Failed),
}

/// What one input is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answered {
    /// Labels, best first.
    predictions: Vec<Label>,
    /// The text was longer than the model reads and was cut; absent when it was not.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    truncated: bool,
    /// The predictions of each token, from a model that answers token by token; absent otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    tokens: Vec<TokenResult>,
}

/// What one token is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenResult {
    /// Labels, best first.
    predictions: Vec<Label>,
}

/// Why one input of a list has no answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Failed {
    /// What was wrong.
    error: InputError,
}

/// Why one input of a list has no answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InputError {
    /// What kind of problem it is.
    code: Code,
    /// What was wrong, what was expected.
    detail: String,
}

/// What the answered inputs were worth.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Usage {
    /// Inputs that were answered.
    inputs: usize,
    /// Tokens that the model read; of a text model.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    /// Pixels that the model saw; of an image model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pixels: Option<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl From<Answer> for InputResult {
    fn from(answer: Answer) -> Self {
        let tokens = answer.outcome.positions.into_iter();
        Self::Answered(Answered {
            predictions: labels::written(answer.outcome.predictions),
            truncated: answer.truncated,
            tokens: tokens
                .map(|predictions| TokenResult { predictions: labels::written(predictions) })
                .collect(),
        })
    }
}

impl From<Problem> for InputResult {
    fn from(problem: Problem) -> Self {
        Self::Failed(Failed { error: InputError { code: problem.code, detail: problem.detail } })
    }
}

impl Usage {
    /// What these answers of a model of this task were worth.
    pub(super) fn of<'a>(task: Task, answers: impl Iterator<Item = &'a Answer>) -> Self {
        let (inputs, units) = answers
            .fold((0, 0_usize), |(inputs, units), answer| (inputs + 1, units.saturating_add(answer.units)));
        match task {
            Task::TextClassification => Self { inputs, tokens: Some(units), pixels: None },
            Task::ImageClassification => Self { inputs, tokens: None, pixels: Some(units) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Outcome, Timing};
    use crate::value::Prediction;

    fn answer(units: usize) -> Answer {
        let prediction = |label: &str, score| Prediction { label: label.into(), score };
        Answer {
            outcome: Outcome {
                scores: vec![0.25, 0.75],
                predictions: vec![prediction("b", 0.75), prediction("a", 0.25)],
                positions: Vec::new(),
            },
            logits: crate::value::Logits::new(1, vec![0.0]).unwrap(),
            units,
            truncated: false,
            timing: Timing::default(),
        }
    }

    #[test]
    fn results_are_short_unless_there_is_more_to_say() {
        let plain = serde_json::to_string(&InputResult::from(answer(3))).unwrap();
        assert_eq!(plain, r#"{"predictions":[{"label":"b","score":0.75},{"label":"a","score":0.25}]}"#);
        let mut cut = answer(3);
        cut.truncated = true;
        cut.outcome.positions = vec![vec![Prediction { label: "a".into(), score: 0.5 }]];
        let cut = serde_json::to_value(InputResult::from(cut)).unwrap();
        assert_eq!(cut["truncated"], true);
        assert_eq!(cut["tokens"], serde_json::json!([{"predictions": [{"label": "a", "score": 0.5}]}]));
        let failed = InputResult::from(Problem::new(Code::EmptyText, "the text is empty"));
        let failed = serde_json::to_string(&failed).unwrap();
        assert_eq!(failed, r#"{"error":{"code":"empty_text","detail":"the text is empty"}}"#);
    }

    #[test]
    fn usage_sums() {
        let answers = [answer(3), answer(5)];
        let usage = Usage::of(Task::TextClassification, answers.iter());
        assert_eq!(usage, Usage { inputs: 2, tokens: Some(8), pixels: None });
    }
}
