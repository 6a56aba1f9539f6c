//! Importing: tensors that PyTorch or another library wrote become weights of an architecture of ours.

mod archive;
mod infer;
mod pickle;
mod state_dict;
mod tensors;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::SafeTensors;

use crate::limits;
use crate::nn::{Architecture, Weights};
use tensors::{Element, to_f32};

pub use infer::SETTINGS;

/// A tensor as a file holds it, its values read into f32.
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

impl ImportError {
    fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

/// What to do with a file that is no `state_dict`.
const SAVE_A_STATE_DICT: &str =
    "save the weights alone, with PyTorch 1.6 or later: torch.save(model.state_dict(), \"weights.pt\")";

/// Reads a PyTorch `state_dict` (`.pt`, `.pth`: the zip format of PyTorch 1.6 and later) or safetensors, told apart
/// by content. Runs no code; costs at most about twice the file's size in memory, and some 20 MiB for names, whatever
/// the file says of itself.
///
/// A `state_dict` may lie under `state_dict` or `model` in a checkpoint, and its names may begin with `module.`.
///
/// # Errors
/// The file is neither, or is damaged or hostile.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, RawTensor>, ImportError> {
    let in_file = |error: ImportError| ImportError(format!("{}: {error}", path.display()));
    let unreadable = |error: std::io::Error| in_file(ImportError(format!("cannot be read: {error}")));
    // A pipe or a device has no size to hold its content against, and would make a reader wait.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(in_file(ImportError::new("is not a file")));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > limits::WEIGHTS_BYTES_MAX {
        let most = limits::WEIGHTS_BYTES_MAX;
        return Err(in_file(ImportError(format!("has {bytes} bytes, at most {most} are taken"))));
    }
    let mut start = [0; 9];
    let read = read_start(&mut file, &mut start).map_err(unreadable)?;
    let tensors = match &start[..read] {
        [b'P', b'K', 3, 4, ..] => state_dict::read(file, bytes),
        [0x80, version, ..] if *version < 6 => Err(ImportError(format!(
            "is a bare pickle, as torch.save wrote before PyTorch 1.6; load it there and {SAVE_A_STATE_DICT}"
        ))),
        [_, _, _, _, _, _, _, _, b'{'] => read_safetensors(file, bytes),
        _ => Err(ImportError(format!(
            "is neither a zip archive of torch.save nor safetensors (or is cut short); {SAVE_A_STATE_DICT}"
        ))),
    };
    tensors.map(without_wrapper_names).map_err(in_file)
}

/// Finds the architecture that the tensors tell, with `settings` (`key=value`: pooling, strides, picture size, what
/// tensors cannot tell; see [`SETTINGS`]) over what is inferred, and the weights under our names, on the CPU.
///
/// # Errors
/// The tensors are of no architecture we have, or a setting is unknown or contradicts them.
pub fn infer(
    tensors: BTreeMap<String, RawTensor>,
    settings: &BTreeMap<String, String>,
) -> Result<(Architecture, Weights), ImportError> {
    infer::infer(tensors, settings)
}

/// Fills `start` as far as the file goes, then goes back to its beginning.
fn read_start(file: &mut File, start: &mut [u8]) -> std::io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = start.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            more => read += more,
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(read)
}

fn read_safetensors(mut file: File, bytes: u64) -> Result<BTreeMap<String, RawTensor>, ImportError> {
    let unreadable = |error: std::io::Error| ImportError(format!("cannot be read: {error}"));
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(unreadable)?;
    let (header, most) = (u64::from_le_bytes(length), limits::SAFETENSORS_HEADER_BYTES_MAX as u64);
    if header > most {
        return Err(ImportError(format!(
            "its safetensors header claims {header} bytes, at most {most} are taken"
        )));
    }
    let mut content = length.to_vec();
    // Not beyond the size that was checked, should the file grow meanwhile.
    file.take(bytes.saturating_sub(8)).read_to_end(&mut content).map_err(unreadable)?;
    let damaged = |error| ImportError(format!("is no whole safetensors file: {error}"));
    let parsed = SafeTensors::deserialize(&content).map_err(damaged)?;
    if parsed.len() > limits::TENSORS_MAX {
        return Err(ImportError(format!(
            "has {} tensors, at most {} are taken",
            parsed.len(),
            limits::TENSORS_MAX
        )));
    }
    let mut tensors = BTreeMap::new();
    for (name, view) in parsed.iter() {
        let Some(element) = Element::of_safetensors(view.dtype()) else {
            let dtype = view.dtype();
            return Err(ImportError(format!(
                "tensor {name} is of {dtype:?}, which is not read; store it as F32"
            )));
        };
        let values = to_f32(view.data(), element);
        tensors.insert(name.to_owned(), RawTensor { shape: view.shape().to_vec(), values });
    }
    Ok(tensors)
}

/// Names without what `DataParallel` (`module.`) and `torch.compile` (`_orig_mod.`) put before all of them.
fn without_wrapper_names(mut tensors: BTreeMap<String, RawTensor>) -> BTreeMap<String, RawTensor> {
    while let Some(prefix) = ["module.", "_orig_mod."]
        .into_iter()
        .find(|prefix| !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(prefix)))
    {
        tensors = tensors.into_iter().map(|(name, tensor)| (name.replacen(prefix, "", 1), tensor)).collect();
    }
    tensors
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

    use super::*;

    #[test]
    fn safetensors_are_read_with_wrapper_names_taken_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let (floats, halves) = ([1.0_f32, -2.5].map(f32::to_le_bytes).concat(), [0x00, 0x3c]);
        let view = |dtype, shape: &[usize], data| TensorView::new(dtype, shape.to_vec(), data).unwrap();
        let views = [
            ("module._orig_mod.a", view(Dtype::F32, &[2, 1], &floats)),
            ("module._orig_mod.b", view(Dtype::F16, &[], &halves)),
        ];
        serialize_to_file(views, None, &path).unwrap();
        let tensors = read_tensors(&path).unwrap();
        assert_eq!(tensors["a"], RawTensor { shape: vec![2, 1], values: vec![1.0, -2.5] });
        assert_eq!(tensors["b"], RawTensor { shape: vec![], values: vec![1.0] });
        assert_eq!(tensors.len(), 2);
    }
}
