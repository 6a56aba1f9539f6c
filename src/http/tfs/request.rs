//! The bodies of `:predict` and `:classify`.

use crate::http::ask::check_count;
use crate::http::instance::Instance;
use crate::http::problem::{Code, Problem};
use crate::limits::CONTEXT_BYTES_MAX;

/// What is to be predicted, and in which format.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    /// `instances`: a row each.
    Rows(Vec<Instance>),
    /// `inputs`: a column.
    Column(Instance),
}

/// The only signature that there is.
pub(super) const SIGNATURE: &str = "serving_default";

/// Reads the body of `:predict`. Members that are not known are passed over, as TensorFlow Serving does.
///
/// # Errors
/// In the words of TensorFlow Serving.
pub(super) fn predict(body: &[u8]) -> Result<Asked, Problem> {
    let mut members = object(body)?;
    check_signature(&mut members)?;
    match (take(&mut members, "instances"), take(&mut members, "inputs")) {
        (Some(_), Some(_)) => Err(invalid(
            "Not formatted correctly expecting only one of 'instances' or 'inputs' keys to exist ",
        )),
        (None, None) => Err(invalid("Missing 'inputs' or 'instances' key")),
        (None, Some(column)) => Ok(Asked::Column(only_named(column))),
        (Some(rows), None) => {
            let rows = rows.items();
            let rows = rows.map_err(|_| invalid("Expecting 'instances' value to be an array/list"))?;
            if rows.is_empty() {
                return Err(invalid("'instances' value is an empty list: expected at least one"));
            }
            Ok(Asked::Rows(rows))
        }
    }
}

/// Reads the body of `:classify`: each example with what all of them share.
///
/// # Errors
/// In the words of TensorFlow Serving; there are more than `count_max` examples, or what they share is too large for as
/// many copies as there are of them.
pub(super) fn classify(body: &[u8], count_max: usize) -> Result<Vec<Instance>, Problem> {
    let mut members = object(body)?;
    check_signature(&mut members)?;
    let shared = match take(&mut members, "context") {
        None => Vec::new(),
        Some(Instance::Object(features)) => features,
        Some(other) => return Err(invalid(format!("'context' is {}, expected an object", other.kind()))),
    };
    let examples = take(&mut members, "examples").ok_or_else(|| invalid("Missing 'examples' key"))?;
    let examples = examples.items().map_err(|_| invalid("Expecting 'examples' value to be an array/list"))?;
    if examples.is_empty() {
        return Err(invalid("'examples' value is an empty list: expected at least one"));
    }
    check_count(examples.len(), count_max)?;
    let bytes: usize = shared.iter().map(|(name, value)| name.len() + value.bytes()).sum();
    if bytes.saturating_mul(examples.len()) > CONTEXT_BYTES_MAX {
        return Err(invalid(format!(
            "'context' is too large for {} examples, each of which has it: at most {CONTEXT_BYTES_MAX} bytes altogether",
            examples.len()
        )));
    }
    let whole = |(index, example): (usize, Instance)| match example {
        Instance::Object(features) => {
            Ok(Instance::Object(features.into_iter().chain(shared.iter().cloned()).collect()))
        }
        other => {
            Err(invalid(format!("examples[{index}] is {}, expected an object of features", other.kind())))
        }
    };
    examples.into_iter().enumerate().map(whole).collect()
}

fn object(body: &[u8]) -> Result<Vec<(String, Instance)>, Problem> {
    match Instance::parse(body)? {
        Instance::Object(members) => Ok(members),
        other => Err(invalid(format!("JSON Value: the body is {}, expected type: object", other.kind()))),
    }
}

fn check_signature(members: &mut Vec<(String, Instance)>) -> Result<(), Problem> {
    match take(members, "signature_name") {
        None => Ok(()),
        Some(Instance::Text(name)) if name.is_empty() || name == SIGNATURE => Ok(()),
        Some(Instance::Text(name)) => {
            let name: String = name.chars().take(80).collect();
            Err(invalid(format!("Serving signature name: \"{name}\" not found in signature def")))
        }
        Some(_) => Err(invalid("'signature_name' key must be a string value.")),
    }
}

