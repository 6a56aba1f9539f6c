//! The LSTM step: one token for many rows, gates, cell and hidden state in registers.
//!
//! Sketch, a row of hidden width H: 2 · 4H · H flops (H = 256: 0.52 MFLOP). The recurrent weights are packed in
//! panels of 16 hidden units by their four gates (AVX2: 8), 4 · 16 · H · 4 bytes each (64 KiB), all of them 1 MiB,
//! which stays in the second-level cache. A tile is up to 6 rows by one panel (AVX2: 3): its 24 accumulators are
//! i, f, g and o of 16 units, so that after the last input the gates, the cell and the hidden state are computed where
//! they are and written once: nothing is stored between. The tail is 5 exponentials and 2 divisions for 16 units: some
//! 75 instructions against 4H = 1,024 multiply-adds.
//!
//! What is added before the recurrent product is either read from a folded table (a row of `Embedding · W_ihᵀ + b`
//! for each token; exact in the same order, so folding changes no bit) or computed from an input in the same registers.
//! A sum is the bias, then inputs in order, then hidden units in order: the bits of a row do not depend on the height
//! of its tile, on its neighbours, nor on the instruction set.
//!
//! Formula (PyTorch's order of gates i, f, g, o): c' = σ(f) · c + σ(i) · tanh(g), h' = σ(o) · tanh(c'). What an exponential
//! takes is an exponent of two, so weights and biases are multiplied by log₂ e before they are packed ([`to_exponents`]).
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use super::aligned::{Aligned, LINE, prefetch_line};
use super::cpu::Level;
use super::crew::{Load, Parts, Team};
use super::gates;
use super::gemm::{Packed, VECTORS, accumulate, for_height, tiles};
use super::lanes::{self, Kernel, Lanes};
use input::{Inputs, column_scalar, columns, gate_row};
use states::Shared;

pub(super) mod input;
#[cfg(test)]
pub(super) mod plain;
pub(super) mod states;

/// Rows of the highest tile: a step of fewer reads the weights for less.
pub const TILE_ROWS: usize = super::gemm::TILE_ROWS_MAX;
/// Rows whose states are asked for ahead where threads share a step: 32 KiB of 256 units.
const PREFETCHED_ROWS: usize = 32;

/// The weights of one layer in one direction, in PyTorch's layout: gates i, f, g, o, `hidden` rows each. Their sums are
/// exponents: [`to_exponents`] makes them of PyTorch's.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// 4H × I.
    pub input: &'a [f32],
    /// 4H × H.
    pub recurrent: &'a [f32],
    /// 4H: the sum of both biases.
    pub bias: &'a [f32],
}

/// Multiplies weights or biases of the four gates, PyTorch's, by what makes their sums the exponents of two that a step
/// takes: once, instead of every sum in every step. What becomes infinite by it is cut to the largest number.
pub fn to_exponents(gates: &mut [f32]) {
    let each = gates.len() / VECTORS;
    for (gate, factor) in gates.chunks_exact_mut(each.max(1)).zip(gates::FACTORS) {
        for weight in gate {
            *weight = (*weight * factor).clamp(f32::MIN, f32::MAX);
        }
    }
}

/// One layer in one direction, packed. Shared between threads; nothing changes it.
#[derive(Clone, Debug)]
pub struct Cell {
    hidden: usize,
    recurrent: Packed,
    inputs: Inputs,
}

/// Where one row has its state and its input.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which state.
    pub slot: usize,
    /// Which row of the input.
    pub input: usize,
}

/// Inputs, row by row.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// What [`Cell::fold`] made.
    Folded(&'a [f32]),
    /// Values that `W_ih` is still to be multiplied with, `stride` from one row to the next.
    Raw {
        /// The values.
        values: &'a [f32],
        /// Values from the start of a row to the start of the next.
        stride: usize,
    },
}

/// States, [`Cell::width`] values a slot each.
#[derive(Debug)]
pub struct States<'a> {
    /// Hidden states before the step.
    pub before: &'a [f32],
    /// Hidden states after it.
    pub after: &'a mut [f32],
    /// Cell states, updated in place.
    pub cells: &'a mut [f32],
}

impl Cell {
    /// Packs a layer of `hidden` units for `level`, or the level below where the machine lacks it.
    ///
    /// # Panics
    /// When the weights are not 4 · `hidden` rows, or there are no hidden units.
    #[must_use]
    pub fn new(level: Level, hidden: usize, weights: Weights<'_>) -> Self {
        let level = level.or_below();
        assert_eq!(weights.recurrent.len(), VECTORS * hidden * hidden, "recurrent weights are 4H × H");
        let row = |row: usize| &weights.recurrent[row * hidden..][..hidden];
        let recurrent = Packed::new(level, [columns(level, hidden), hidden], |column| {
            gate_row(level, hidden, column).map(row)
        });
        Self { hidden, recurrent, inputs: Inputs::new(level, hidden, weights.input, weights.bias) }
    }

    /// Hidden units.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Values of one state: the hidden units, rounded up to whole cache lines; the ones above are always 0.
    #[must_use]
    pub fn width(&self) -> usize {
        self.hidden.next_multiple_of(LINE)
    }

