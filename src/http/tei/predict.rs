//! `/predict`: the labels of texts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::Refusals;
use crate::http::ask::{self, Given};
use crate::http::deadline::Deadline;
use crate::http::instance::Instance;
use crate::http::invocation::every;
use crate::http::labels::{self, Label};
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::pipeline::{Answer, Pipeline};
use crate::registry::Entry;
use crate::value::{Input, Task};

/// Texts whose labels are wanted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it documents a body that is read as it comes")]
struct PredictTexts {
    /// A text, or a list of lists of one text each. A list of two texts is a pair, which no model here takes.
    #[schema(value_type = Value)]
    inputs: serde_json::Value,
    /// Whether a longer text than the model reads is cut. It is, unless this says `false`.
    truncate: Option<bool>,
    /// Where it is cut: only `Right`.
    truncation_direction: Option<String>,
    /// Whether scores are logits, as they are before softmax or sigmoid. They are not, unless this says `true`.
    raw_scores: Option<bool>,
}

/// Labels of one text, or of each of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum PredictedTexts {
    One(Vec<Label>),
    Many(Vec<Vec<Label>>),
}

/// Predict the labels of texts.
///
/// One text: its labels, best first; a list of lists: the labels of each. The default model for texts answers.
#[utoipa::path(
    post,
    path = "/predict",
    tag = "hugging face",
    request_body(content = PredictTexts, example = json!({"inputs": "a gripping, funny and deeply moving film"})),
    responses((status = 200, description = "Labels with scores", body = PredictedTexts), Refusals),
)]
pub(super) async fn predict_texts(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    body: Bytes,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let request = Request::parse(&body)?;
    let entry = ask::of_task(&gateway, Task::TextClassification, None)?;
    let asked = ask::Asked::by_default(None, deadline.0);
    let (texts, single) = match request.texts {
        Texts::One(text) => (vec![text], true),
        Texts::Many(texts) => (texts, false),
    };
    let count_max = gateway.config.request_inputs_max;
    if texts.len() > count_max {
        let detail = format!("batch size {} > maximum allowed batch size {count_max}", texts.len());
        return Err(Problem::new(Code::TooManyInputs, detail));
    }
    let characters = texts.iter().map(|text| text.chars().count()).sum();
    let given: Vec<Given> = texts.into_iter().map(|text| Ok(Input::Text(text))).collect();
    let answers = if single {
        let mut given = given;
        let only = given.pop().ok_or_else(empty)?;
        vec![ask::one(&entry, only, asked).await?]
    } else {
        every(ask::all(&entry, given, asked).await?, "inputs")?
    };
    if request.whole {
        check_whole(&entry, &answers)?;
    }
    let headers = compute_headers(&entry, &answers, characters, begun.elapsed());
    let mut labels = answers.into_iter().map(|answer| written(&entry, answer, request.scores));
    let body = match labels.next() {
        Some(only) if single => PredictedTexts::One(only?),
        first => PredictedTexts::Many(first.into_iter().chain(labels).collect::<Result<_, _>>()?),
    };
    Ok((headers, Json(body)).into_response())
}

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    texts: Texts,
    /// Whether a text that would be cut is refused.
    whole: bool,
    scores: Scores,
}

/// What a label's score is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scores {
    /// Its probability.
    Probability,
    /// Its logit.
    Raw,
}

#[derive(Debug, PartialEq, Eq)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Request {
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        let Instance::Object(members) = Instance::parse(body)? else {
            return Err(invalid("the body is no object, expected one such as {\"inputs\": \"…\"}"));
        };
        let mut inputs = None;
        let (mut whole, mut scores) = (false, Scores::Probability);
        for (name, value) in members {
            match (name.as_str(), value) {
                ("inputs", value) => inputs = Some(texts(value)?),
                ("truncate", Instance::Bool(truncate)) => whole |= !truncate,
                (_, Instance::Null) | ("raw_scores", Instance::Bool(false)) => {}
                ("raw_scores", Instance::Bool(true)) => scores = Scores::Raw,
                ("raw_scores", _) => return Err(invalid("`raw_scores` expected a boolean")),
                ("truncation_direction", Instance::Text(side)) if side.eq_ignore_ascii_case("right") => {}
                ("truncation_direction", _) => {
                    return Err(invalid(
                        "`truncation_direction` may only be \"Right\": models read the first tokens",
                    ));
                }
                ("truncate", _) => return Err(invalid("`truncate` expected a boolean")),
                // What other tasks of these clients say.
                _ => {}
            }
        }
        let texts = inputs.ok_or_else(|| invalid("missing field `inputs`"))?;
        Ok(Self { texts, whole, scores })
    }
}

/// The labels of an answer, best first.
fn written(entry: &Entry<Pipeline>, answer: Answer, scores: Scores) -> Result<Vec<Label>, Problem> {
    match scores {
        Scores::Probability => Ok(labels::of(answer)),
        Scores::Raw => labels::raw(entry, &answer).ok_or_else(|| {
            invalid("`raw_scores` may only be false: this model's scores are the mean of each token's")
        }),
    }
}

