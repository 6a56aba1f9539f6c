//! The public test models, which clients' examples ask for: switched on by `http.conformance_models`, for trying out
//! clients, not for serving.

mod state;

use std::time::Instant;

use bytes::Bytes;

pub use self::state::PublicModels;

use super::datatype::Datatype;
use super::errors::invalid;
use super::outputs::classes;
use super::repository::IndexEntry;
use super::request::RequestedOutput;
use super::signature::{Port, Signature};
use super::tensor::Tensor;
use crate::http::problem::Problem;
use crate::http::server::Gateway;

/// Rows of a request at most, as in the public models.
const ROWS_MAX: usize = 8;
/// Values of a row, likewise.
const VALUES: usize = 16;

const INPUT0: &str = "INPUT0";
const INPUT1: &str = "INPUT1";
const OUTPUT0: &str = "OUTPUT0";
const OUTPUT1: &str = "OUTPUT1";

/// A public test model. Each has the one version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum PublicModel {
    /// Two rows of numbers to their sum and their difference.
    Simple,
    /// The same with numbers of a byte.
    SimpleInt8,
    /// The same with numbers as texts.
    SimpleString,
    /// Texts to the same texts.
    SimpleIdentity,
}

/// The name of the server while the models are on: the examples ask for it.
pub(super) const SERVER_NAME: &str = "triton";

impl PublicModel {
    const ALL: [Self; 4] = [Self::Simple, Self::SimpleInt8, Self::SimpleString, Self::SimpleIdentity];

    /// The model of this name, if they are switched on.
    pub(super) fn named(gateway: &Gateway, name: &str) -> Option<Self> {
        Self::on(gateway).iter().find(|model| model.name() == name).copied()
    }

    /// Those that are switched on: all or none.
    pub(super) fn on(gateway: &Gateway) -> &'static [Self] {
        if gateway.config.conformance_models { &Self::ALL } else { &[] }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::SimpleInt8 => "simple_int8",
            Self::SimpleString => "simple_string",
            Self::SimpleIdentity => "simple_identity",
        }
    }

    /// What it takes and gives.
    pub(super) fn signature(self, gateway: &Gateway) -> Signature {
        Signature { rows_max: gateway.public.rows_max(self), ..self.plain_signature() }
    }

    /// The same, with the rows that it takes at the start.
    fn plain_signature(self) -> Signature {
        let port = |name| Port::new(name, self.datatype(), &[16]);
        let (inputs, outputs) = match self {
            Self::SimpleIdentity => {
                let any = |name| Port::new(name, Datatype::Bytes, &[-1]);
                (vec![any(INPUT0)], vec![any(OUTPUT0)])
            }
            _ => (vec![port(INPUT0), port(INPUT1)], vec![port(OUTPUT0), port(OUTPUT1)]),
        };
        Signature { platform: "sconce_public", rows_max: ROWS_MAX, inputs, outputs }
    }

    fn datatype(self) -> Datatype {
        match self {
            Self::Simple => Datatype::Int32,
            Self::SimpleInt8 => Datatype::Int8,
            Self::SimpleString | Self::SimpleIdentity => Datatype::Bytes,
        }
    }

    /// Answers for inputs that fit its signature, and counts it.
    ///
    /// # Errors
    /// A text is no number.
    pub(super) fn answer(
        self,
        gateway: &Gateway,
        (wanted, inputs): (&[RequestedOutput], &[Tensor]),
    ) -> Result<Vec<Tensor>, Problem> {
        let begun = Instant::now();
        let outputs = self.infer(wanted, inputs)?;
        let rows = inputs.first().and_then(|input| usize::try_from(*input.shape.first()?).ok()).unwrap_or(0);
        gateway.public.answered(self, (rows, begun.elapsed()));
        Ok(outputs)
    }

    /// Its outputs for inputs that fit its signature.
    ///
    /// # Errors
    /// A text is no number.
    fn infer(self, wanted: &[RequestedOutput], inputs: &[Tensor]) -> Result<Vec<Tensor>, Problem> {
        let input = |name: &str| {
            let found = inputs.iter().find(|tensor| tensor.name == name);
            found.ok_or_else(|| invalid(format!("input '{name}' is missing for model '{}'", self.name())))
        };
        let first = input(INPUT0)?;
        if self == Self::SimpleIdentity {
            let outputs = wanted.iter().map(|output| Tensor { name: output.name.clone(), ..first.clone() });
            return Ok(outputs.collect());
        }
        let (left, right) = (self.numbers(first)?, self.numbers(input(INPUT1)?)?);
        let pairs = || left.iter().copied().zip(right.iter().copied());
        let outputs = wanted.iter().map(|output| {
            let values: Vec<i32> = if output.name == OUTPUT0 {
                pairs().map(|(left, right)| left.wrapping_add(right)).collect()
            } else {
                pairs().map(|(left, right)| left.wrapping_sub(right)).collect()
            };
            self.tensor(output, first.shape.clone(), &values)
        });
        Ok(outputs.collect())
    }

    fn numbers(self, tensor: &Tensor) -> Result<Vec<i32>, Problem> {
        match self {
            Self::Simple => Ok(tensor.chunks().map(i32::from_le_bytes).collect()),
            Self::SimpleInt8 => Ok(tensor.chunks().map(|byte| i32::from(i8::from_le_bytes(byte))).collect()),
            Self::SimpleString | Self::SimpleIdentity => {
                let texts = tensor.byte_strings(self.name())?;
                let numbers = texts.iter().map(|text| std::str::from_utf8(text).ok()?.trim().parse().ok());
                numbers.collect::<Option<_>>().ok_or_else(|| {
                    invalid(format!(
                        "input '{}' of model '{}' is not of whole numbers",
                        tensor.name,
                        self.name()
                    ))
                })
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "sums of bytes wrap around, as those of the public model"
    )]
    fn tensor(self, output: &RequestedOutput, shape: Vec<i64>, values: &[i32]) -> Tensor {
        let name = output.name.as_str();
        if output.classes > 0 {
            let row = |row: &[i32]| row.iter().map(|value| *value as f32).collect();
            let rows: Vec<Vec<f32>> = values.chunks(VALUES).map(row).collect();
            return classes(name, output.classes, &[], &rows);
        }
        let data: Bytes = match self {
            Self::Simple => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::SimpleInt8 => values.iter().flat_map(|value| (*value as i8).to_le_bytes()).collect(),
            Self::SimpleString | Self::SimpleIdentity => {
                return Tensor::of_bytes(name, shape, values.iter().map(ToString::to_string));
            }
        };
        Tensor { name: name.to_owned(), datatype: self.datatype(), shape, data }
    }
}

