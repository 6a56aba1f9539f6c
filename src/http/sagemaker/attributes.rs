//! The header in which `SageMaker` forwards what a caller says besides the body: `model=sentiment,top_k=1`.

use axum::http::{HeaderMap, HeaderName};

use crate::http::invocation::Choice;
use crate::http::problem::{Code, Problem};

/// The header, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");

/// What the header chooses. Words that are not known are passed over: callers trace with them.
///
/// # Errors
/// A word that is known has a value that cannot be read.
pub(super) fn choice(headers: &HeaderMap) -> Result<Choice, Problem> {
    let mut choice = Choice::default();
    let Some(value) = headers.get(HEADER) else { return Ok(choice) };
    let Ok(text) = value.to_str() else { return Ok(choice) };
    for (name, value) in text.split(',').filter_map(|word| word.split_once('=')) {
        let value = value.trim();
        match name.trim() {
            "model" | "tfs-model-name" => choice.model = Some(value.to_owned()),
            "version" | "tfs-model-version" => {
                let version = value.parse();
                choice.version = Some(version.map_err(|error| refused(&format!("{error}")))?);
            }
            "top_k" => {
                let wrong = |_| refused(&format!("top_k is {value:?}, expected a whole number from 1"));
                choice.top_k = Some(value.parse().map_err(wrong)?);
            }
            _ => {}
        }
    }
    Ok(choice)
}

fn refused(reason: &str) -> Problem {
    let reason: String = reason.chars().take(200).collect();
    Problem::new(Code::InvalidHeader, format!("{HEADER}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Choice, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, text.parse().unwrap());
        choice(&headers)
    }

    #[test]
    fn known_words_choose_and_others_are_passed_over() {
        let found = read("trace-7, model = sentiment,version=3,top_k=2,x=y").unwrap();
        assert_eq!(found.model.as_deref(), Some("sentiment"));
        assert_eq!(
            (found.version.map(crate::name::Version::get), found.top_k.map(std::num::NonZero::get)),
            (Some(3), Some(2))
        );
        assert_eq!(read("anything at all").unwrap(), Choice::default());
        assert_eq!(read("tfs-model-name=m").unwrap().model.as_deref(), Some("m"));
    }

    #[test]
    fn a_known_word_with_a_bad_value_is_refused() {
        for text in ["version=x", "top_k=0", "top_k="] {
            assert_eq!(read(text).unwrap_err().code, Code::InvalidHeader, "{text}");
        }
    }
}
