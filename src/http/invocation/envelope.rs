//! The JSON around inputs: which wording it is in, and what it asks besides.

use super::Choice;
use crate::http::instance::Instance;
use crate::http::problem::{Code, Problem};
use crate::value::Objective;

/// In which words inputs are given, and answers wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Wording {
    /// `{"input": …}`, this server's own.
    Own,
    /// `{"inputs": …}`, or nothing around them.
    Inputs,
    /// `{"instances": […]}`.
    Instances,
}

/// Inputs and what was said with them.
#[derive(Debug)]
pub(in crate::http) struct Envelope {
    /// In which words.
    pub(in crate::http) wording: Wording,
    /// The inputs.
    pub(in crate::http) values: Instance,
    /// Which model is to answer, and how much.
    pub(in crate::http) choice: Choice,
    /// What is to be applied to the outputs.
    pub(in crate::http) function: Function,
}

/// What is to be applied to a network's outputs, in the words of Hugging Face's pipelines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) enum Function {
    /// What the model's manifest says.
    #[default]
    Any,
    /// `"sigmoid"`.
    Sigmoid,
    /// `"softmax"`.
    Softmax,
}

impl Function {
    /// Refuses another function than the one the model was trained for.
    ///
    /// # Errors
    /// Which one that is.
    pub(in crate::http) fn check(self, objective: Objective) -> Result<(), Problem> {
        let own = match objective {
            Objective::MultiClass => Self::Softmax,
            Objective::Binary | Objective::MultiLabel => Self::Sigmoid,
        };
        if self == Self::Any || self == own {
            return Ok(());
        }
        let name = if own == Self::Softmax { "softmax" } else { "sigmoid" };
        let detail = format!("function_to_apply may only be {name:?}, which this model was trained with");
        Err(Problem::new(Code::InvalidRequest, detail))
    }
}

/// The members that hold inputs, each with the wording that it belongs to.
const INPUTS: [(&str, Wording); 3] =
    [("input", Wording::Own), ("inputs", Wording::Inputs), ("instances", Wording::Instances)];

impl Envelope {
    /// Reads a JSON body.
    ///
    /// # Errors
    /// It is no JSON, or says something that is not known.
    pub(in crate::http) fn parse(body: &[u8]) -> Result<Self, Problem> {
        Self::of(Instance::parse(body)?)
    }

    /// What is in this value.
    ///
    /// # Errors
    /// It says something that is not known.
    pub(in crate::http) fn of(value: Instance) -> Result<Self, Problem> {
        let wording_of =
            |name: &str| INPUTS.iter().find(|(known, _)| *known == name).map(|(_, wording)| *wording);
        let bare = |values| Self {
            wording: Wording::Inputs,
            values,
            choice: Choice::default(),
            function: Function::default(),
        };
        let Instance::Object(members) = value else { return Ok(bare(value)) };
        if !members.iter().any(|(name, _)| wording_of(name).is_some()) {
            // An input that is an object by itself.
            return Ok(bare(Instance::Object(members)));
        }
        let mut found = bare(Instance::Null);
        let mut named: Option<&'static str> = None;
        for (name, value) in members {
            if let Some((known, wording)) = INPUTS.into_iter().find(|(known, _)| *known == name) {
                if let Some(other) = named.replace(known) {
                    return Err(invalid(format!(
                        "both {other:?} and {known:?} are there, expected one of them"
                    )));
                }
                (found.wording, found.values) = (wording, value);
            } else {
                found.say(&name, value)?;
            }
        }
        Ok(found)
    }

