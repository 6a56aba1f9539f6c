//! What the lower floors refuse, as problems: registry, pipeline and batching errors become codes and details.

use std::fmt::Write as _;
use std::time::Duration;

use super::problem::{Code, Problem};
use crate::batch;
use crate::image::PictureError;
use crate::name::ModelName;
use crate::pipeline::{self, PrepareError};
use crate::registry::Unresolved;

/// Names shown in a detail; more are counted.
const NAMES_SHOWN: usize = 10;

/// `a, b, c`, or what `none` says when there is none.
pub(super) fn listed(names: impl ExactSizeIterator<Item = impl std::fmt::Display>, none: &str) -> String {
    let count = names.len();
    let mut text = String::new();
    for name in names.take(NAMES_SHOWN) {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{name}");
    }
    if count > NAMES_SHOWN {
        let _ = write!(text, " and {} more", count - NAMES_SHOWN);
    }
    if text.is_empty() { none.to_owned() } else { text }
}

/// `; did you mean "x"?`, or nothing.
pub(super) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

fn unknown_model(wanted: &str, nearest: Option<&ModelName>, known: &[ModelName]) -> String {
    let meant = did_you_mean(nearest.map(ModelName::as_str));
    let separator = if meant.is_empty() { ";" } else { "" };
    format!("there is no model {wanted:?}{meant}{separator} models: {}", listed(known.iter(), "none"))
}

impl From<Unresolved> for Problem {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::UnknownModel { wanted, nearest, known } => {
                Self::new(Code::ModelNotFound, unknown_model(&wanted, nearest.as_ref(), &known))
            }
            Unresolved::UnknownVersion { ref ready, .. } => {
                let ready = listed(ready.iter(), "none");
                Self::new(Code::VersionNotFound, format!("{unresolved}; versions that answer: {ready}"))
            }
            Unresolved::NotReady { soon, .. } => Self {
                retry_after: soon.then_some(Duration::from_secs(1)),
                ..Self::new(Code::ModelNotReady, unresolved.to_string())
            },
        }
    }
}

impl From<pipeline::Error> for Problem {
    fn from(error: pipeline::Error) -> Self {
        match error {
            pipeline::Error::Input(error) => error.into(),
            pipeline::Error::Batch(error) => error.into(),
            pipeline::Error::NotFinite => {
                Self::new(Code::NonFiniteOutput, "the network's answer to this input is not a finite number")
            }
            pipeline::Error::Panicked => {
                Self::new(Code::Internal, "preparing this input failed in the server; its log has more")
            }
        }
    }
}

impl From<PrepareError> for Problem {
    fn from(error: PrepareError) -> Self {
        let code = match &error {
            PrepareError::EmptyText => Code::EmptyText,
            PrepareError::TextTooLong { .. } => Code::TextTooLong,
            PrepareError::Tokenizer(_) => Code::UnreadableText,
            PrepareError::Picture(PictureError::UnknownFormat) => Code::UnsupportedPicture,
            PrepareError::Picture(PictureError::TooLarge { .. }) => Code::PictureTooLarge,
            PrepareError::Picture(PictureError::Damaged { .. }) => Code::DamagedPicture,
            PrepareError::NotFinite { .. } => Code::InputRefused,
            PrepareError::WrongKind { .. } => Code::WrongTask,
        };
        Self::new(code, error.to_string())
    }
}

