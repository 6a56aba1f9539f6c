//! Inputs as JSON values, for the protocols whose inputs have no type of their own: a string is a text, `{"b64": …}`
//! is bytes, nested lists of numbers are token ids, pixels or a prepared tensor, and an object with one member is
//! that member.
//!
//! Numbers in lists are kept as numbers with a shape, four bytes each, and everything else is counted: a body cannot
//! grow to many times its size in memory.

mod numbers;
pub(super) mod read;
mod visit;

use std::num::NonZeroUsize;

use serde::de::DeserializeSeed as _;

pub(super) use self::numbers::Numbers;
use super::problem::{Code, Problem};
use crate::name::Version;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Instance {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number by itself.
    Number(f64),
    /// A string.
    Text(String),
    /// A list that is not numbers all through.
    List(Vec<Instance>),
    /// Nested lists of numbers, as deep and as long everywhere.
    Numbers(Numbers),
    /// An object, its members in their order.
    Object(Vec<(String, Instance)>),
}

/// One value, or a list of them.
#[derive(Debug)]
pub(super) enum OneOrMany {
    /// One.
    One(Instance),
    /// A list.
    Many(Vec<Instance>),
}

impl Instance {
    /// Reads a JSON body.
    ///
    /// # Errors
    /// It is no JSON, has more values than a request may, or the same member twice.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Problem::new(Code::InvalidJson, "JSON Parse error: The document is empty"));
        }
        let budget = visit::Budget::default();
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let parsed = visit::Reader(&budget).deserialize(&mut deserializer);
        let parsed = parsed.and_then(|instance| deserializer.end().map(|()| instance));
        parsed.map_err(|error| refused(body, &error))
    }

    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(_) => "a boolean".to_owned(),
            Self::Number(_) => "a number".to_owned(),
            Self::Text(_) => "a string".to_owned(),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Numbers(numbers) => format!("numbers of shape {:?}", numbers.shape()),
            Self::Object(members) => {
                let names = members.iter().map(|(name, _)| name);
                format!("an object with {}", super::refuse::listed(names, "no members"))
            }
        }
    }

    /// Bytes that a copy of it takes, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Null | Self::Bool(_) | Self::Number(_) => 0,
                Self::Text(text) => text.len(),
                Self::List(items) => items.iter().map(Self::bytes).sum(),
                Self::Numbers(numbers) => size_of_val(numbers.values()),
                Self::Object(members) => members.iter().map(|(name, value)| name.len() + value.bytes()).sum(),
            }
    }

    /// The items of a list, or the value itself when it is none. Of very many numbers they are as many as tell that they
    /// are more than a request may bring.
    pub(super) fn items(self) -> Result<Vec<Self>, Self> {
        match self {
            Self::List(items) => Ok(items),
            Self::Numbers(numbers) => Ok(numbers.inputs()),
            other => Err(other),
        }
    }

    /// A whole number from 1, if it is one.
    pub(super) fn count(&self) -> Option<NonZeroUsize> {
        match self {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in the range")]
            Self::Number(number) if number.fract() == 0.0 && (1.0..=1e9).contains(number) => {
                NonZeroUsize::new(*number as usize)
            }
            _ => None,
        }
    }

    /// A version: `"3"` or `3`.
    pub(super) fn version(&self) -> Option<Version> {
        match self {
            Self::Text(text) => text.parse().ok(),
            other => other.count()?.to_string().parse().ok(),
        }
    }
}

/// The problem with a place in it, as a distance from the start.
fn refused(body: &[u8], error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    if error.is_data() {
        let message = message.split(" at line ").next().unwrap_or_default();
        let code = if message == visit::TOO_MANY { Code::TooManyInputs } else { Code::InvalidRequest };
        return Problem::new(code, format!("the body: {}", message.chars().take(200).collect::<String>()));
    }
    let reason = message.split(" at line ").next().unwrap_or_default();
    let code = if reason.contains("recursion limit") { Code::JsonTooDeep } else { Code::InvalidJson };
    let offset = offset(body, error.line(), error.column());
    if let Some(word) = not_finite(body.get(offset..).unwrap_or_default()) {
        let detail = format!(
            "JSON Parse error: {word} at offset: {offset}: no model here takes a number that is not finite"
        );
        return Problem::new(code, detail);
    }
    Problem::new(code, format!("JSON Parse error: {reason} at offset: {offset}"))
}

