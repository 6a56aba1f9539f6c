//! The last layer of a text classifier: y = b + x · Wᵀ for few outputs, row by row, x in one or two pieces.
//!
//! Sketch, a row: 2 · I · O flops and 4 · I · O bytes of weights (I = 256, O = 1: 512 flops, 1 KiB): nothing beside the
//! steps before it. An output is 16 running sums (one AVX-512 vector, two of AVX2), one for each place in a cache
//! line, added in pairs at the end: the order, and so the bits, are the same at every width.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use super::aligned::{Aligned, LINE};
use super::cpu::Level;
use super::lanes::{self, Kernel, Lanes};

/// Weights of a linear layer whose input comes in pieces, each on whole cache lines. Shared between threads; nothing
/// changes it.
#[derive(Clone, Debug)]
pub struct Linear {
    level: Level,
    width: usize,
    /// Piece by piece, output by output, `width` weights each.
    weights: Aligned,
    bias: Vec<f32>,
}

impl Linear {
    /// Packs `weight`, O × I in PyTorch's layout with O biases, for inputs of `pieces` equal parts.
    ///
    /// # Panics
    /// When the sizes do not fit each other.
    #[must_use]
    pub fn new(level: Level, weight: &[f32], bias: &[f32], pieces: usize) -> Self {
        let part = weight.len() / (bias.len() * pieces);
        assert_eq!(weight.len(), bias.len() * pieces * part, "weights are outputs × pieces × values");
        let width = part.next_multiple_of(LINE);
        let mut weights = Aligned::zeros(pieces * bias.len() * width);
        for (row, from) in weight.chunks_exact(part).enumerate() {
            let (output, piece) = (row / pieces, row % pieces);
            weights[(piece * bias.len() + output) * width..][..part].copy_from_slice(from);
        }
        Self { level: level.or_below(), width, weights, bias: bias.to_vec() }
    }

    /// Values of one piece: its inputs, rounded up to whole cache lines.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Outputs, and their biases: what y is before the first piece is added.
    #[must_use]
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Adds the product of one piece of x, `width` values, to y.
    ///
    /// # Panics
    /// When there is no such piece, or x or y has another length.
    pub fn add(&self, piece: usize, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), self.width, "a piece is whole lines");
        assert_eq!(y.len(), self.bias.len(), "one value an output");
        let size = self.bias.len() * self.width;
        let task = Add { weights: &self.weights[piece * size..][..size], x, y };
        match self.level {
            Level::Scalar => task.run_scalar(),
            level => lanes::run(level, task),
        }
    }
}

struct Add<'a> {
    weights: &'a [f32],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Add<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        for (weights, y) in self.weights.chunks_exact(self.x.len()).zip(self.y) {
            let mut sums = [0.0; LINE];
            for (place, sums) in sums.chunks_exact_mut(V::WIDTH).enumerate() {
                let lines = weights.chunks_exact(LINE).zip(self.x.chunks_exact(LINE));
                // SAFETY: the caller promises the instructions; a line has a vector at every place, and so do `sums`.
                unsafe {
                    let mut sum = V::splat(0.0);
                    for (weights, x) in lines {
                        let (weights, x) =
                            (weights.as_ptr().add(place * V::WIDTH), x.as_ptr().add(place * V::WIDTH));
                        sum = V::load(x).mul_add(V::load(weights), sum);
                    }
                    sum.store(sums.as_mut_ptr());
                }
            }
            *y += in_pairs(sums);
        }
    }
}

impl Add<'_> {
    /// The scalar twin.
    fn run_scalar(self) {
        for (weights, y) in self.weights.chunks_exact(self.x.len()).zip(self.y) {
            let mut sums = [0.0_f32; LINE];
            for (index, (x, weight)) in self.x.iter().zip(weights).enumerate() {
                let sum = &mut sums[index % LINE];
                *sum = x.mul_add(*weight, *sum);
            }
            *y += in_pairs(sums);
        }
    }
}

/// The sum of a line: halves upon halves.
fn in_pairs(mut sums: [f32; LINE]) -> f32 {
    let mut half = LINE / 2;
    while half > 0 {
        for index in 0..half {
            sums[index] += sums[index + half];
        }
        half /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_gives_the_same_bits_near_the_true_value() {
        for part in [1, 2, 7, 8, 15, 16, 17, 31, 33, 256] {
            for (outputs, pieces) in [(1, 1), (3, 1), (2, 2), (5, 2)] {
                let weight: Vec<f32> =
                    (0..outputs * pieces * part).map(|index| (index as f32 * 0.7).sin()).collect();
                let bias: Vec<f32> = (0..outputs).map(|index| index as f32 + 0.1).collect();
                let x: Vec<f32> = (0..pieces * part).map(|index| (index as f32 * 1.3).cos()).collect();
                let exact = |output: usize| {
                    let products = x.iter().zip(&weight[output * pieces * part..]);
                    f64::from(bias[output])
                        + products.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>()
                };
                let answers = Level::available().map(|level| {
                    let layer = Linear::new(level, &weight, &bias, pieces);
                    let mut y = layer.bias().to_vec();
                    for (piece, x) in x.chunks_exact(part).enumerate() {
                        let mut padded = vec![0.0; layer.width()];
                        padded[..part].copy_from_slice(x);
                        layer.add(piece, &padded, &mut y);
                    }
                    y
                });
                let answers: Vec<_> = answers.collect();
                for answer in &answers {
                    for (output, value) in answer.iter().enumerate() {
                        assert_eq!(
                            value.to_bits(),
                            answers[0][output].to_bits(),
                            "{part} {outputs} {pieces}"
                        );
                        assert!(
                            (f64::from(*value) - exact(output)).abs() < 1e-5,
                            "{part} {outputs} {pieces}"
                        );
                    }
                }
            }
        }
    }
}
