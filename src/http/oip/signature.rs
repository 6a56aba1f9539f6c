//! What a model takes and gives: the one description that metadata, configuration and the checks of requests are from.

use super::datatype::Datatype;
use super::errors::invalid;
use super::tensor::{Tensor, elements_of, shown};
use crate::http::problem::Problem;
use crate::model::{InputPreparation, Manifest};

/// The text of a text model.
pub(in crate::http) const TEXT: &str = "text";
/// The token ids of a text model.
pub(in crate::http) const INPUT_IDS: &str = "input_ids";
/// Which of the token ids count: 1 those that do, 0 the padding after them.
pub(in crate::http) const ATTENTION_MASK: &str = "attention_mask";
/// The encoded picture of an image model.
pub(in crate::http) const IMAGE: &str = "image";
/// The pixels of a picture that its sender decoded.
pub(in crate::http) const PIXELS: &str = "pixels";
/// What the network sees of a picture that its sender prepared.
pub(in crate::http) const TENSOR: &str = "tensor";

/// The score of every label.
pub(in crate::http) const SCORES: &str = "scores";
/// The best label.
pub(in crate::http) const LABEL: &str = "label";
/// The best label's score.
pub(in crate::http) const SCORE: &str = "score";

/// What a model takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Signature {
    /// `<project>_<format>`.
    pub(in crate::http) platform: &'static str,
    /// Rows of a request at most: the first dimension of every tensor.
    pub(in crate::http) rows_max: usize,
    /// The inputs, of which those that are not optional must be given.
    pub(in crate::http) inputs: Vec<Port>,
    /// The outputs.
    pub(in crate::http) outputs: Vec<Port>,
}

/// An input or an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Port {
    /// What it is called.
    pub(in crate::http) name: &'static str,
    /// What its elements are.
    pub(in crate::http) datatype: Datatype,
    /// The sizes of a row's dimensions, without that of the batch; -1 for any.
    pub(in crate::http) dims: Vec<i64>,
    /// Whether a request may do without it.
    pub(in crate::http) optional: bool,
}

impl Port {
    /// An input that must be there, or an output.
    pub(in crate::http) fn new(name: &'static str, datatype: Datatype, dims: &[i64]) -> Self {
        Self { name, datatype, dims: dims.to_vec(), optional: false }
    }

    /// An input that a request may do without.
    fn optional(name: &'static str, datatype: Datatype, dims: &[i64]) -> Self {
        Self { optional: true, ..Self::new(name, datatype, dims) }
    }

    /// Its whole shape, the batch first.
    pub(in crate::http) fn shape(&self) -> Vec<i64> {
        [-1].into_iter().chain(self.dims.iter().copied()).collect()
    }

    /// Whether a tensor of this shape fits. A row of one element needs no dimension of its own.
    fn fits(&self, shape: &[i64]) -> bool {
        let Some((_, row)) = shape.split_first() else { return false };
        let same = row.len() == self.dims.len()
            && row.iter().zip(&self.dims).all(|(side, dim)| *dim == -1 || side == dim);
        same || (row.is_empty() && self.dims == [1])
    }
}

impl Signature {
    /// What a version with this manifest takes and gives, of so many rows at most.
    pub(in crate::http) fn of(manifest: &Manifest, rows_max: usize) -> Self {
        let inputs = match &manifest.input {
            InputPreparation::Text(_) => vec![
                Port::optional(TEXT, Datatype::Bytes, &[1]),
                Port::optional(INPUT_IDS, Datatype::Int64, &[-1]),
                Port::optional(ATTENTION_MASK, Datatype::Int64, &[-1]),
            ],
            InputPreparation::Picture(picture) => {
                let side = |pixels: usize| i64::try_from(pixels).unwrap_or(-1);
                let ready = [side(picture.channels), side(picture.height), side(picture.width)];
                vec![
                    Port::optional(IMAGE, Datatype::Bytes, &[1]),
                    Port::optional(PIXELS, Datatype::Uint8, &[-1, -1, -1]),
                    Port::optional(TENSOR, Datatype::Fp32, &ready),
                ]
            }
        };
        let labels = i64::try_from(manifest.labels.len()).unwrap_or(-1);
        let outputs = vec![
            Port::new(SCORES, Datatype::Fp32, &[labels]),
            Port::new(LABEL, Datatype::Bytes, &[]),
            Port::new(SCORE, Datatype::Fp32, &[]),
        ];
        Self { platform: "sconce_safetensors", rows_max, inputs, outputs }
    }

