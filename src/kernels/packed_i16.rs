//! A matrix in 16-bit fixed point with a scale an output, for inputs between −1 and 1: half the bytes, twice the
//! multiplications a second.
//!
//! An input h becomes the integer j = round(2¹³ · h). Of a row of the matrix, a weight w becomes k = round(w / s), and
//! a product is s / 2¹³ · Σ k · j, where a block of 256 inputs is summed exactly in i32 and the blocks' sums are added in
//! f32, in order. s is the smallest scale with |k| ≤ 2¹⁵ − 1 and, in every block, Σ|k| ≤ 2¹⁸ − 1, so that a sum, whatever
//! part of it is taken, is at most (2¹⁸ − 1) · 2¹³ < 2³¹: it cannot overflow, and the bits of a row do not depend on
//! the order of its sum, its neighbours, or the instruction set.
//!
//! Error of one output against exact arithmetic: inputs are off by at most 2⁻¹⁴ and weights by s / 2, which makes
//! 2⁻¹⁴ · Σ|w| + s / 2 · Σ|h|. Of the bits that one i32 has for both, 2¹³ for the inputs is where the two parts are
//! about equal for trained rows of 64 to 256 weights; rounding errors add up like the square root, so that sums are
//! some 1e-4 off where bfloat16, with 8 bits, is off by 1e-3.

use super::aligned::Aligned;
use super::gemm::VECTORS;
use super::lanes::Lanes;
use super::pairs::{Form, Pairs};

/// Inputs that are summed in integers.
const BLOCK: usize = 256;
/// What an input of 1 becomes.
const ONE: f32 = 8192.0;
/// Largest weight.
const WEIGHT_MAX: f64 = 32_767.0;
/// Largest sum of a block's weights, less what rounding each of them may add.
const BLOCK_WEIGHTS_MAX: f64 = 262_143.0 - BLOCK as f64 / 2.0;
/// 1.5 · 2²³: a f32 of this magnitude has no digits after the point, and its low 16 bits are a small addend's own.
const WHOLE: f32 = 12_582_912.0;

const _: () = assert!((262_143 * 8192_i64) <= i32::MAX as i64);

/// A packed matrix. Shared between threads; nothing changes it.
#[derive(Clone, Debug)]
pub(super) struct PackedI16 {
    inputs: usize,
    /// i16 of one panel: pair by pair of inputs, four vectors each.
    panel: usize,
    weights: Aligned<i16>,
    /// s / 2¹³ of every column.
    scales: Aligned,
}

