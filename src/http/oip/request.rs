//! A parsed inference request, whichever transport brought it, and the answer to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::errors::invalid;
use super::tensor::Tensor;
use crate::batch::Priority;
use crate::http::problem::Problem;

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) enum Parameter {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that is too large to be signed.
    Uint(u64),
    /// Any other number.
    Double(f64),
    /// A text.
    Text(String),
}

/// The parameters of a request, an input, an output or an answer.
pub(in crate::http) type Parameters = BTreeMap<String, Parameter>;

/// What the inputs are: tensors, or a body that is the single input of a model, whose datatype and shape follow from it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) enum Inputs {
    /// Tensors.
    Tensors(Vec<Tensor>),
    /// The bytes of the first input that the model's metadata lists.
    Raw(Bytes),
}

/// A request to infer.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) struct InferRequest {
    /// The model.
    pub(in crate::http) model: String,
    /// Its version; the policy's when empty.
    pub(in crate::http) version: String,
    /// What the answer repeats; nothing when empty.
    pub(in crate::http) id: String,
    /// Parameters of the request.
    pub(in crate::http) parameters: Parameters,
    /// The inputs.
    pub(in crate::http) inputs: Inputs,
    /// The outputs that are wanted; all when empty.
    pub(in crate::http) outputs: Vec<RequestedOutput>,
}

/// An output that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct RequestedOutput {
    /// Its name.
    pub(in crate::http) name: String,
    /// The best so many classes as `value:index:label` in place of the numbers; 0: the numbers.
    pub(in crate::http) classes: usize,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) struct InferResponse {
    /// The model that answered.
    pub(in crate::http) model: String,
    /// Its version.
    pub(in crate::http) version: String,
    /// The id of the request; none when empty.
    pub(in crate::http) id: String,
    /// The outputs, in the order in which they were asked for.
    pub(in crate::http) outputs: Vec<Tensor>,
}

/// When a request is to be answered (the schedule policy extension).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(in crate::http) struct Schedule {
    /// How long the request may wait and run.
    pub(in crate::http) timeout: Option<Duration>,
    /// What it goes before.
    pub(in crate::http) priority: Priority,
}

impl Schedule {
    /// What the parameters of a request say.
    ///
    /// # Errors
    /// `priority` or `timeout` is no whole number from 0, or a parameter's name is reserved.
    pub(in crate::http) fn of(parameters: &Parameters) -> Result<Self, Problem> {
        if parameters.keys().any(|name| name.starts_with("triton_")) {
            return Err(invalid(
                "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
            ));
        }
        let whole = |name: &str| match parameters.get(name) {
            None => Ok(0),
            Some(Parameter::Uint(value)) => Ok(*value),
            Some(Parameter::Int(value)) if *value >= 0 => Ok(value.unsigned_abs()),
            // Clients of typed languages send it as text.
            Some(Parameter::Text(text)) => text.parse().map_err(|_| unparsed(name)),
            Some(_) => Err(unparsed(name)),
        };
        // 0 and a level that there is not are the default one, as of Triton.
        let priority = Priority::of_level(whole("priority")?).unwrap_or_default();
        let timeout = whole("timeout")?;
        Ok(Self { timeout: (timeout > 0).then(|| Duration::from_micros(timeout)), priority })
    }

    /// The earlier of the request's own deadline and the one that the server gave it.
    pub(in crate::http) fn deadline(&self, given: Instant) -> Instant {
        let own = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        own.map_or(given, |own| own.min(given))
    }
}

fn unparsed(name: &str) -> Problem {
    invalid(format!("Unable to parse '{name}': expected an unsigned integer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(name: &str, value: Parameter) -> Result<Schedule, Problem> {
        Schedule::of(&Parameters::from([(name.to_owned(), value)]))
    }

    #[test]
    fn priority_and_timeout_are_read() {
        assert_eq!(Schedule::of(&Parameters::new()).unwrap(), Schedule::default());
        let level = |level| schedule("priority", Parameter::Uint(level)).unwrap().priority.level();
        let levels = [0, 1, 2, 3, 4, 5, 6, u64::MAX].map(level);
        assert_eq!(levels, [3, 1, 2, 3, 4, 5, 3, 3], "as of Triton, what is no level is the default one");
        assert!(schedule("priority", Parameter::Text("high".to_owned())).is_err());
        let timeout = schedule("timeout", Parameter::Uint(2500)).unwrap().timeout;
        assert_eq!(timeout, Some(Duration::from_micros(2500)));
        assert_eq!(schedule("timeout", Parameter::Int(0)).unwrap().timeout, None);
        assert!(schedule("timeout", Parameter::Uint(u64::MAX)).is_ok());
        for value in [Parameter::Int(-1), Parameter::Double(1.5), Parameter::Bool(true)] {
            let problem = schedule("timeout", value).unwrap_err();
            assert!(problem.detail.starts_with("Unable to parse 'timeout'"), "{}", problem.detail);
        }
        assert!(schedule("triton_x", Parameter::Int(1)).is_err());
        assert!(schedule("else", Parameter::Text("x".to_owned())).is_ok());
    }

    #[test]
    fn the_earlier_deadline_holds() {
        let given = Instant::now() + Duration::from_secs(1);
        let of = |micros| Schedule { timeout: Some(Duration::from_micros(micros)), ..Schedule::default() };
        assert!(of(10).deadline(given) < given);
        assert_eq!(of(5_000_000).deadline(given), given);
        assert_eq!(of(u64::MAX).deadline(given), given);
        assert_eq!(Schedule::default().deadline(given), given);
    }
}
