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
//! Formula (PyTorch's order of gates i, f, g, o): c' = σ(f) · c + σ(i) · tanh(g), h' = σ(o) · tanh(c').
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use super::aligned::{Aligned, LINE};
use super::cpu::Level;
use super::gates::update;
use super::gemm::{Packed, VECTORS, accumulate, for_height, tiles};
use super::lanes::{self, Kernel, Lanes};
use input::{Inputs, column_scalar, columns, gate_row};

pub(super) mod input;

/// Rows of the highest tile: a step of fewer reads the weights for less.
pub const TILE_ROWS: usize = super::gemm::TILE_ROWS_MAX;
/// Rows whose gates are computed in step.
const TOGETHER: usize = 3;

/// The weights of one layer in one direction, in PyTorch's layout: gates i, f, g, o, `hidden` rows each.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// 4H × I.
    pub input: &'a [f32],
    /// 4H × H.
    pub recurrent: &'a [f32],
    /// 4H: the sum of both biases.
    pub bias: &'a [f32],
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
        let mut step = Step { cell: self, rows, input, states };
        match self.recurrent.level() {
            Level::Scalar => step.run_scalar(),
            level => lanes::run(level, step),
        }
    }
}

struct Step<'a> {
    cell: &'a Cell,
    rows: &'a [Row],
    input: Input<'a>,
    states: States<'a>,
}

impl Kernel for Step<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        self.cell.inputs.prefetch(self.input, self.rows, 0);
        // A panel meets all its rows before the next one: however large the layer is, it is read once a step.
        for panel in 0..self.cell.folded_width() / (VECTORS * V::WIDTH) {
            for tile in tiles::<V>(self.rows.len()) {
                // SAFETY: the caller promises the instructions.
                unsafe { for_height!(tile.len(), self.tile::<V>(tile.start, panel)) }
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
    unsafe fn tile<V: Lanes, const ROWS: usize>(&mut self, first: usize, panel: usize) {
        let (hidden, width) = (self.cell.hidden, self.cell.width());
        let mut rows = [Row { slot: 0, input: 0 }; ROWS];
        rows.copy_from_slice(&self.rows[first..][..ROWS]);
        let mut before = [&self.states.before[..0]; ROWS];
        for (before, row) in before.iter_mut().zip(&rows) {
            *before = &self.states.before[row.slot * width..][..hidden];
        }
        self.cell.inputs.prefetch(self.input, &rows, panel + 1);
        // SAFETY: the caller promises the instructions.
        let sums = unsafe {
            let sums = self.cell.inputs.sums::<V, ROWS>(self.input, &rows, panel);
            accumulate(sums, self.cell.recurrent.panel(panel), before)
        };
        let mut row = 0;
        while row + TOGETHER <= ROWS {
            // SAFETY: the caller promises the instructions.
            unsafe { self.update::<V, TOGETHER>(&rows[row..], &sums[row..], panel) }
            row += TOGETHER;
        }
        while row < ROWS {
            // SAFETY: as above.
            unsafe { self.update::<V, 1>(&rows[row..], &sums[row..], panel) }
            row += 1;
        }
    }

    /// The gates, cells and hidden states of the first `N` rows, in step: each is a long chain of operations.
    ///
    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    unsafe fn update<V: Lanes, const N: usize>(&mut self, rows: &[Row], sums: &[[V; VECTORS]], panel: usize) {
        let width = self.cell.width();
        // SAFETY: the caller promises the instructions; every slice is one vector long.
        unsafe {
            let mut cells = [V::splat(0.0); N];
            let mut gates = [[V::splat(0.0); N]; VECTORS];
            for row in 0..N {
                cells[row] = V::load(
                    self.states.cells[rows[row].slot * width + panel * V::WIDTH..][..V::WIDTH].as_ptr(),
                );
                for gate in 0..VECTORS {
                    gates[gate][row] = sums[row][gate];
                }
            }
            let (cells, hidden) = update(cells, gates);
            for row in 0..N {
                let units = rows[row].slot * width + panel * V::WIDTH;
                cells[row].store(self.states.cells[units..][..V::WIDTH].as_mut_ptr());
                hidden[row].store(self.states.after[units..][..V::WIDTH].as_mut_ptr());
            }
        }
    }

    /// The scalar twin.
    fn run_scalar(&mut self) {
        let cell = self.cell;
        let width = cell.width();
        for row in self.rows {
            let before = &self.states.before[row.slot * width..][..cell.hidden];
            for unit in 0..cell.folded_width() / VECTORS {
                let sums = [0, 1, 2, 3].map(|gate| {
                    let column = column_scalar(unit, gate);
                    let sum = cell.inputs.sum_scalar(self.input, *row, column);
                    cell.recurrent.accumulate_scalar(column, before, sum)
                });
                let place = row.slot * width + unit;
                let (c, h) = update(self.states.cells[place], sums);
                self.states.cells[place] = c;
                self.states.after[place] = h;
            }
        }
    }
}

#[cfg(test)]
mod tests;