    /// Checks the tensors of a request against the inputs: names, datatypes, shapes, sizes, one batch for all.
    /// Returns the rows of the batch.
    ///
    /// # Errors
    /// What is wrong, in Triton's words.
    pub(in crate::http) fn check(&self, model: &str, tensors: &[Tensor]) -> Result<usize, Problem> {
        self.check_count(model, tensors)?;
        let mut rows = None;
        for (place, tensor) in tensors.iter().enumerate() {
            let name = tensor.name.as_str();
            let Some(port) = self.inputs.iter().find(|port| port.name == name) else {
                return Err(invalid(format!("unexpected inference input '{name}' for model '{model}'")));
            };
            if tensors.iter().take(place).any(|other| other.name == name) {
                return Err(invalid(format!("input '{name}' already exists in request for model '{model}'")));
            }
            let batch = self.check_one(model, port, tensor)?;
            if *rows.get_or_insert(batch) != batch {
                return Err(invalid(format!(
                    "input '{name}' batch size does not match other inputs for '{model}'"
                )));
            }
        }
        Ok(rows.unwrap_or(0))
    }

    fn check_count(&self, model: &str, tensors: &[Tensor]) -> Result<(), Problem> {
        let required: Vec<&str> =
            self.inputs.iter().filter(|port| !port.optional).map(|port| port.name).collect();
        let (all, got) = (self.inputs.len(), tensors.len());
        if (required.len().max(1)..=all).contains(&got) {
            return Ok(());
        }
        let named = |names: Vec<&str>| {
            let quoted: Vec<String> = names.into_iter().map(|name| format!("'{name}'")).collect();
            format!("[{}]", quoted.join(","))
        };
        let given: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let missing = required.iter().filter(|name| !given.contains(name)).copied().collect();
        let expected = if required.len() == all {
            format!("expected {all} inputs")
        } else {
            format!("expected number of inputs between {} and {all}", required.len().max(1))
        };
        Err(invalid(format!(
            "{expected} but got {got} inputs for model '{model}'. Got input(s) {}, but missing required input(s) {}. \
             Please provide all required input(s).",
            named(given),
            named(missing)
        )))
    }

    /// Checks one tensor and returns its rows.
    fn check_one(&self, model: &str, port: &Port, tensor: &Tensor) -> Result<usize, Problem> {
        let name = port.name;
        let Some(rows) = tensor.shape.first() else {
            return Err(invalid(format!(
                "input '{name}' has no shape but model requires batch dimension for '{model}'"
            )));
        };
        if tensor.datatype != port.datatype {
            return Err(invalid(format!(
                "inference input '{name}' data-type is '{}', but model '{model}' expects '{}'",
                tensor.datatype.as_str(),
                port.datatype.as_str()
            )));
        }
        if !port.fits(&tensor.shape) {
            return Err(invalid(format!(
                "unexpected shape for input '{name}' for model '{model}'. Expected {}, got {}. NOTE: Setting a \
                 non-zero max_batch_size in the model config requires a batch dimension to be prepended to each input \
                 shape. If you want to specify the full shape including the batch dim in your input dims config, try \
                 setting max_batch_size to zero. See the model configuration docs for more info on max_batch_size.",
                shown(&port.shape()),
                shown(&tensor.shape)
            )));
        }
        let rows_max = self.rows_max;
        match usize::try_from(*rows) {
            Ok(0) => Err(invalid(format!("inference request batch-size must be >= 1 for '{model}'"))),
            Ok(rows) if rows > rows_max => {
                Err(invalid(format!("inference request batch-size must be <= {rows_max} for '{model}'")))
            }
            rows => {
                tensor.check_size(model)?;
                Ok(rows.unwrap_or(0))
            }
        }
    }

    /// The tensor that a body is which is the single input of the model: its first input, of one row.
    ///
    /// # Errors
    /// The shape cannot be told from the size.
    pub(in crate::http) fn of_raw(&self, model: &str, body: &bytes::Bytes) -> Result<Tensor, Problem> {
        let Some(port) = self.inputs.first() else {
            return Err(invalid(format!("model '{model}' has no input for a raw request")));
        };
        let required = self.inputs.iter().filter(|port| !port.optional).count();
        if required > 1 {
            return Err(invalid(format!(
                "Raw request must only have 1 input (found 1) to be deduced but got {required} inputs in '{model}' model \
                 configuration"
            )));
        }
        let Some(size) = port.datatype.size() else {
            return Ok(Tensor::of_bytes(port.name, vec![1, 1], [body]));
        };
        let known: Vec<i64> = port.dims.iter().copied().filter(|dim| *dim >= 0).collect();
        let known = elements_of(&known).unwrap_or(0).saturating_mul(size).max(1);
        let deduced = i64::try_from(body.len() / known).unwrap_or(i64::MAX);
        let sides = port.dims.iter().map(|dim| if *dim == -1 { deduced } else { *dim });
        let shape = [1].into_iter().chain(sides).collect();
        Ok(Tensor { name: port.name.to_owned(), datatype: port.datatype, shape, data: body.clone() })
    }
}
