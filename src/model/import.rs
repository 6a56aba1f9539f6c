//! Importing: tensors that PyTorch or another library wrote become weights of an architecture of ours.

mod archive;
mod infer;
mod pickle;

use std::collections::BTreeMap;
use std::path::Path;

use crate::nn::{Architecture, Weights};

/// A tensor as a file holds it, its bytes not yet read into f32.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Values, row-major, converted to f32 from f16, bf16, f32, f64 or integers.
    pub values: Vec<f32>,
}

/// Why a file cannot be imported: what was wrong, where, what was expected, what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImportError(pub String);

/// Reads a PyTorch `state_dict` (`.pt`, `.pth`: the zip format of PyTorch 1.6 and later) or safetensors, told apart
/// by content. Runs no code; costs at most about the file's size in memory, whatever the file says of itself.
///
/// # Errors
/// The file is neither, or is damaged or hostile.
pub fn read_tensors(_path: &Path) -> Result<BTreeMap<String, RawTensor>, ImportError> {
    todo!()
}

/// Finds the architecture that the tensors tell, with `settings` (`key=value`: sizes, pooling, strides, what tensors
/// cannot tell) over what is inferred, and the weights under our names.
///
/// # Errors
/// The tensors are of no architecture we have, or a setting is unknown or contradicts them.
pub fn infer(
    _tensors: BTreeMap<String, RawTensor>,
    _settings: &BTreeMap<String, String>,
) -> Result<(Architecture, Weights), ImportError> {
    todo!()
}
