//! What a classify request asks, whatever its content type was.

use std::num::NonZeroUsize;

use crate::http::ask::Given;
use crate::http::problem::{Code, Problem};
use crate::http::refuse::did_you_mean;
use crate::name::{self, Version};

/// What a classify request asks.
#[derive(Debug)]
pub(super) struct Question {
    /// Which model answers, and how much of its answer is wanted.
    pub(super) parameters: Parameters,
    /// What is to be classified.
    pub(super) inputs: Inputs,
}

/// What is to be classified. A single input that fails is a problem response; one of a list fails in its place.
#[derive(Debug)]
pub(super) enum Inputs {
    /// A single input, and its place when the body is JSON.
    One {
        /// The input.
        given: Box<Given>,
        /// Its JSON pointer.
        pointer: Option<&'static str>,
    },
    /// A list, at least one.
    Many(Vec<Given>),
}

/// The parameters that every content type has a way to carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// The model that is to answer.
    pub(super) model: Option<String>,
    /// The version of it.
    pub(super) version: Option<Version>,
    /// Labels wanted of each answer.
    pub(super) top_k: Option<NonZeroUsize>,
}

/// The names of the parameters.
const NAMES: [&str; 3] = ["model", "version", "top_k"];

impl Parameters {
    /// Sets one by name.
    ///
    /// # Errors
    /// It is unknown, set already, or its value cannot be read.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let repeated = match name {
            "model" => self.model.replace(value.to_owned()).is_some(),
            "version" => self.version.replace(value.parse().map_err(|error| format!("{error}"))?).is_some(),
            "top_k" => self.top_k.replace(read_top_k(value)?).is_some(),
            _ => return Err(unknown(name, "parameter", &NAMES)),
        };
        if repeated { Err(format!("{name} is given twice")) } else { Ok(()) }
    }

    /// Those of the query of a URI.
    ///
    /// # Errors
    /// One is unknown, repeated, or cannot be read.
    pub(super) fn of_query(uri: &axum::http::Uri) -> Result<Self, Problem> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Problem::new(Code::InvalidParameter, error.body_text()))?;
        let mut parameters = Self::default();
        for (name, value) in &pairs.0 {
            let set = parameters.set(name, value);
            set.map_err(|detail| Problem::new(Code::InvalidParameter, format!("in the query: {detail}")))?;
        }
        Ok(parameters)
    }

    /// These and those of another place; the two may not name the same.
    ///
    /// # Errors
    /// A parameter is given in both places.
    pub(super) fn and(self, other: Self) -> Result<Self, Problem> {
        let twice = [
            ("model", self.model.is_some() && other.model.is_some()),
            ("version", self.version.is_some() && other.version.is_some()),
            ("top_k", self.top_k.is_some() && other.top_k.is_some()),
        ];
        if let Some((name, _)) = twice.iter().find(|(_, twice)| *twice) {
            let detail = format!("{name} is given both in the query and in the body");
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
        Ok(Self {
            model: self.model.or(other.model),
            version: self.version.or(other.version),
            top_k: self.top_k.or(other.top_k),
        })
    }
}

fn read_top_k(text: &str) -> Result<NonZeroUsize, String> {
    let shown: String = text.chars().take(20).collect();
    text.parse().map_err(|_| format!("top_k is {shown:?}, expected a whole number from 1"))
}

/// `there is no field "inputs"; did you mean "input"? fields: …`
pub(super) fn unknown(name: &str, kind: &str, known: &[&str]) -> String {
    let shown: String = name.chars().take(40).collect();
    let meant = did_you_mean(name::nearest(&shown, known.iter().copied()));
    let separator = if meant.is_empty() { ";" } else { "" };
    format!("there is no {kind} {shown:?}{meant}{separator} {kind}s: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Parameters, Problem> {
        Parameters::of_query(&format!("/v1/text/classify?{text}").parse().unwrap())
    }

    #[test]
    fn a_query_is_read_whole_or_refused() {
        let found = query("model=sentiment&version=3&top_k=2").unwrap();
        assert_eq!(found.model.as_deref(), Some("sentiment"));
        assert_eq!((found.version.unwrap().get(), found.top_k.unwrap().get()), (3, 2));
        assert_eq!(query("").unwrap(), Parameters::default());
        let cases = [
            ("modle=x", r#"in the query: there is no parameter "modle"; did you mean "model"?"#),
            ("model=a&model=b", "in the query: model is given twice"),
            ("version=0", r#"in the query: "0" is not a version"#),
            ("top_k=0", r#"in the query: top_k is "0", expected a whole number from 1"#),
            ("top_k=many", r#"in the query: top_k is "many""#),
        ];
        for (text, detail) in cases {
            let problem = query(text).unwrap_err();
            assert_eq!(problem.code, Code::InvalidParameter, "{text}");
            assert!(problem.detail.starts_with(detail), "{text}: {}", problem.detail);
        }
    }

    #[test]
    fn a_parameter_may_be_given_in_one_place_only() {
        let both = query("model=a").unwrap().and(query("top_k=1").unwrap()).unwrap();
        assert_eq!((both.model.as_deref(), both.top_k), (Some("a"), NonZeroUsize::new(1)));
        let twice = query("model=a").unwrap().and(query("model=a").unwrap()).unwrap_err();
        assert_eq!(twice.detail, "model is given both in the query and in the body");
    }
}
