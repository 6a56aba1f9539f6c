//! An answer of `sconce predict` as a table for people and as a line of JSON for machines.

use std::fmt::Write as _;

use serde::Serialize;

use super::Done;
use crate::value::Prediction;

/// Characters of an input that are shown above its predictions.
const NAME_CHARS_MAX: usize = 80;

/// The input, and below it a label and its score a line.
pub(super) fn table(done: &Done) -> String {
    let flat: String = done.name.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text: String = flat.chars().take(NAME_CHARS_MAX).collect();
    if text.len() < flat.len() {
        text.push('…');
    }
    match &done.outcome {
        Ok(outcome) => {
            let width =
                outcome.predictions.iter().map(|found| found.label.chars().count()).max().unwrap_or(0);
            for Prediction { label, score } in &outcome.predictions {
                // Writing into a String cannot fail.
                write!(text, "\n  {label:width$}  {score:.4}").ok();
            }
        }
        Err(reason) => {
            write!(text, "\n  error: {reason}").ok();
        }
    }
    text
}

/// One line of JSON.
pub(super) fn line(done: &Done) -> String {
    let (predictions, positions, error) = match &done.outcome {
        Ok(outcome) => (
            Some(scored(&outcome.predictions)),
            outcome.positions.iter().map(|found| scored(found)).collect(),
            None,
        ),
        Err(reason) => (None, Vec::new(), Some(reason.as_str())),
    };
    let line = Line { input: &done.name, predictions, positions, error };
    serde_json::to_string(&line).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()))
}

fn scored(predictions: &[Prediction]) -> Vec<Scored<'_>> {
    predictions.iter().map(|found| Scored { label: &found.label, score: found.score }).collect()
}

#[derive(Serialize)]
struct Line<'a> {
    input: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    predictions: Option<Vec<Scored<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    positions: Vec<Vec<Scored<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Scored<'a> {
    label: &'a str,
    score: f32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Outcome;

    fn answered() -> Done {
        let found = |label: &str, score| Prediction { label: label.into(), score };
        let predictions = vec![found("positive", 0.9), found("no", 0.1)];
        Done {
            name: "a fine\nfilm".into(),
            outcome: Ok(Outcome { scores: Vec::new(), predictions, positions: Vec::new() }),
        }
    }

    #[test]
    fn an_answer_is_a_table_or_a_line() {
        assert_eq!(table(&answered()), "a fine film\n  positive  0.9000\n  no        0.1000");
        let expected = r#"{"input":"a fine\nfilm","predictions":[{"label":"positive","score":0.9},{"label":"no","score":0.1}]}"#;
        assert_eq!(line(&answered()), expected);
    }

    #[test]
    fn a_failure_stands_in_the_place_of_its_answer() {
        let failed = Done { name: " ".into(), outcome: Err("the text is empty".into()) };
        assert_eq!(table(&failed), "\n  error: the text is empty");
        assert_eq!(line(&failed), r#"{"input":" ","error":"the text is empty"}"#);
    }
}
