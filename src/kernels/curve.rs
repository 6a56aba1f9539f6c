//! Activations of a convolution, applied to its sums while they are in registers or in L1.
//!
//! Sketch: `Relu` is one instruction. `Silu` is a sigmoid and a product, `Gelu` in its exact form x·Φ(x) an exponential, two
//! divisions and a polynomial of degree 5 for erf: some 20 and 30 operations for a vector.
//! Error: `Silu` 5 ulp; `Gelu` 5e-7 absolute (Abramowitz and Stegun 7.1.26 has 1.5e-7 for erf).
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use std::f32::consts::FRAC_1_SQRT_2;

use super::activation::{exp_of, sigmoid_of};
use super::checked::Checked;
use super::cpu::Level;
use super::lanes::{self, Kernel, Lanes};

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// max(x, 0)
    Relu,
    /// x·Φ(x)
    Gelu,
    /// x·σ(x)
    Silu,
    /// x
    Identity,
}

impl Curve {
    /// The least value where the curve is a lower bound and nothing else: 0 of `Relu`.
    pub(super) fn floor(self) -> f32 {
        if self == Self::Relu { 0.0 } else { f32::NEG_INFINITY }
    }

    /// Whether more is to be done than keeping to the floor.
    pub(super) fn is_smooth(self) -> bool {
        matches!(self, Self::Gelu | Self::Silu)
    }

    /// A smooth curve of a vector; others are left alone.
    #[inline(always)]
    pub(super) fn smooth<V: Lanes>(self, x: V) -> V {
        match self {
            Self::Relu | Self::Identity => x,
            Self::Silu => x.mul(sigmoid_of(x)),
            Self::Gelu => gelu(x),
        }
    }

    /// Applies a smooth curve to values in memory, whole vectors of 16; others are left alone.
    pub(super) fn smooth_all(self, level: Level, values: &mut [f32]) {
        if self.is_smooth() {
            lanes::run(level, Pass { curve: self, values });
        }
    }
}

/// x/2 · (1 + erf(x/√2)) with erf(z) = ±(1 - (a₁t + … + a₅t⁵)·e^(-z²)), t = 1/(1 + 0.3275911·|z|).
#[inline(always)]
fn gelu<V: Lanes>(x: V) -> V {
    let size = x.mul(x.all(FRAC_1_SQRT_2)).copy_sign(x.all(1.0));
    let t = x.all(1.0).div(size.mul_add(x.all(0.327_591_1), x.all(1.0)));
    let sum = x.all(1.061_405_4).mul_add(t, x.all(-1.453_152)).mul_add(t, x.all(1.421_413_7));
    let sum = sum.mul_add(t, x.all(-0.284_496_74)).mul_add(t, x.all(0.254_829_6)).mul(t);
    let tail = sum.mul(exp_of(x.all(0.0).sub(size.mul(size))));
    // x·Φ(x) is x - x/2·tail for positive x and x/2·tail for negative x: both are max(x, 0) - |x|/2·tail.
    let half = size.mul(x.all(FRAC_1_SQRT_2));
    x.all(0.0).max(x).sub(half.mul(tail))
}

struct Pass<'a> {
    curve: Curve,
    values: &'a mut [f32],
}

impl Kernel for Pass<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller promises the instructions.
        let machine = unsafe { Checked::<V>::assume() };
        for values in self.values.chunks_exact_mut(V::WIDTH) {
            machine.store(self.curve.smooth(machine.load(values, 0)), values, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Φ(x) by its Taylor series about 0, in f64: converges for any x, digits enough up to 6.
    fn normal(x: f64) -> f64 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while f64::abs(term) > 1e-18 {
            n += 1.0;
            term *= x * x / (2.0 * n + 1.0);
            sum += term;
        }
        0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
    }

    #[test]
    fn smooth_curves_are_near_the_true_ones() {
        for level in Level::available() {
            for (curve, bound) in [(Curve::Gelu, 5e-7), (Curve::Silu, 5e-7)] {
                let xs: Vec<f32> = (-6000..6000).map(|x| x as f32 / 1000.0).collect();
                let mut values = xs.clone();
                curve.smooth_all(level, &mut values);
                for (x, value) in xs.iter().map(|x| f64::from(*x)).zip(values) {
                    let share = if curve == Curve::Gelu { normal(x) } else { 1.0 / (1.0 + (-x).exp()) };
                    let error = (f64::from(value) - x * share).abs();
                    assert!(
                        error <= bound * x.abs().max(1.0),
                        "{level:?} {curve:?}({x}) is off by {error:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn far_values_keep_their_limits_and_nan_stays() {
        for level in Level::available() {
            for curve in [Curve::Gelu, Curve::Silu] {
                let mut values = [0.0; 16];
                values[..4].copy_from_slice(&[1e30, -1e30, 0.0, f32::NAN]);
                curve.smooth_all(level, &mut values);
                assert_eq!(values[..3], [1e30, 0.0, 0.0]);
                assert!(values[3].is_nan());
            }
        }
    }
}
