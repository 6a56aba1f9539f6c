//! The JSON body of a classify request: strict, and every error with its place.

use std::fmt::{self, Write as _};
use std::num::NonZeroUsize;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use serde_path_to_error::{Path, Segment};
use utoipa::ToSchema;

use super::depth;
use crate::http::native::question::{Parameters, unknown};
use crate::http::problem::{Code, Problem};
use crate::limits::REQUEST_INPUTS_MAX;

/// What to classify, and by which model.
#[derive(Debug, DeriveDeserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::native) struct ClassifyRequest {
    /// One input or a list of them. Texts as they are; pictures in base64, with or without the `data:` prefix.
    input: OneOrMany,
    /// The model that answers; without it the configured one, or the only one of the task.
    #[schema(example = "sentiment")]
    model: Option<String>,
    /// The version that answers; without it the latest that is ready.
    #[schema(example = "1")]
    version: Option<String>,
    /// Labels wanted of each answer; without it all of them.
    #[schema(value_type = Option<usize>, minimum = 1, example = 3)]
    top_k: Option<NonZeroUsize>,
}

/// The fields of [`ClassifyRequest`].
const FIELDS: [&str; 4] = ["input", "model", "version", "top_k"];

/// The bytes of a picture: PNG, JPEG, WebP, BMP, or GIF (its first frame).
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it documents a body that is taken as bytes")]
pub(in crate::http::native) struct PictureBytes(Vec<u8>);

/// Pictures as parts of a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it documents a body that is read part by part")]
pub(in crate::http::native) struct PictureForm {
    /// The pictures, a part each; a single one is a single input.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<Vec<u8>>,
    /// The model that answers.
    model: Option<String>,
    /// The version that answers.
    version: Option<String>,
    /// Labels wanted of each answer.
    top_k: Option<usize>,
}

/// One input or a list of them.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http::native) enum OneOrMany {
    /// One.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Inputs)
    }
}

/// Reads a string or a list of strings; of a list, one more than is allowed, so that its length can be refused.
struct Inputs;

impl<'de> Visitor<'de> for Inputs {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
        let mut inputs = Vec::new();
        while inputs.len() <= REQUEST_INPUTS_MAX
            && let Some(input) = items.next_element()?
        {
            inputs.push(input);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(OneOrMany::Many(inputs))
    }
}

impl ClassifyRequest {
    /// The inputs and the parameters.
    ///
    /// # Errors
    /// The version is none.
    pub(super) fn split(self) -> Result<(OneOrMany, Parameters), Problem> {
        let version = self.version.map(|version| version.parse()).transpose();
        let version = version.map_err(|error: crate::name::BadVersion| {
            Problem::new(Code::InvalidRequest, error.to_string()).at("/version")
        })?;
        Ok((self.input, Parameters { model: self.model, version, top_k: self.top_k }))
    }
}

/// Reads the body.
///
/// # Errors
/// It is nested too deep, no JSON, or not what is expected, and where.
pub(super) fn parse(text: &str) -> Result<ClassifyRequest, Problem> {
    depth::check(text)?;
    // serde would read a list as the fields in their order.
    if text.trim_start().starts_with('[') {
        let detail = "the body is a list, expected an object such as {\"input\": \"…\"}";
        return Err(Problem::new(Code::InvalidRequest, detail).at(""));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let request = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| refused(error.path(), error.inner()))?;
    deserializer
        .end()
        .map_err(|error| Problem::new(Code::InvalidJson, format!("after the object: {error}")))?;
    Ok(request)
}

fn refused(path: &Path, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    if !error.is_data() {
        return Problem::new(Code::InvalidJson, format!("the body is not JSON: {message}"));
    }
    // serde names the field between back ticks.
    if let Some(name) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
        let place = format!("/{}", escaped(name));
        return Problem::new(Code::InvalidRequest, unknown(name, "field", &FIELDS)).at(place);
    }
    let pointer = pointer(path);
    let place = if pointer.is_empty() { "the body".to_owned() } else { pointer.clone() };
    let message: String = message.chars().take(300).collect();
    Problem::new(Code::InvalidRequest, format!("{place}: {message}")).at(pointer)
}

/// The place as a JSON pointer.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                // Writing to a String cannot fail.
                let _ = write!(pointer, "/{index}");
            }
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&escaped(key));
            }
            Segment::Unknown => {}
        }
    }
    pointer
}

fn escaped(key: &str) -> String {
    let key: String = key.chars().take(80).collect();
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_input_and_a_list_are_told_apart() {
        let one = parse(r#"{"input": "a\u00e9"}"#).unwrap();
        assert_eq!(one.input, OneOrMany::One("aé".to_owned()));
        let text = r#"{"input": ["a", "b"], "model": "m", "version": "3", "top_k": 2}"#;
        let (input, parameters) = parse(text).unwrap().split().unwrap();
        assert_eq!(input, OneOrMany::Many(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(parameters.model.as_deref(), Some("m"));
        assert_eq!((parameters.version.unwrap().get(), parameters.top_k.unwrap().get()), (3, 2));
    }

    #[test]
    fn a_long_list_is_read_to_its_end_and_kept_short() {
        let text = format!(r#"{{"input": [{}"x"]}}"#, r#""x","#.repeat(5_000));
        let OneOrMany::Many(inputs) = parse(&text).unwrap().input else { panic!("expected a list") };
        assert_eq!(inputs.len(), REQUEST_INPUTS_MAX + 1);
    }

    #[test]
    fn every_error_has_its_place() {
        let cases = [
            (
                r#"{"inputs": "a"}"#,
                "/inputs",
                r#"there is no field "inputs"; did you mean "input"? fields: input, "#,
            ),
            (r#"{"input": ["a", 3]}"#, "/input/1", "/input/1: invalid type: integer `3`, expected a string"),
            (
                r#"{"input": {}}"#,
                "/input",
                "/input: invalid type: map, expected a string or a list of strings",
            ),
            (
                r#"{"input": "a", "version": 3}"#,
                "/version",
                "/version: invalid type: integer `3`, expected a string",
            ),
            (
                r#"{"input": "a", "top_k": 0}"#,
                "/top_k",
                "/top_k: invalid value: integer `0`, expected a nonzero",
            ),
            (r#"{"input": "a", "top_k": -1}"#, "/top_k", "/top_k: invalid value: integer `-1`"),
            (r#"{"model": "m"}"#, "", "the body: missing field `input`"),
            (r#" ["a"]"#, "", "the body is a list, expected an object"),
        ];
        for (text, pointer, detail) in cases {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.code, Code::InvalidRequest, "{text}");
            assert!(problem.detail.starts_with(detail), "{text}: {}", problem.detail);
            assert_eq!(problem.errors[0].pointer.as_deref(), Some(pointer), "{text}");
        }
        let twice = parse(r#"{"input": "a", "input": "b"}"#).unwrap_err();
        assert!(twice.detail.contains("duplicate field `input`"), "{}", twice.detail);
        let version = parse(r#"{"input": "a", "version": "x"}"#).unwrap().split().unwrap_err();
        assert_eq!(version.errors[0].pointer.as_deref(), Some("/version"));
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        for text in
            ["", "{", "{\"input\": \"a\"} x", "{'input': 'a'}", "\u{feff}{}", r#"{"input": "\ud800"}"#, "nul"]
        {
            assert_eq!(parse(text).unwrap_err().code, Code::InvalidJson, "{text}");
        }
    }
}
