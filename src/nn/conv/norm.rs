//! Batch norm on channels-last pictures, with running statistics that training updates.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor, bail};

use crate::nn::gradient::{Rule, column_sums, differentiable};
use crate::nn::{Mismatch, Mode, Weights};

/// Added to the variance before its root, as in PyTorch.
const EPSILON: f64 = 1e-5;
/// Share of the newest batch in the running statistics, as in PyTorch.
const MOMENTUM: f64 = 0.1;

/// The normalisation of one block. Clones share the running statistics.
#[derive(Clone, Debug)]
pub(super) struct BatchNorm {
    name: String,
    weight: Tensor,
    bias: Tensor,
    running: Arc<Mutex<Running>>,
}

#[derive(Clone, Debug)]
struct Running {
    mean: Tensor,
    variance: Tensor,
}

impl BatchNorm {
    pub(super) fn new(n: usize, weights: &Weights) -> std::result::Result<Self, Mismatch> {
        let name = format!("bn{n}");
        let tensor = |part: &str| weights.tensor(&format!("{name}.{part}"));
        let running =
            Running { mean: tensor("running_mean")?.detach(), variance: tensor("running_var")?.detach() };
        Ok(Self {
            weight: tensor("weight")?,
            bias: tensor("bias")?,
            running: Arc::new(Mutex::new(running)),
            name,
        })
    }

    /// The running statistics as they are now, by tensor name.
    pub(super) fn statistics(&self) -> BTreeMap<String, Tensor> {
        let Running { mean, variance } = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let named = |part: &str| format!("{}.{part}", self.name);
        BTreeMap::from([(named("running_mean"), mean), (named("running_var"), variance)])
    }

    /// Normalises B × H × W × C, channel by channel: by the batch in training, else by the running statistics.
    pub(super) fn forward(&self, x: &Tensor, mode: &Mode<'_>) -> Result<Tensor> {
        let channels = x.dim(3)?;
        let flat = x.reshape(((), channels))?;
        let normalised = match mode {
            Mode::Evaluate => {
                let Running { mean, variance } =
                    self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let scale = (&self.weight / (variance + EPSILON)?.sqrt()?)?;
                let shift = (&self.bias - (mean * &scale)?)?;
                flat.broadcast_mul(&scale)?.broadcast_add(&shift)?
            }
            Mode::Train(_) => self.by_batch(&flat)?,
        };
        normalised.reshape(x.dims())
    }

    fn by_batch(&self, x: &Tensor) -> Result<Tensor> {
        let values = x.detach();
        let count = values.dim(0)? as f64;
        let mean = (column_sums(&values)? / count)?;
        let centred = values.broadcast_sub(&mean)?;
        let variance = (column_sums(&centred.sqr()?)? / count)?;
        self.learn(&mean, &(&variance * (count / (count - 1.0).max(1.0)))?)?;
        let inverse = (variance + EPSILON)?.sqrt()?.recip()?;
        let normal = centred.broadcast_mul(&inverse)?;
        let result = normal.broadcast_mul(&self.weight.detach())?.broadcast_add(&self.bias.detach())?;
        differentiable(result, &[x, &self.weight, &self.bias], ByBatch { normal, inverse })
    }

    /// The unbiased variance is what PyTorch keeps.
    fn learn(&self, mean: &Tensor, variance: &Tensor) -> Result<()> {
        let blend = |old: &Tensor, new: &Tensor| (old * (1.0 - MOMENTUM))? + (new * MOMENTUM)?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (mean, variance) = (blend(&running.mean, mean)?, blend(&running.variance, variance)?);
        *running = Running { mean, variance };
        Ok(())
    }
}

/// Normalisation by the batch's own mean and variance, which depend on every value.
struct ByBatch {
    normal: Tensor,
    inverse: Tensor,
}

impl Rule for ByBatch {
    const NAME: &'static str = "batch-norm";

    fn gradients(&self, arguments: &[Tensor], _: &Tensor, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let [x, weight, _] = arguments else { bail!("batch norm has three arguments") };
        let gradient = gradient.contiguous()?;
        let count = x.dim(0)? as f64;
        let of_bias = column_sums(&gradient)?;
        let of_weight = column_sums(&(&gradient * &self.normal)?)?;
        // (weight / deviation) · (g - mean g - normal · mean (g · normal))
        let along = self.normal.broadcast_mul(&(&of_weight / count)?)?;
        let centred = (gradient.broadcast_sub(&(&of_bias / count)?)? - along)?;
        let of_x = centred.broadcast_mul(&(weight * &self.inverse)?)?;
        Ok(vec![Some(of_x), Some(of_weight), Some(of_bias)])
    }
}