fn take(members: &mut Vec<(String, Instance)>, name: &str) -> Option<Instance> {
    let at = members.iter().position(|(known, _)| known == name)?;
    Some(members.swap_remove(at).1)
}

/// A column under the name of its tensor is that column.
fn only_named(column: Instance) -> Instance {
    match column {
        Instance::Object(mut members)
            if members.len() == 1 && members.iter().all(|(name, _)| name != "b64") =>
        {
            members.pop().map_or(Instance::Null, |(_, column)| column)
        }
        column => column,
    }
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Instance {
        Instance::Text(text.to_owned())
    }

    #[test]
    fn rows_and_columns_are_told_apart() {
        let rows = predict(br#"{"signature_name": "serving_default", "instances": ["a"], "id": 1}"#);
        assert_eq!(rows, Ok(Asked::Rows(vec![text("a")])));
        assert_eq!(predict(br#"{"inputs": "a"}"#), Ok(Asked::Column(text("a"))));
        let named = predict(br#"{"inputs": {"text": ["a", "b"]}}"#);
        assert_eq!(named, Ok(Asked::Column(Instance::List(vec![text("a"), text("b")]))));
    }

    #[test]
    fn an_example_has_its_features_and_the_shared_ones() {
        let examples = classify(br#"{"context": {"a": "x"}, "examples": [{}, {"b": "y"}]}"#, 2).unwrap();
        let a = || ("a".to_owned(), text("x"));
        let both = Instance::Object(vec![("b".to_owned(), text("y")), a()]);
        assert_eq!(examples, [Instance::Object(vec![a()]), both]);
    }

    #[test]
    fn what_examples_share_is_copied_within_bounds() {
        let body = |bytes: usize, examples: usize| {
            let examples = vec!["{}"; examples].join(",");
            format!(r#"{{"context": {{"a": "{}"}}, "examples": [{examples}]}}"#, "x".repeat(bytes))
        };
        let longest = body(crate::limits::TEXT_BYTES_MAX, 256);
        assert_eq!(classify(longest.as_bytes(), 256).unwrap().len(), 256);
        let large = classify(body(1_000_000, 256).as_bytes(), 256).unwrap_err().detail;
        assert!(large.starts_with("'context' is too large for 256 examples"), "{large}");
        let many = classify(body(1_000_000, 16_000).as_bytes(), 256).unwrap_err();
        assert_eq!(many.code, Code::TooManyInputs);
    }

    #[test]
    fn refusals_are_in_the_words_that_clients_know() {
        for (body, detail) in [
            ("", "JSON Parse error: The document is empty"),
            ("{}", "Missing 'inputs' or 'instances' key"),
            ("[]", "JSON Value: the body is a list of 0, expected type: object"),
            (r#"{"instances": 1}"#, "Expecting 'instances' value to be an array/list"),
            (r#"{"instances": []}"#, "'instances' value is an empty list: expected at least one"),
            (
                r#"{"instances": [1], "inputs": [1]}"#,
                "Not formatted correctly expecting only one of 'instances' or 'inputs' keys to exist ",
            ),
            (r#"{"signature_name": 1}"#, "'signature_name' key must be a string value."),
            (r#"{"signature_name": "x"}"#, "Serving signature name: \"x\" not found in signature def"),
        ] {
            assert_eq!(predict(body.as_bytes()).unwrap_err().detail, detail, "{body}");
        }
        for (body, detail) in [
            ("{}", "Missing 'examples' key"),
            (r#"{"examples": ["a"]}"#, "examples[0] is a string, expected an object of features"),
            (
                r#"{"examples": [], "context": {}}"#,
                "'examples' value is an empty list: expected at least one",
            ),
            (r#"{"context": 1}"#, "'context' is a number, expected an object"),
        ] {
            assert_eq!(classify(body.as_bytes(), 2).unwrap_err().detail, detail, "{body}");
        }
    }
}
