//! The packed matrix product y = b + x · Wᵀ, and the accumulation that the LSTM step shares with it.
//!
//! Sketch: W is packed once in panels of four vectors of outputs (64 outputs with AVX-512), input by input, so that
//! a panel is read front to back. A tile is up to 6 rows of x by one panel: 24 accumulators of 32 registers, 6 for
//! the values of x, 1 for the weights at hand (AVX2: 3 rows: 12 accumulators, 3 and 1 of 16). An input costs 24 multiply-adds,
//! 12 cycles at two a cycle, for 4 loads of weights (256 bytes, 21 a cycle from L2) and 6 broadcasts: 48 flops a
//! load, bound by arithmetic.
//!
//! An output is b, then one fused multiply-add an input, in order, whatever the tile: the bits of a row do not
//! depend on its neighbours, nor on the instruction set.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(
    clippy::needless_range_loop,
    reason = "closures and adapters over vectors would not be inlined with them"
)]

use super::aligned::Aligned;
use super::cpu::Level;
use super::lanes::{self, Kernel, Lanes};

/// Vectors of one panel.
pub(super) const VECTORS: usize = 4;
/// Rows of the tallest tile that any level has registers for.
pub(super) const TILE_ROWS_MAX: usize = 6;
/// Rows whose inputs stay in the first-level cache while all panels pass: 48 of 128 f32 are 24 KiB.
const BLOCK_ROWS: usize = 48;

/// A matrix packed for [`product`](Self::product). Shared between threads; nothing changes it.
#[derive(Clone, Debug)]
pub struct Packed {
    level: Level,
    inputs: usize,
    panels: usize,
    values: Aligned,
}

impl Packed {
    /// Packs `outputs` rows of `inputs` weights: `row(output)`, or `None` for an output that is there for alignment
    /// and has weights of 0. The level falls to one that this machine has.
    ///
    /// # Panics
    /// When a row has fewer than `inputs` weights.
    pub fn new<'a>(
        level: Level,
        [outputs, inputs]: [usize; 2],
        row: impl Fn(usize) -> Option<&'a [f32]>,
    ) -> Self {
        let level = level.or_below();
        let width = VECTORS * level.lanes();
        let panels = outputs.div_ceil(width);
        let mut values = Aligned::zeros(panels * width * inputs);
        for output in 0..outputs {
            let Some(weights) = row(output) else { continue };
            let first = output / width * width * inputs + output % width;
            for (input, weight) in weights[..inputs].iter().enumerate() {
                values[first + input * width] = *weight;
            }
        }
        Self { level, inputs, panels, values }
    }

    /// The level it was packed for.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Values of one row of x.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values of one row of y: the outputs, rounded up to whole panels.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.panels * self.width()
    }

    /// y = b + x · Wᵀ for the rows of x, `inputs` values each; y has `columns` values a row, b has `columns`.
    ///
    /// # Panics
    /// When a slice is not whole rows, or they are not as many.
    pub fn product(&self, x: &[f32], bias: &[f32], y: &mut [f32]) {
        assert!(self.inputs > 0 && self.panels > 0, "an empty matrix has no product");
        assert_eq!(bias.len(), self.columns(), "one bias a column");
        let rows = y.len() / self.columns();
        assert_eq!(y.len(), rows * self.columns(), "y is whole rows");
        assert_eq!(x.len(), rows * self.inputs, "x has as many rows as y");
        match self.level {
            Level::Scalar => self.product_scalar(x, bias, y),
            level => lanes::run(level, Product { matrix: self, x, bias, y }),
        }
    }

    /// The scalar twin.
    fn product_scalar(&self, x: &[f32], bias: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks_exact(self.inputs).zip(y.chunks_exact_mut(self.columns())) {
            for (column, y) in y.iter_mut().enumerate() {
                *y = self.accumulate_scalar(column, x, bias[column]);
            }
        }
    }

    /// `sum` plus the product of x with one column, input by input.
    pub(super) fn accumulate_scalar(&self, column: usize, x: &[f32], sum: f32) -> f32 {
        let width = self.width();
        let panel = self.panel(column / width);
        let weights = panel[column % width..].iter().step_by(width);
        x.iter().zip(weights).fold(sum, |sum, (x, weight)| x.mul_add(*weight, sum))
    }

    /// The weights of a panel: input by input, four vectors each.
    #[inline(always)]
    pub(super) fn panel(&self, panel: usize) -> &[f32] {
        let size = self.inputs * self.width();
        &self.values[panel * size..][..size]
    }

    fn width(&self) -> usize {
        VECTORS * self.level.lanes()
    }
}

/// Splits `rows` into the fewest tiles that `V` has registers for, as even as can be: a low tile wastes bandwidth.
#[inline(always)]
pub(super) fn tiles<V: Lanes>(rows: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let highest = if V::REGISTERS < 32 { 3 } else { TILE_ROWS_MAX };
    let tiles = rows.div_ceil(highest);
    (0..tiles).map(move |tile| tile * rows / tiles..(tile + 1) * rows / tiles)
}

/// Calls a function that is generic over the height of its tile with the height of this one.
macro_rules! for_height {
    ($height:expr, $owner:ident.$function:ident::<$V:ident>($($argument:expr),*)) => {
        match $height {
            1 => $owner.$function::<$V, 1>($($argument),*),
            2 => $owner.$function::<$V, 2>($($argument),*),
            3 => $owner.$function::<$V, 3>($($argument),*),
            4 => $owner.$function::<$V, 4>($($argument),*),
            5 => $owner.$function::<$V, 5>($($argument),*),
            _ => $owner.$function::<$V, 6>($($argument),*),
        }
    };
}
pub(super) use for_height;

