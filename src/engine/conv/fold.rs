//! A block's weights as its kernel takes them: batch norm folded into weights and bias, in f64.

use crate::nn::{Mismatch, Weights};

use super::plan::ConvPlanError;

/// What batch norm adds to the variance, `PyTorch`'s default.
const EPSILON: f64 = 1e-5;

/// A convolution's weights (outputs × inputs × kernel × kernel) and its bias.
pub(super) struct Folded {
    pub(super) kernels: Vec<f64>,
    pub(super) bias: Vec<f64>,
}

/// The weights of block `number` (from 1), whose kernels are of this shape.
pub(super) fn block(
    weights: &Weights,
    number: usize,
    shape: [usize; 4],
    batch_norm: bool,
) -> Result<Folded, ConvPlanError> {
    let outputs = [shape[0]];
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let mut kernels = wide(tensor(weights, &format!("conv{number}.weight"), &shape)?);
    let mut bias = wide(tensor(weights, &format!("conv{number}.bias"), &outputs)?);
    if batch_norm {
        let vector = |name: &str| tensor(weights, &format!("bn{number}.{name}"), &outputs).map(wide);
        let (gain, shift) = (vector("weight")?, vector("bias")?);
        let (mean, variance) = (vector("running_mean")?, vector("running_var")?);
        for (output, kernel) in kernels.chunks_exact_mut(shape[1] * shape[2] * shape[3]).enumerate() {
            let scale = gain[output] / (variance[output] + EPSILON).sqrt();
            for weight in kernel {
                *weight *= scale;
            }
            bias[output] = (bias[output] - mean[output]) * scale + shift[output];
        }
    }
    Ok(Folded { kernels, bias })
}

/// The values of a tensor of this name and shape.
pub(super) fn tensor(weights: &Weights, name: &str, shape: &[usize]) -> Result<Vec<f32>, ConvPlanError> {
    let Some(tensor) = weights.0.get(name) else {
        return Err(Mismatch::Missing { name: name.to_owned(), expected: shape.to_vec() }.into());
    };
    if tensor.dims() != shape {
        let (found, expected) = (tensor.dims().to_vec(), shape.to_vec());
        return Err(Mismatch::Shape { name: name.to_owned(), found, expected }.into());
    }
    let values = tensor.flatten_all().and_then(|values| values.to_vec1::<f32>());
    values.map_err(|source| ConvPlanError::Unreadable { name: name.to_owned(), source })
}