/// The word with which writers of JSON that is none say a number that is not finite.
fn not_finite(rest: &[u8]) -> Option<&'static str> {
    let rest = rest.strip_prefix(b"-").unwrap_or(rest);
    ["NaN", "Infinity"].into_iter().find(|word| rest.starts_with(word.as_bytes()))
}

/// Bytes before this line and column, both from 1.
fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let lines = body.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    lines.map(<[u8]>::len).sum::<usize>() + column.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Instance {
        Instance::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn values_are_told_apart() {
        assert_eq!(parse(" null "), Instance::Null);
        assert_eq!(parse("true"), Instance::Bool(true));
        assert_eq!(parse("-2.5"), Instance::Number(-2.5));
        assert_eq!(parse(r#""a\u00e9""#), Instance::Text("aé".to_owned()));
        assert_eq!(parse("[]"), Instance::List(Vec::new()));
        let mixed = Instance::List(vec![Instance::Number(1.0), Instance::Text("a".to_owned())]);
        assert_eq!(parse(r#"[1, "a"]"#), mixed);
        let object = Instance::Object(vec![("b".to_owned(), Instance::Null), ("a".to_owned(), mixed)]);
        assert_eq!(parse(r#"{"b": null, "a": [1, "a"]}"#), object);
        assert_eq!(object.kind(), "an object with b, a");
    }

    #[test]
    fn what_is_no_json_is_told_by_its_offset() {
        let cases = [
            ("", Code::InvalidJson, "JSON Parse error: The document is empty"),
            (" \n", Code::InvalidJson, "JSON Parse error: The document is empty"),
            ("{\n'a': 1}", Code::InvalidJson, "JSON Parse error: key must be a string at offset: 2"),
            ("[1, 2", Code::InvalidJson, "JSON Parse error: EOF while parsing a list at offset: 4"),
            ("1 2", Code::InvalidJson, "JSON Parse error: trailing characters at offset: 2"),
            (r#"{"a": 1, "a": 2}"#, Code::InvalidRequest, r#"the body: "a" is there twice"#),
            (
                r#"{"instances": ["NaN", NaN]}"#,
                Code::InvalidJson,
                "JSON Parse error: NaN at offset: 22: no model here takes a number that is not finite",
            ),
            (
                "[0, -Infinity]",
                Code::InvalidJson,
                "JSON Parse error: Infinity at offset: 5: no model here takes a number that is not finite",
            ),
        ];
        for (text, code, detail) in cases {
            let problem = Instance::parse(text.as_bytes()).unwrap_err();
            assert_eq!((problem.code, problem.detail.as_str()), (code, detail), "{text}");
        }
        let deep = "[".repeat(1_000);
        assert_eq!(Instance::parse(deep.as_bytes()).unwrap_err().code, Code::JsonTooDeep);
        assert_eq!(Instance::parse(b"\"\xff\"").unwrap_err().code, Code::InvalidJson);
    }

    #[test]
    fn a_body_of_many_small_values_is_refused_and_one_of_many_numbers_is_not() {
        let of = |item: &str| format!("[{}{item}]", format!("{item},").repeat(100_000));
        for item in ["[]", "null", "\"\"", "{}", "[1]"] {
            let parsed = Instance::parse(of(item).as_bytes());
            if item == "[1]" {
                let Ok(Instance::Numbers(numbers)) = parsed else { panic!("expected numbers") };
                assert_eq!(numbers.shape(), [100_001, 1]);
            } else {
                assert_eq!(parsed.unwrap_err().code, Code::TooManyInputs, "{item}");
            }
        }
        let late = format!("[{}\"x\"]", "1,".repeat(100_000));
        assert_eq!(Instance::parse(late.as_bytes()).unwrap_err().code, Code::TooManyInputs);
    }

    #[test]
    fn counts_and_versions_are_whole_numbers_from_1() {
        assert_eq!(parse("3").count(), NonZeroUsize::new(3));
        assert_eq!(parse("\"12\"").version().map(Version::get), Some(12));
        assert_eq!(parse("12").version().map(Version::get), Some(12));
        for text in ["0", "-1", "1.5", "1e300", "\"x\"", "null"] {
            assert_eq!((parse(text).count(), parse(text).version()), (None, None), "{text}");
        }
    }
}
