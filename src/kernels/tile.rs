//! The register tile: a few rows times a panel of packed weights, the one product under every convolution.
//!
//! A row is not a contiguous run of memory but an offset plus a list of runs, the same for all rows: a convolution
//! reads its window from the map in place (a run is a row of the window); Winograd and 1 × 1 have a single run.
//!
//! Sketch, a tile of 6 rows × 4 vectors (AVX-512): 24 sums stay in registers; a step loads 4 vectors of weights and
//! broadcasts 6 values (10 loads, 5 cycles) for 24 products (12 cycles, 768 flops), so the products bound it. A panel
//! is passed in parts of at most [`STEPS`] steps, 96 · 64 · 4 = 24 KiB, which stay in L1 while all rows pass; between
//! parts the sums wait in the output. The part that follows comes from the second-level cache meanwhile, a vector in every
//! step: asked for faster than that, it holds up the loads. AVX2: 6 rows × 2 vectors. The order of a row's sum is step by
//! step whatever tile and part it is in: a row's result does not depend on its company, nor on the instruction set.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(clippy::needless_range_loop, reason = "a reference to one sum would keep all of them in memory")]

use super::aligned::prefetch_line;
use super::checked::Checked;
use super::cpu::Level;
use super::lanes::{self, Kernel, Lanes};
use super::panels::BLOCK;
use super::scatter::Scatter;

/// Steps of one part of a panel.
const STEPS: usize = 96;

/// Rows times one panel.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// What the offsets point into.
    pub(super) input: &'a [f32],
    /// Where each row begins.
    pub(super) rows: &'a [u32],
    /// Where each run of a row begins, after the row's own offset.
    pub(super) runs: &'a [u32],
    /// Values in every run.
    pub(super) run: usize,
    /// `runs · run` steps of 16 · blocks weights.
    pub(super) panel: &'a [f32],
    /// 16 · blocks numbers that the sums begin with; none: 0.
    pub(super) bias: Option<&'a [f32]>,
    /// Results are at least this: 0 is a rectifier.
    pub(super) floor: f32,
    /// Where each row's sums go in the output.
    pub(super) outs: &'a [u32],
}

/// Cuts a run of `values` into (number, length) of equal parts of at most [`STEPS`], where it can be cut evenly.
pub(super) fn cut(values: usize) -> (usize, usize) {
    let least = values.div_ceil(STEPS);
    let count = (least..=2 * least).find(|count| values.is_multiple_of(*count)).unwrap_or(1);
    (count, values / count)
}

/// Multiplies every row with the panel and stores max(floor, bias + row · panel).
///
/// It is a function of its own for every instruction set, not a part of each kernel: its tiles are much code.
///
/// # Safety
/// No other thread reads or writes where the results go.
pub(super) unsafe fn multiply(level: Level, product: &Product<'_>, output: Scatter<'_>) {
    lanes::run(level, Multiplication { product, output });
}

struct Multiplication<'a> {
    product: &'a Product<'a>,
    output: Scatter<'a>,
}

impl Kernel for Multiplication<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller promises the instructions.
        let machine = unsafe { Checked::<V>::assume() };
        let Self { product, output } = self;
        let width = product.panel.len() / (product.runs.len() * product.run);
        let group = (STEPS / product.run).clamp(1, product.runs.len());
        let mut first = 0;
        while first < product.runs.len() {
            let last = product.runs.len().min(first + group);
            let steps = product.run * width;
            let part = Part {
                product: Product {
                    runs: &product.runs[first..last],
                    panel: &product.panel[first * steps..last * steps],
                    floor: if last == product.runs.len() { product.floor } else { f32::NEG_INFINITY },
                    ..*product
                },
                resumed: first > 0,
            };
            match width / V::WIDTH {
                16 if V::WIDTH == 1 => part.multiply::<V, 16>(machine, output),
                4 if V::WIDTH > 8 => part.multiply::<V, 4>(machine, output),
                3 if V::WIDTH > 8 => part.multiply::<V, 3>(machine, output),
                2 if V::WIDTH > 1 => part.multiply::<V, 2>(machine, output),
                1 if V::WIDTH > 8 => part.multiply::<V, 1>(machine, output),
                _ => unreachable!("weights are packed for this machine's tiles"),
            }
            first = last;
        }
    }
}

/// Some of the steps of a product.
struct Part<'a> {
    product: Product<'a>,
    /// Whether the sums go on from what the output holds.
    resumed: bool,
}