/// Adds the product of a tile's rows with a panel to its sums, input by input.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn accumulate<V: Lanes, const ROWS: usize>(
    mut sums: [[V; VECTORS]; ROWS],
    panel: &[f32],
    x: [&[f32]; ROWS],
) -> [[V; VECTORS]; ROWS] {
    let inputs = panel.len() / (VECTORS * V::WIDTH);
    for x in x {
        assert!(x.len() >= inputs, "a row has a value for every input");
    }
    for (input, weights) in panel.chunks_exact(VECTORS * V::WIDTH).enumerate() {
        // SAFETY: the caller promises the instructions; `weights` is four vectors long; every row is longer than
        // `input`, as asserted.
        unsafe {
            let mut values = [V::splat(0.0); ROWS];
            for row in 0..ROWS {
                values[row] = V::splat(*x[row].get_unchecked(input));
            }
            for vector in 0..VECTORS {
                let weights = V::load(weights.as_ptr().add(vector * V::WIDTH));
                for row in 0..ROWS {
                    sums[row][vector] = values[row].mul_add(weights, sums[row][vector]);
                }
            }
        }
    }
    sums
}

/// Four vectors from the start of `values`.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn load_four<V: Lanes>(values: &[f32]) -> [V; VECTORS] {
    let values = &values[..VECTORS * V::WIDTH];
    // SAFETY: the caller promises the instructions; `values` is four vectors long.
    unsafe {
        let mut four = [V::splat(0.0); VECTORS];
        for (vector, loaded) in four.iter_mut().enumerate() {
            *loaded = V::load(values.as_ptr().add(vector * V::WIDTH));
        }
        four
    }
}

/// Writes four vectors to the start of `values`.
#[inline(always)]
fn store_four<V: Lanes>(four: &[V; VECTORS], values: &mut [f32]) {
    let values = &mut values[..VECTORS * V::WIDTH];
    for (vector, stored) in four.iter().enumerate() {
        // SAFETY: `values` is four vectors long.
        unsafe { stored.store(values.as_mut_ptr().add(vector * V::WIDTH)) }
    }
}

struct Product<'a> {
    matrix: &'a Packed,
    x: &'a [f32],
    bias: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Product<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { matrix, x, bias, y } = self;
        let blocks = x.chunks(BLOCK_ROWS * matrix.inputs).zip(y.chunks_mut(BLOCK_ROWS * matrix.columns()));
        for (x, y) in blocks {
            let mut block = Product { matrix, x, bias, y };
            for panel in 0..matrix.panels {
                for rows in tiles::<V>(x.len() / matrix.inputs) {
                    // SAFETY: the caller promises the instructions.
                    unsafe { for_height!(rows.len(), block.tile::<V>(rows.start, panel)) }
                }
            }
        }
    }
}

impl Product<'_> {
    /// One panel of y for `ROWS` rows from `first`.
    ///
    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    unsafe fn tile<V: Lanes, const ROWS: usize>(&mut self, first: usize, panel: usize) {
        let (inputs, columns, width) = (self.matrix.inputs, self.matrix.columns(), VECTORS * V::WIDTH);
        let mut rows = [&self.x[..0]; ROWS];
        for (row, x) in rows.iter_mut().enumerate() {
            *x = &self.x[(first + row) * inputs..][..inputs];
        }
        // SAFETY: the caller promises the instructions.
        let sums = unsafe {
            let bias = load_four::<V>(&self.bias[panel * width..]);
            accumulate([bias; ROWS], self.matrix.panel(panel), rows)
        };
        for (row, sums) in sums.iter().enumerate() {
            store_four(sums, &mut self.y[(first + row) * columns + panel * width..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values that are many different roundings, the same for the same seed.
    fn values(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|index| ((index * 7919 + seed * 104_729) as f32 * 0.001).sin()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn every_level_gives_the_bits_of_plain_loops(rows in 0_usize..60, inputs in 1_usize..40, outputs in 1_usize..150) {
            let (x, w, b) = (values(1, rows * inputs), values(2, outputs * inputs), values(3, outputs));
            for level in Level::available() {
                let matrix = Packed::new(level, [outputs, inputs], |output| Some(&w[output * inputs..]));
                let mut bias = vec![0.0; matrix.columns()];
                bias[..outputs].copy_from_slice(&b);
                let mut y = vec![f32::NAN; rows * matrix.columns()];
                matrix.product(&x, &bias, &mut y);
                for (row, y) in y.chunks_exact(matrix.columns()).enumerate() {
                    for (output, y) in y.iter().enumerate() {
                        let plain = if output < outputs {
                            (0..inputs).fold(b[output], |sum, input| {
                                x[row * inputs + input].mul_add(w[output * inputs + input], sum)
                            })
                        } else {
                            0.0
                        };
                        prop_assert_eq!(y.to_bits(), plain.to_bits(), "{:?} row {} output {}", level, row, output);
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_cover_every_row_once_and_are_even() {
        for rows in 0..100 {
            let tiles: Vec<_> = tiles::<f32>(rows).collect();
            assert_eq!(tiles.iter().cloned().flatten().collect::<Vec<_>>(), (0..rows).collect::<Vec<_>>());
            let (low, high) =
                tiles.iter().fold((99, 0), |(low, high), tile| (low.min(tile.len()), high.max(tile.len())));
            assert!(high <= 3 && (rows == 0 || high - low <= 1));
        }
    }
}