impl PackedI16 {
    /// Packs `columns` rows of `inputs` weights, whole panels: `row(column)`, or `None` for weights of 0.
    pub(super) fn new<'a>(
        form: Form,
        [columns, inputs]: [usize; 2],
        row: impl Fn(usize) -> Option<&'a [f32]>,
    ) -> Self {
        let width = VECTORS * form.level().lanes();
        let panel = inputs.div_ceil(2) * width * 2;
        let mut weights = Aligned::zeros_i16(columns / width * panel);
        let mut scales = Aligned::zeros(columns);
        for column in 0..columns {
            let Some(row) = row(column) else { continue };
            let scale = scale(row);
            scales[column] = rounded(scale / f64::from(ONE));
            let first = column / width * panel + column % width * 2;
            for (input, weight) in row.iter().enumerate() {
                weights[first + input / 2 * width * 2 + input % 2] = quotient(*weight, scale);
            }
        }
        Self { inputs, panel, weights, scales }
    }

    /// Adds the product of a tile's rows with a panel to its sums, block by block. A row has its inputs and, where
    /// they are an odd number, one more value.
    ///
    /// # Safety
    /// The machine has the instructions of `P`, for whose form the matrix is packed.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
    #[expect(clippy::needless_range_loop, reason = "adapters over vectors would not be inlined with them")]
    pub(super) unsafe fn accumulate<P: Pairs, const ROWS: usize>(
        &self,
        mut sums: [[P::Floats; VECTORS]; ROWS],
        panel: usize,
        x: [&[i16]; ROWS],
    ) -> [[P::Floats; VECTORS]; ROWS] {
        let width = VECTORS * P::Floats::WIDTH;
        let scales = &self.scales[panel * width..][..width];
        for x in x {
            assert!(x.len() >= self.inputs.next_multiple_of(2), "a row has a value for every input");
        }
        let panel = &self.weights[panel * self.panel..][..self.panel];
        for (block, panel) in panel.chunks(BLOCK * width).enumerate() {
            // SAFETY: the caller promises the instructions; `weights` is four vectors of pairs long; every row has as
            // many pairs as the panel, as asserted; `scales` is four vectors long.
            unsafe {
                let mut products = [[P::splat(0); VECTORS]; ROWS];
                for (pair, weights) in panel.chunks_exact(2 * width).enumerate() {
                    let mut values = [P::splat(0); ROWS];
                    for row in 0..ROWS {
                        let at = x[row].as_ptr().add(block * BLOCK + 2 * pair);
                        values[row] = P::splat(at.cast::<i32>().read_unaligned());
                    }
                    for vector in 0..VECTORS {
                        let weights = P::load(weights.as_ptr().add(vector * 2 * P::Floats::WIDTH));
                        for row in 0..ROWS {
                            products[row][vector] = products[row][vector].add_products(weights, values[row]);
                        }
                    }
                }
                for vector in 0..VECTORS {
                    let scale = P::Floats::load(scales.as_ptr().add(vector * P::Floats::WIDTH));
                    for row in 0..ROWS {
                        sums[row][vector] = products[row][vector].floats().mul_add(scale, sums[row][vector]);
                    }
                }
            }
        }
        sums
    }

    /// The scalar twin: `sum` plus the product of x with one column of a matrix that is packed for it.
    pub(super) fn accumulate_scalar(&self, column: usize, x: &[i16], mut sum: f32) -> f32 {
        let width = VECTORS * Form::Scalar.level().lanes();
        let first = column / width * self.panel + column % width * 2;
        for (block, x) in x[..self.inputs].chunks(BLOCK).enumerate() {
            let mut products = 0_i32;
            for (input, value) in x.iter().enumerate() {
                let input = block * BLOCK + input;
                let weight = self.weights[first + input / 2 * width * 2 + input % 2];
                products += i32::from(weight) * i32::from(*value);
            }
            sum = (products as f32).mul_add(self.scales[column], sum);
        }
        sum
    }
}

/// s, the smallest scale that the bounds allow; 0 for a row of zeros.
fn scale(row: &[f32]) -> f64 {
    let magnitude = |weight: &f32| f64::from(weight.abs());
    let largest = row.iter().map(magnitude).fold(0.0, f64::max);
    let heaviest = row.chunks(BLOCK).map(|block| block.iter().map(magnitude).sum()).fold(0.0, f64::max);
    (largest / WEIGHT_MAX).max(heaviest / BLOCK_WEIGHTS_MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the scale keeps it within ±32,767; 0 / 0 is 0")]
fn quotient(weight: f32, scale: f64) -> i16 {
    (f64::from(weight) / scale).round() as i16
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what this is for")]
fn rounded(scale: f64) -> f32 {
    scale as f32
}

/// The number whose low 16 bits are a hidden state in fixed point. NaN becomes −1, which bounds it too: the cell state
/// keeps the NaN.
#[inline(always)]
#[expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
pub(super) fn fixed_point<V: Lanes>(h: V) -> V {
    h.max(h.all(-1.0)).min(h.all(1.0)).mul_add(h.all(ONE), h.all(WHOLE))
}

/// A hidden state in fixed point: round(2¹³ · h), ties to even.
#[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the number")]
pub(super) fn quantise(h: f32) -> i16 {
    fixed_point(h).to_bits() as i16
}

#[cfg(test)]
mod tests;