const EXPECTED: &str = "a string, a pair of strings [string, string] or a batch of mixed strings and pairs \
                        [[string], [string, string], ...]";

fn texts(value: Instance) -> Result<Texts, Problem> {
    let items = match value {
        Instance::Text(text) => return Ok(Texts::One(text)),
        Instance::List(items) => items,
        other => return Err(invalid(format!("`inputs` is {}, expected {EXPECTED}", other.kind()))),
    };
    match items.first() {
        None => Err(empty()),
        Some(Instance::Text(_)) => sequence(items).map(Texts::One),
        Some(_) => {
            let sequences = items.into_iter().map(|item| match item {
                Instance::List(texts) => sequence(texts),
                other => Err(invalid(format!("`inputs` has {} in it, expected {EXPECTED}", other.kind()))),
            });
            sequences.collect::<Result<_, _>>().map(Texts::Many)
        }
    }
}

/// The text of a list of one.
fn sequence(mut items: Vec<Instance>) -> Result<String, Problem> {
    match (items.len(), items.pop()) {
        (1, Some(Instance::Text(text))) => Ok(text),
        (2, _) => Err(invalid(
            "`inputs` is a pair of texts, and this model takes single texts; several are [[\"…\"], [\"…\"]]",
        )),
        (1, Some(other)) => Err(invalid(format!("`inputs` has {} in it, expected {EXPECTED}", other.kind()))),
        (count, _) => Err(invalid(format!("invalid length {count}, expected {EXPECTED}"))),
    }
}

fn empty() -> Problem {
    Problem::new(Code::InvalidRequest, super::EMPTY)
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

/// Refuses answers to texts that were cut.
fn check_whole(entry: &Entry<Pipeline>, answers: &[Answer]) -> Result<(), Problem> {
    if answers.iter().any(|answer| answer.truncated) {
        let tokens_max = super::info::tokens_max(entry);
        let detail = format!("`inputs` must have at most {tokens_max} tokens unless `truncate` is true");
        return Err(Problem::new(Code::TextTooLong, detail));
    }
    Ok(())
}

/// Where the time went, in the headers that these clients read: milliseconds, and what they were spent on.
fn compute_headers(
    entry: &Arc<Entry<Pipeline>>,
    answers: &[Answer],
    characters: usize,
    total: Duration,
) -> HeaderMap {
    let longest = |phase: fn(&Answer) -> Duration| {
        answers.iter().map(phase).max().unwrap_or_default().as_millis().to_string()
    };
    let tokens: usize = answers.iter().map(|answer| answer.units).sum();
    let total = total.as_millis().to_string();
    let values = [
        ("x-compute-type", entry.handle.device().to_owned()),
        ("x-compute-time", total.clone()),
        ("x-compute-characters", characters.to_string()),
        ("x-compute-tokens", tokens.to_string()),
        ("x-total-time", total),
        ("x-tokenization-time", longest(|answer| answer.timing.prepare)),
        ("x-queue-time", longest(|answer| answer.timing.queue)),
        ("x-inference-time", longest(|answer| answer.timing.compute)),
    ];
    let header = |(name, value): (&'static str, String)| {
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    };
    values.into_iter().filter_map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, Problem> {
        Request::parse(text.as_bytes())
    }

    #[test]
    fn one_text_and_a_batch_are_told_apart() {
        let scores = Scores::Probability;
        let one = |text: &str| Ok(Request { texts: Texts::One(text.to_owned()), whole: false, scores });
        assert_eq!(parse(r#"{"inputs": "a"}"#), one("a"));
        assert_eq!(parse(r#"{"inputs": ["a"], "truncate": true, "raw_scores": false}"#), one("a"));
        let many = parse(r#"{"inputs": [["a"], ["b"]], "truncate": false, "truncation_direction": "Right"}"#);
        let texts = Texts::Many(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(many, Ok(Request { texts, whole: true, scores }));
        assert_eq!(parse(r#"{"inputs": "a", "raw_scores": true}"#).unwrap().scores, Scores::Raw);
    }

    #[test]
    fn what_no_classifier_of_single_texts_does_is_refused() {
        for (text, detail) in [
            ("[]", "the body is no object"),
            ("{}", "missing field `inputs`"),
            (r#"{"inputs": []}"#, "`inputs` cannot be empty"),
            (r#"{"inputs": ["a", "b"]}"#, "`inputs` is a pair of texts"),
            (r#"{"inputs": ["a", "b", "c"]}"#, "invalid length 3, expected a string"),
            (r#"{"inputs": [["a"], "b"]}"#, "`inputs` has a string in it"),
            (r#"{"inputs": [["a"], []]}"#, "invalid length 0"),
            (r#"{"inputs": 3}"#, "`inputs` is a number"),
            (r#"{"inputs": "a", "raw_scores": 1}"#, "`raw_scores` expected a boolean"),
            (r#"{"inputs": "a", "truncation_direction": "Left"}"#, "`truncation_direction` may only be"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.detail.starts_with(detail), "{text}: {}", problem.detail);
        }
    }
}