impl From<batch::Error> for Problem {
    fn from(error: batch::Error) -> Self {
        match error {
            batch::Error::Full { unit, asked, waiting, max, retry_after } => {
                let (of, came) =
                    (inputs_or(unit), if asked > 1 { format!(", {asked} came") } else { String::new() });
                let detail = format!(
                    "the queue of this model is full: {waiting} {of} are waiting{came} and at most {max} may; try again later"
                );
                Self { retry_after: Some(retry_after), ..Self::new(Code::QueueFull, detail) }
            }
            batch::Error::TooLarge { unit, asked, max } => {
                let of = inputs_or(unit);
                let detail = format!(
                    "this request brings {asked} {of} and at most {max} may wait for this model: send it in parts"
                );
                Self::new(Code::TooManyInputs, detail)
            }
            batch::Error::Expired { waited } => {
                let detail = format!("the deadline passed after {} ms in the queue", waited.as_millis());
                Self::new(Code::DeadlineExceeded, detail)
            }
            batch::Error::Row(error) => Self::new(Code::InputRefused, error.to_string()),
            batch::Error::Panicked => {
                Self::new(Code::Internal, "computing this input failed in the server; its log has more")
            }
            batch::Error::Closed => Self::new(Code::ShuttingDown, "the server is shutting down"),
        }
    }
}

/// What a bound of the queue counts, in a caller's words.
fn inputs_or(unit: &'static str) -> &'static str {
    if unit == batch::ROWS { "inputs" } else { unit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::RowError;

    #[test]
    fn an_unknown_model_is_told_its_neighbour_and_the_others() {
        let known: Vec<ModelName> = ["intents", "sentiment"].map(|name| name.parse().unwrap()).to_vec();
        let wanted = "sentimnt".to_owned();
        let found =
            Problem::from(Unresolved::UnknownModel { wanted, nearest: Some(known[1].clone()), known });
        assert_eq!(found.code, Code::ModelNotFound);
        assert_eq!(
            found.detail,
            r#"there is no model "sentimnt"; did you mean "sentiment"? models: intents, sentiment"#
        );
        let none = Unresolved::UnknownModel { wanted: "x".to_owned(), nearest: None, known: Vec::new() };
        assert_eq!(Problem::from(none).detail, r#"there is no model "x"; models: none"#);
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        assert_eq!(
            listed((0..12).collect::<Vec<_>>().iter(), "none"),
            "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
        );
    }

    #[test]
    fn each_refusal_has_its_code() {
        let second = Duration::from_secs(1);
        let full = |unit| batch::Error::Full { unit, asked: 1, waiting: 7, max: 8, retry_after: second };
        let cases = [
            (full(batch::ROWS), Code::QueueFull),
            (batch::Error::Expired { waited: second }, Code::DeadlineExceeded),
            (batch::Error::Row(RowError { reason: "token 9 of 4".to_owned() }), Code::InputRefused),
            (batch::Error::Panicked, Code::Internal),
            (batch::Error::Closed, Code::ShuttingDown),
        ];
        for (error, code) in cases {
            assert_eq!(Problem::from(pipeline::Error::from(error)).code, code);
        }
        assert_eq!(Problem::from(pipeline::Error::NotFinite).code, Code::NonFiniteOutput);
        assert_eq!(Problem::from(pipeline::Error::Panicked).code, Code::Internal);
        let tokenizer = PrepareError::Tokenizer("nothing left of it".to_owned());
        assert_eq!(Problem::from(tokenizer).code, Code::UnreadableText);
        for (unit, told) in [(batch::ROWS, "7 inputs are waiting"), ("tokens", "7 tokens are waiting")] {
            let full = Problem::from(full(unit));
            assert_eq!(full.retry_after, Some(second));
            assert!(full.detail.contains(told) && full.detail.contains("at most 8 may"), "{}", full.detail);
        }
    }

    #[test]
    fn a_version_that_is_not_there_is_told_those_that_are() {
        let version = |text: &str| text.parse().unwrap();
        let unresolved = Unresolved::UnknownVersion {
            model: "sentiment".parse().unwrap(),
            wanted: version("9"),
            ready: vec![version("3"), version("2")],
        };
        let found = Problem::from(unresolved);
        assert_eq!(found.code, Code::VersionNotFound);
        assert_eq!(found.detail, "model sentiment has no version 9; versions that answer: 3, 2");
    }
}
