//! Pooling on channels-last pictures.

use candle_core::{Result, Tensor};

use super::windows::Windows;
use super::{Pool, PoolKind};

/// B × H' × W' × C of B × H × W × C. A maximum's gradient goes to the first of equal values, as in PyTorch.
pub(super) fn pool(x: &Tensor, pool: Pool) -> Result<Tensor> {
    let (pictures, height, width, channels) = x.dims4()?;
    let windows = Windows { height, width, size: pool.size, step: pool.step() };
    let (down, across, area) = (windows.down(), windows.across(), windows.area());
    let pixels = windows.pixels(0, down, x.device())?;
    let flat = x.contiguous()?.reshape((pictures, height * width, channels))?;
    let windows = flat.index_select(&pixels, 1)?.reshape((pictures * down * across, area, channels))?;
    let pooled = match pool.kind {
        PoolKind::Average => windows.mean(1)?,
        PoolKind::Max => {
            let first = windows.detach().argmax_keepdim(1)?;
            windows.gather(&first, 1)?
        }
    };
    pooled.reshape((pictures, down, across, channels))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// Pools 1 × 3 × 4 × 1 pixels and gives the values and the gradient of their sum.
    fn pooled(
        kind: PoolKind,
        size: usize,
        stride: Option<usize>,
        pixels: &[f32; 12],
    ) -> (Vec<f32>, Vec<f32>) {
        let x = Tensor::new(pixels, &Device::Cpu).unwrap().reshape((1, 3, 4, 1)).unwrap();
        let x = Var::from_tensor(&x).unwrap();
        let y = pool(&x, Pool { kind, size, stride }).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (flat(&y), flat(gradients.get(&x).unwrap()))
    }

    const PIXELS: [f32; 12] = [1.0, 5.0, 2.0, 2.0, 3.0, 4.0, 2.0, 0.0, 9.0, 0.0, 8.0, 7.0];

    #[test]
    fn a_maximum_passes_its_gradient_to_the_first_of_equal_values() {
        let (values, gradient) = pooled(PoolKind::Max, 2, None, &PIXELS);
        assert_eq!(values, [5.0, 2.0]);
        assert_eq!(gradient, [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn overlapping_maxima_add_their_gradients() {
        let (values, gradient) = pooled(PoolKind::Max, 2, Some(1), &PIXELS);
        assert_eq!(values, [5.0, 5.0, 2.0, 9.0, 8.0, 8.0]);
        assert_eq!(gradient, [0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 0.0]);
    }

    #[test]
    fn an_average_shares_its_gradient() {
        let (values, gradient) = pooled(PoolKind::Average, 2, None, &PIXELS);
        assert_eq!(values, [3.25, 1.5]);
        assert_eq!(gradient, [0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0]);
    }
}