    fn say(&mut self, name: &str, value: Instance) -> Result<(), Problem> {
        if value == Instance::Null {
            return Ok(());
        }
        match (name, value) {
            ("parameters", Instance::Object(members)) => {
                return members.into_iter().try_for_each(|(name, value)| self.say(&name, value));
            }
            // What Hugging Face's clients say of queues and caches that are not here.
            ("options", Instance::Object(_)) => {}
            ("model", Instance::Text(model)) => self.choice.model = Some(model),
            ("version", value) => {
                let version = value.version();
                let wrong =
                    || invalid(format!("version is {}, expected a whole number from 1", value.kind()));
                self.choice.version = Some(version.ok_or_else(wrong)?);
            }
            ("top_k", value) => {
                let count = value.count();
                let wrong = || invalid(format!("top_k is {}, expected a whole number from 1", value.kind()));
                self.choice.top_k = Some(count.ok_or_else(wrong)?);
            }
            ("return_all_scores", Instance::Bool(all)) => {
                self.choice.top_k = if all { None } else { std::num::NonZeroUsize::new(1) };
            }
            ("function_to_apply", Instance::Text(function)) => {
                self.function = match function.as_str() {
                    "sigmoid" => Function::Sigmoid,
                    "softmax" => Function::Softmax,
                    _ => {
                        return Err(invalid(
                            "function_to_apply may be \"sigmoid\" or \"softmax\"".to_owned(),
                        ));
                    }
                };
            }
            (name, value) => {
                let name: String = name.chars().take(40).collect();
                let known = "model, version, top_k, function_to_apply, return_all_scores, parameters";
                return Err(invalid(format!(
                    "{name:?} is {}; known besides the inputs: {known}",
                    value.kind()
                )));
            }
        }
        Ok(())
    }
}

fn invalid(detail: String) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Envelope, Problem> {
        Envelope::parse(text.as_bytes())
    }

    #[test]
    fn the_wording_is_that_of_the_member() {
        for (text, wording) in [
            (r#"{"input": "a"}"#, Wording::Own),
            (r#"{"inputs": "a"}"#, Wording::Inputs),
            (r#"{"instances": "a"}"#, Wording::Instances),
            (r#""a""#, Wording::Inputs),
        ] {
            let envelope = parse(text).unwrap();
            assert_eq!(
                (envelope.wording, envelope.values),
                (wording, Instance::Text("a".to_owned())),
                "{text}"
            );
        }
        let bare = parse(r#"{"b64": "aGk="}"#).unwrap();
        assert!(matches!(bare.values, Instance::Object(_)));
    }

    #[test]
    fn what_is_said_besides_is_read_wherever_it_stands() {
        let text = r#"{"inputs": "a", "model": "m", "options": {"use_cache": true},
            "parameters": {"top_k": 2, "function_to_apply": "softmax", "version": null}}"#;
        let envelope = parse(text).unwrap();
        assert_eq!(envelope.choice.model.as_deref(), Some("m"));
        assert_eq!(
            (envelope.choice.top_k.map(std::num::NonZero::get), envelope.choice.version),
            (Some(2), None)
        );
        envelope.function.check(Objective::MultiClass).unwrap();
        let problem = envelope.function.check(Objective::Binary).unwrap_err();
        assert!(problem.detail.contains("\"sigmoid\""), "{}", problem.detail);
        let one = parse(r#"{"inputs": "a", "return_all_scores": false}"#).unwrap();
        assert_eq!(one.choice.top_k.map(std::num::NonZero::get), Some(1));
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (text, detail) in [
            (r#"{"inputs": "a", "instances": ["a"]}"#, r#"both "inputs" and "instances" are there"#),
            (r#"{"inputs": "a", "topk": 1}"#, r#""topk" is a number; known besides the inputs"#),
            (r#"{"inputs": "a", "parameters": {"top_k": 0}}"#, "top_k is a number, expected a whole number"),
            (r#"{"inputs": "a", "version": "x"}"#, "version is a string"),
            (r#"{"inputs": "a", "function_to_apply": "none"}"#, "function_to_apply may be"),
        ] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.code, Code::InvalidRequest, "{text}");
            assert!(problem.detail.starts_with(detail), "{}", problem.detail);
        }
    }
}