impl Part<'_> {
    /// Panics unless every offset leads inside `input` and `output`.
    #[inline(always)]
    fn check(&self, width: usize, output: usize) {
        let Product { input, rows, runs, run, panel, bias, outs, .. } = self.product;
        assert!(rows.len() == outs.len(), "a row has one place");
        assert!(furthest(rows) + furthest(runs) + run <= input.len(), "rows outside the input");
        assert!(furthest(outs) + width <= output, "results outside the output");
        assert!(panel.len() == runs.len() * run * width, "a panel of another size");
        assert!(bias.is_none_or(|bias| bias.len() == width), "a bias of another size");
    }

    #[inline(always)]
    fn multiply<V: Lanes, const N: usize>(&self, machine: Checked<V>, output: Scatter<'_>) {
        self.check(N * V::WIDTH, output.len());
        let highest = rows_max::<V>(N);
        let rows = self.product.rows.len();
        let tiles = rows.div_ceil(highest);
        for tile in 0..tiles {
            // As even as can be: a low tile wastes the loads of its weights.
            let (from, to) = (tile * rows / tiles, (tile + 1) * rows / tiles);
            let tile = Tile { from, ahead: self.ahead::<N>(tiles - 1 - tile) };
            match to - from {
                8 if highest >= 8 => self.tile::<V, 8, N>(machine, tile, output),
                7 if highest >= 7 => self.tile::<V, 7, N>(machine, tile, output),
                6 if highest >= 6 => self.tile::<V, 6, N>(machine, tile, output),
                5 if highest >= 5 => self.tile::<V, 5, N>(machine, tile, output),
                4 if highest >= 4 => self.tile::<V, 4, N>(machine, tile, output),
                3 if highest >= 3 => self.tile::<V, 3, N>(machine, tile, output),
                2 if highest >= 2 => self.tile::<V, 2, N>(machine, tile, output),
                _ => self.tile::<V, 1, N>(machine, tile, output),
            }
        }
    }

    /// What a tile asks for ahead, a vector in every step. The weights that follow this part come from the second-level cache:
    /// the last N tiles ask for as many, each for its share; the ones before ask for what is there.
    #[inline(always)]
    fn ahead<const N: usize>(&self, tiles_to_come: usize) -> *const f32 {
        let panel = self.product.panel;
        let share = (N - 1).checked_sub(tiles_to_come);
        panel.as_ptr().wrapping_add(share.map_or(0, |share| panel.len() + panel.len() / N * share))
    }

    #[inline(always)]
    fn tile<V: Lanes, const R: usize, const N: usize>(
        &self,
        machine: Checked<V>,
        Tile { from, mut ahead }: Tile,
        output: Scatter<'_>,
    ) {
        let Product { input, rows, runs, run, panel, bias, floor, outs } = self.product;
        let mut sums = [[machine.splat(0.0); N]; R];
        for row in 0..R {
            for n in 0..N {
                if self.resumed {
                    // SAFETY: `check` saw that every row's place + N vectors is at most `output.len()`; it is this thread's.
                    sums[row][n] =
                        unsafe { V::load(output.first().add(outs[from + row] as usize + n * V::WIDTH)) };
                } else if let Some(bias) = bias {
                    // SAFETY: `check` saw that the bias is N vectors long.
                    sums[row][n] = unsafe { V::load(bias.as_ptr().add(n * V::WIDTH)) };
                }
            }
        }
        let mut weights = panel.as_ptr();
        for &start in runs {
            let mut values = [input.as_ptr(); R];
            for row in 0..R {
                // SAFETY: `check` saw that every row's offset + start + `run` is at most `input.len()`.
                values[row] = unsafe { input.as_ptr().add(rows[from + row] as usize + start as usize) };
            }
            for k in 0..run {
                let mut vectors = [machine.splat(0.0); N];
                for n in 0..N {
                    // SAFETY: `check` saw that the panel has N vectors for each of `runs.len() · run` steps.
                    vectors[n] = unsafe { V::load(weights.add(n * V::WIDTH)) };
                }
                prefetch_line(ahead);
                ahead = ahead.wrapping_add(V::WIDTH);
                // SAFETY: the step has N vectors; after the last one this is the panel's end.
                weights = unsafe { weights.add(N * V::WIDTH) };
                for row in 0..R {
                    // SAFETY: k < `run`, see above.
                    let value = machine.splat(unsafe { *values[row].add(k) });
                    for n in 0..N {
                        sums[row][n] = value.mul_add(vectors[n], sums[row][n]);
                    }
                }
            }
        }
        let floor = machine.splat(floor);
        for row in 0..R {
            let place = outs[from + row] as usize;
            for n in 0..N {
                // SAFETY: `check` saw that place + N vectors is at most `output.len()`; it is this thread's.
                unsafe { floor.max(sums[row][n]).store(output.first().add(place + n * V::WIDTH)) }
            }
        }
    }
}

/// Some of a product's rows.
#[derive(Clone, Copy)]
struct Tile {
    /// The first.
    from: usize,
    /// Weights to be asked for, a vector after the other.
    ahead: *const f32,
}

/// Rows of a tile that is `n` vectors wide. 32 registers: 6 · 4 sums, 4 weights and a value are 29; with fewer
/// vectors 8 rows hide the latency of 4 cycles at two products a cycle. 16 registers: 6 · 2 sums, 2 weights, a value.
#[inline(always)]
fn rows_max<V: Lanes>(n: usize) -> usize {
    match (V::REGISTERS, V::WIDTH) {
        (32, _) if n < 4 => 8,
        (_, 1) => 1,
        _ => 6,
    }
}

#[inline(always)]
fn furthest(offsets: &[u32]) -> usize {
    offsets.iter().fold(0, |most, offset| most.max(*offset)) as usize
}

const _: () = assert!(BLOCK == 16, "the widths of tiles are written out for blocks of 16");
