//! Dropout by masks drawn from the given generator: candle's own cannot be seeded.

use candle_core::{Result, Tensor};

use super::Mode;

/// In training each value is 0 with this probability, and the others are scaled so that the mean stays.
pub(super) fn dropout(values: &Tensor, probability: f32, mode: &mut Mode<'_>) -> Result<Tensor> {
    let Mode::Train(generator) = mode else { return Ok(values.clone()) };
    if probability <= 0.0 {
        return Ok(values.clone());
    }
    let kept = 1.0 / (1.0 - probability);
    // 24 bits a value, so that the comparison is exact in f32.
    let draw = |bits: u32| if (bits >> 8) as f32 / 16_777_216.0 < probability { 0.0 } else { kept };
    let mask: Vec<f32> = (0..values.elem_count()).map(|_| draw(generator.next_u32())).collect();
    values * Tensor::from_vec(mask, values.dims(), values.device())?
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn drops_the_share_asked_for_and_keeps_the_mean() {
        let ones = Tensor::ones(20_000, DType::F32, &Device::Cpu).unwrap();
        let mut generator = ChaCha8Rng::seed_from_u64(3);
        let dropped =
            dropout(&ones, 0.25, &mut Mode::Train(&mut generator)).unwrap().to_vec1::<f32>().unwrap();
        let zeros = dropped.iter().filter(|value| **value == 0.0).count();
        assert!((4_700..5_300).contains(&zeros), "{zeros}");
        assert!(dropped.iter().all(|value| *value == 0.0 || (*value - 4.0 / 3.0).abs() < 1e-6));
        let mut again = ChaCha8Rng::seed_from_u64(3);
        let same = dropout(&ones, 0.25, &mut Mode::Train(&mut again)).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(dropped, same);
    }

    #[test]
    fn evaluation_drops_nothing() {
        let ones = Tensor::ones(100, DType::F32, &Device::Cpu).unwrap();
        let kept = dropout(&ones, 0.5, &mut Mode::Evaluate).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(kept, vec![1.0; 100]);
    }
}
