//! `weights.safetensors`: read with its header held against the limits, written the same bytes each time.

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};

use super::files::WEIGHTS;
use crate::limits::{SAFETENSORS_HEADER_BYTES_MAX, TENSOR_RANK_MAX, TENSORS_MAX};
use crate::nn::{Architecture, Weights};

/// Bytes that the weights of an architecture take on disk, with the longest header.
pub(super) fn bytes_max(architecture: &Architecture) -> u64 {
    let values = |shape: &Vec<usize>| shape.iter().map(|side| *side as u64).product::<u64>();
    let data: u64 = architecture.tensors().values().map(values).sum();
    data.saturating_mul(4).saturating_add(8 + SAFETENSORS_HEADER_BYTES_MAX as u64)
}

/// The tensors, exactly those of the architecture, all finite; or everything that is wrong with them.
pub(super) fn read(bytes: &[u8], architecture: &Architecture) -> Result<Weights, Vec<String>> {
    let file = open(bytes).map_err(|problem| vec![format!("{WEIGHTS}: {problem}")])?;
    let mut problems = Vec::new();
    let mut weights = Weights::default();
    for (name, view) in file.tensors() {
        match tensor(&view) {
            Ok(tensor) => {
                weights.0.insert(name, tensor);
            }
            Err(problem) => problems.push(format!("{WEIGHTS}: tensor {name} {problem}")),
        }
    }
    // A tensor that was there and could not be taken is not missing as well.
    if problems.is_empty() {
        let mismatches = weights.mismatches(architecture);
        problems.extend(mismatches.iter().map(|mismatch| format!("{WEIGHTS}: {mismatch}")));
    }
    problems.sort();
    if problems.is_empty() { Ok(weights) } else { Err(problems) }
}

fn open(bytes: &[u8]) -> Result<SafeTensors<'_>, String> {
    let damaged = |error: SafeTensorError| format!("not a safetensors file: {error}");
    let Some(length) = bytes.first_chunk() else {
        return Err(format!("not a safetensors file: {} bytes, expected at least 8", bytes.len()));
    };
    let header_bytes = u64::from_le_bytes(*length);
    if header_bytes > SAFETENSORS_HEADER_BYTES_MAX as u64 {
        return Err(format!(
            "the header says it has {header_bytes} bytes, expected at most {SAFETENSORS_HEADER_BYTES_MAX}"
        ));
    }
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    if file.len() > TENSORS_MAX {
        return Err(format!("{} tensors, expected at most {TENSORS_MAX}", file.len()));
    }
    Ok(file)
}

fn tensor(view: &TensorView<'_>) -> Result<Tensor, String> {
    if view.dtype() != Dtype::F32 {
        return Err(format!("is of type {}, expected F32: `sconce import` converts it", view.dtype()));
    }
    if view.shape().len() > TENSOR_RANK_MAX {
        return Err(format!("has {} dimensions, expected at most {TENSOR_RANK_MAX}", view.shape().len()));
    }
    let values: Vec<f32> = view.data().as_chunks().0.iter().copied().map(f32::from_le_bytes).collect();
    Tensor::from_vec(values, view.shape(), &Device::Cpu).map_err(|error| error.to_string())
}

/// The file's bytes: names in order, values little-endian.
pub(super) fn write(weights: &Weights) -> Result<Vec<u8>, String> {
    let mut tensors = Vec::with_capacity(weights.0.len());
    for (name, tensor) in &weights.0 {
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        let values = values.map_err(|error| format!("{WEIGHTS}: tensor {name}: {error}"))?;
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        tensors.push((name, tensor.dims().to_vec(), bytes));
    }
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect();
    views
        .and_then(|views| safetensors::serialize(views, None))
        .map_err(|error: SafeTensorError| format!("{WEIGHTS}: {error}"))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::nn::conv;

    fn article() -> (Architecture, Weights) {
        let architecture = Architecture::ConvClassifier(conv::Config::article(2));
        let mut generator = ChaCha8Rng::seed_from_u64(5);
        let weights = Weights::initialise(&architecture, &mut generator, &Device::Cpu).unwrap();
        (architecture, weights)
    }

    fn problems(bytes: &[u8]) -> String {
        read(bytes, &article().0).unwrap_err().join("\n")
    }

    #[test]
    fn what_is_written_reads_back_and_the_bytes_are_the_same_each_time() {
        let (architecture, weights) = article();
        let bytes = write(&weights).unwrap();
        assert_eq!(bytes, write(&article().1).unwrap());
        assert!(bytes.len() as u64 <= bytes_max(&architecture));
        assert_eq!(write(&read(&bytes, &architecture).unwrap()).unwrap(), bytes);
    }

    #[test]
    fn a_header_is_held_against_the_limits() {
        assert!(problems(b"1234567").contains("7 bytes, expected at least 8"));
        let huge = [u64::MAX.to_le_bytes(), *b"{}      "].concat();
        assert!(problems(&huge).contains("expected at most 1048576"), "{}", problems(&huge));
        let longer_than_the_file = [1000_u64.to_le_bytes(), *b"{}      "].concat();
        assert!(problems(&longer_than_the_file).contains("not a safetensors file"));
        let mut cut = write(&article().1).unwrap();
        cut.pop();
        assert!(problems(&cut).contains("not fully covered"), "{}", problems(&cut));
    }

    #[test]
    fn other_types_and_other_tensors_are_named() {
        let (_, mut weights) = article();
        weights.0.remove("fc.bias");
        weights
            .0
            .insert("head.bias".into(), Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap());
        let said = problems(&write(&weights).unwrap());
        assert!(said.contains("tensor fc.bias is missing") && said.contains("tensor head.bias"), "{said}");
        let half = TensorView::new(Dtype::F16, vec![2], &[0; 4]).unwrap();
        let said = problems(&safetensors::serialize([("fc.bias", half)], None).unwrap());
        let expected = "tensor fc.bias is of type F16, expected F32: `sconce import` converts it";
        assert_eq!(said, format!("{WEIGHTS}: {expected}"));
    }
}
