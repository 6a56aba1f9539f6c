//! How fresh weights are drawn: PyTorch's defaults, from nothing but the generator and exact arithmetic.

use rand::RngCore;

/// A tensor that a network needs, and how it starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameter {
    /// PyTorch's name.
    pub(super) name: String,
    /// Dimensions.
    pub(super) shape: Vec<usize>,
    /// The distribution it is drawn from.
    pub(super) start: Start,
}

/// The distribution that a fresh tensor is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Start {
    /// Every value is this one; nothing is drawn.
    Constant(f32),
    /// Mean 0, variance 1.
    Normal,
    /// Even between -1/√n and 1/√n: the default of `Linear` and `Conv2d` (n inputs) and of `LSTM` (n hidden).
    EvenBelowRoot(usize),
}

impl Parameter {
    pub(super) fn new(name: impl Into<String>, shape: &[usize], start: Start) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), start }
    }

    /// Fresh values, row-major.
    pub(super) fn draw(&self, generator: &mut dyn RngCore) -> Vec<f32> {
        let count = self.shape.iter().product();
        match self.start {
            Start::Constant(value) => vec![value; count],
            Start::Normal => (0..count).map(|_| normal(generator)).collect(),
            Start::EvenBelowRoot(inputs) => {
                let bound = 1.0 / (inputs as f64).sqrt();
                (0..count).map(|_| narrow(even(generator) * bound)).collect()
            }
        }
    }
}

/// Even in [-1, 1), 53 bits.
fn even(generator: &mut dyn RngCore) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32; rounding is meant")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Marsaglia's polar method, one value of each pair.
fn normal(generator: &mut dyn RngCore) -> f32 {
    loop {
        let (x, y) = (even(generator), even(generator));
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return narrow(x * (-2.0 * logarithm(square) / square).sqrt());
        }
    }
}

/// The natural logarithm of a positive normal number by sums and products alone, because a system's own may differ in
/// the last bit between machines. With m·2ᵉ = x and s = (m-1)/(m+1): ln x = e·ln 2 + 2(s + s³/3 + s⁵/5 + …).
fn logarithm(x: f64) -> f64 {
    let exponent = i32::try_from((x.to_bits() >> 52) & 0x7ff).unwrap_or(0) - 1023;
    let mantissa = f64::from_bits((x.to_bits() & ((1 << 52) - 1)) | (1023 << 52));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    // s ≤ 1/3, so 17 terms leave less than 1e-17.
    let series = (0..17).rev().fold(0.0, |sum, k| sum * s * s + 1.0 / f64::from(2 * k + 1));
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_logarithm_is_right() {
        for x in [1e-300, 1e-9, 0.1, 0.5, 0.999_999, 1.0, 1.5, 2.0, 3e8] {
            let error = (logarithm(x) - f64::ln(x)).abs() / f64::ln(x).abs().max(1.0);
            assert!(error < 1e-15, "{x}: {error}");
        }
    }

    #[test]
    fn values_follow_their_distribution() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let moments = |values: &[f32]| {
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32)
        };
        let normal = Parameter::new("n", &[200, 250], Start::Normal).draw(&mut generator);
        let (mean, variance) = moments(&normal);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        let even = Parameter::new("e", &[50_000], Start::EvenBelowRoot(16)).draw(&mut generator);
        let (mean, variance) = moments(&even);
        assert!(even.iter().all(|v| v.abs() <= 0.25));
        assert!(mean.abs() < 0.005 && (variance - 0.25 * 0.25 / 3.0).abs() < 0.001, "{mean} {variance}");
    }

    #[test]
    fn draws_are_the_same_bits_everywhere() {
        let draw = || Parameter::new("n", &[3], Start::Normal).draw(&mut ChaCha8Rng::seed_from_u64(7));
        assert_eq!(draw(), draw());
    }
}