/// The models as the repository lists them.
pub(super) fn index(gateway: &Gateway) -> impl Iterator<Item = IndexEntry> {
    PublicModel::on(gateway).iter().map(|model| IndexEntry {
        name: model.name().to_owned(),
        version: "1".to_owned(),
        state: if gateway.public.is_loaded(*model) { "READY" } else { "UNAVAILABLE" },
        reason: if gateway.public.is_loaded(*model) { String::new() } else { "unloaded".to_owned() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<RequestedOutput> {
        [OUTPUT0, OUTPUT1].map(|name| RequestedOutput { name: name.to_owned(), classes: 0 }).to_vec()
    }

    #[test]
    fn sums_and_differences() {
        let tensor = |name: &str, values: [i32; 16]| Tensor {
            name: name.to_owned(),
            datatype: Datatype::Int32,
            shape: vec![1, 16],
            data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        let inputs =
            [tensor(INPUT0, std::array::from_fn(|at| i32::try_from(at).unwrap())), tensor(INPUT1, [1; 16])];
        PublicModel::Simple.plain_signature().check("simple", &inputs).unwrap();
        let outputs = PublicModel::Simple.infer(&all(), &inputs).unwrap();
        let values = |tensor: &Tensor| tensor.chunks().map(i32::from_le_bytes).collect::<Vec<_>>();
        assert_eq!(values(&outputs[0]), (1..17).collect::<Vec<_>>());
        assert_eq!(values(&outputs[1]), (-1..15).collect::<Vec<_>>());
        let best = [RequestedOutput { name: OUTPUT0.to_owned(), classes: 2 }];
        let outputs = PublicModel::Simple.infer(&best, &inputs).unwrap();
        assert_eq!(outputs[0].byte_strings("").unwrap(), ["16.000000:15", "15.000000:14"]);
        assert_eq!(outputs[0].shape, [1, 2]);
    }

    #[test]
    fn texts_are_numbers_or_refused() {
        let tensor = |name: &str, text: &str| Tensor::of_bytes(name, vec![1, 16], [text; 16]);
        let outputs =
            PublicModel::SimpleString.infer(&all(), &[tensor(INPUT0, "7"), tensor(INPUT1, "2")]).unwrap();
        assert_eq!(outputs[0].byte_strings("").unwrap(), ["9"; 16]);
        assert_eq!(outputs[1].byte_strings("").unwrap(), ["5"; 16]);
        let bad = PublicModel::SimpleString.infer(&all(), &[tensor(INPUT0, "x"), tensor(INPUT1, "2")]);
        assert!(bad.unwrap_err().detail.contains("not of whole numbers"));
        let same = PublicModel::SimpleIdentity.infer(&all()[..1], &[tensor(INPUT0, "any")]).unwrap();
        assert_eq!(same[0].byte_strings("").unwrap(), ["any"; 16]);
    }
}