    /// Values of one folded input.
    #[must_use]
    pub fn folded_width(&self) -> usize {
        self.inputs.columns()
    }

    /// The inputs that [`Input::Folded`] reads, for rows of raw inputs: `x · W_ihᵀ + b`.
    ///
    /// # Panics
    /// When `x` is not whole rows.
    #[must_use]
    pub fn fold(&self, x: &[f32]) -> Aligned {
        self.inputs.fold(x)
    }

    /// Advances every one of `rows` by one token. Slots must differ.
    ///
    /// # Panics
    /// When a row names a state or an input that is not there.
    pub fn step(&self, rows: &[Row], input: Input<'_>, states: States<'_>) {
        self.step_with(&mut Team::default(), (rows, input), states);
    }

    /// The same, with what help the team has: panels are shared out. Whoever computes a panel, its bits are the same.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn step_with(&self, team: &mut Team, (rows, input): (&[Row], Input<'_>), states: States<'_>) {
        let level = self.recurrent.level();
        let (before, states) = Shared::new(states, self.width());
        let step = Step { cell: self, rows, input, before, states };
        let load = Load {
            parts: self.folded_width() / (VECTORS * level.lanes()),
            products: rows.len() * self.products(matches!(input, Input::Raw { .. })),
        };
        team.share(load, &mut [], |panels, _| match level {
            Level::Scalar => step.run_scalar(panels),
            level => lanes::run(level, Panels { step, panels }),
        });
    }

    /// Multiply-adds of one row's step, with or without those of the input.
    #[must_use]
    pub fn products(&self, input: bool) -> usize {
        let inputs = if input { self.inputs.inputs() } else { 0 };
        self.folded_width() * (self.hidden + inputs)
    }
}

/// A step that threads share: each writes the states of its panels' units, in all rows, and reads no others but those
/// before the step.
#[derive(Clone, Copy)]
struct Step<'a> {
    cell: &'a Cell,
    rows: &'a [Row],
    input: Input<'a>,
    before: &'a [f32],
    states: Shared<'a>,
}

/// What one thread does of it.
struct Panels<'a> {
    step: Step<'a>,
    panels: Parts<'a>,
}

impl Kernel for Panels<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let step = self.step;
        if self.panels.are_shared() {
            step.prefetch_before();
        }
        // A panel meets all its rows before the next one: however large the layer is, it is read once a step.
        for (index, panel) in self.panels.enumerate() {
            if index == 0 {
                step.cell.inputs.prefetch(step.input, step.rows, panel);
            }
            for tile in tiles::<V>(step.rows.len()) {
                // SAFETY: the caller promises the instructions.
                unsafe { for_height!(tile.len(), step.tile::<V>(tile.start, panel)) }
            }
        }
    }
}

impl Step<'_> {
    /// One panel of `ROWS` rows from `first`.
    ///
    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    unsafe fn tile<V: Lanes, const ROWS: usize>(&self, first: usize, panel: usize) {
        let (hidden, width) = (self.cell.hidden, self.cell.width());
        let mut rows = [Row { slot: 0, input: 0 }; ROWS];
        rows.copy_from_slice(&self.rows[first..][..ROWS]);
        let mut before = [&self.before[..0]; ROWS];
        for (before, row) in before.iter_mut().zip(&rows) {
            *before = &self.before[row.slot * width..][..hidden];
        }
        self.cell.inputs.prefetch(self.input, &rows, panel + 1);
        // SAFETY: the caller promises the instructions.
        let sums = unsafe {
            let sums = self.cell.inputs.sums::<V, ROWS>(self.input, &rows, panel);
            accumulate(sums, self.cell.recurrent.panel(panel), before)
        };
        // SAFETY: the caller promises the instructions. A panel is one thread's, and its units are no other panel's.
        unsafe { self.states.update_all(&rows, &sums, panel) }
    }

    /// Asks for the states that another thread has written in the step before, all at once.
    #[inline(always)]
    fn prefetch_before(&self) {
        let width = self.cell.width();
        for row in self.rows.iter().take(PREFETCHED_ROWS) {
            for line in self.before[row.slot * width..][..width].chunks(LINE) {
                prefetch_line(line.as_ptr());
            }
        }
    }

    /// The scalar twin.
    fn run_scalar(&self, panels: Parts<'_>) {
        let lanes = Level::Scalar.lanes();
        for panel in panels {
            for row in self.rows {
                for unit in panel * lanes..(panel + 1) * lanes {
                    self.unit(*row, unit);
                }
            }
        }
    }

    /// One unit of one row.
    fn unit(&self, row: Row, unit: usize) {
        let cell = self.cell;
        let before = &self.before[row.slot * cell.width()..][..cell.hidden];
        let sums = [0, 1, 2, 3].map(|gate| {
            let column = column_scalar(unit, gate);
            let sum = cell.inputs.sum_scalar(self.input, row, column);
            cell.recurrent.accumulate_scalar(column, before, sum)
        });
        // SAFETY: a unit is of one panel, and a panel is one thread's.
        unsafe { self.states.update_scalar(row, unit, sums) }
    }
}

#[cfg(test)]
mod tests;
