//! The LSTM step with 16-bit weights and hidden states: as [`super::lstm`], its products in integers.
//!
//! Sketch, a row of hidden width H: 2 · 4H · H integer operations (H = 256: 0.52 million). The recurrent weights are
//! packed in panels of 16 hidden units by their four gates (AVX2: 8), pairs of inputs side by side: 4 · 16 · H · 2 bytes
//! each (32 KiB, which the first-level cache holds for all tiles of a step), all of them 512 KiB. A tile is up to 6
//! rows by one panel (AVX2: 3): 24 sums of i32, 6 broadcast pairs of hidden states, 1 vector of weights. A pair of
//! inputs is 24 multiply-adds of 32 products (`vpdpwssd`), 12 cycles at two a cycle, for 4 loads of weights: half the
//! instructions and half the bytes of f32. The tail is that of f32, and 2 more conversions for 16 units.
//!
//! What a first layer reads stays f32: the folded table, or the embedding where it is not folded. An upper layer reads
//! the 16-bit hidden states of the layer below. Cell states, gates, pooling and the head are f32.
//!
//! The format, why it cannot overflow and how exact it is: `packed_i16.rs`.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use super::aligned::{Aligned, LINE};
use super::cpu::Level;
use super::gates::update;
use super::gemm::{VECTORS, for_height, tiles};
use super::lanes::Lanes;
use super::lstm::input::{Inputs, column_scalar, columns, gate_row};
use super::lstm::{self, Row, Weights};
use super::packed_i16::{PackedI16, fixed_point, quantise};
use super::pairs::{self, Form, PairKernel, Pairs};

/// Rows whose gates are computed in step.
const TOGETHER: usize = 3;

/// One layer in one direction, packed. Shared between threads; nothing changes it.
#[derive(Clone, Debug)]
pub struct Cell {
    form: Form,
    hidden: usize,
    recurrent: PackedI16,
    /// Of a first layer: weights and biases. Of an upper one: biases.
    inputs: Inputs,
    /// Of an upper layer: its input weights.
    below: Option<PackedI16>,
}

/// Inputs, row by row.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// What a first layer reads.
    First(lstm::Input<'a>),
    /// What an upper layer reads: hidden states in fixed point, `stride` from one row to the next.
    Hidden {
        /// The values.
        values: &'a [i16],
        /// Values from the start of a row to the start of the next; even, and 0 where the inputs are fewer.
        stride: usize,
    },
}

/// States, [`Cell::width`] values a slot each.
#[derive(Debug)]
pub struct States<'a> {
    /// Hidden states before the step, in fixed point.
    pub before: &'a [i16],
    /// Hidden states after it, in fixed point.
    pub after: &'a mut [i16],
    /// The same as f32.
    pub hidden: &'a mut [f32],
    /// Cell states, updated in place.
    pub cells: &'a mut [f32],
}

impl Cell {
    /// Packs a first layer of `hidden` units for `level`, or the level below where the machine lacks it.
    ///
    /// # Panics
    /// When the weights are not 4 · `hidden` rows, or there are no hidden units.
    #[must_use]
    pub fn first(level: Level, hidden: usize, weights: Weights<'_>) -> Self {
        Self::packed(Form::of(level), hidden, weights, None)
    }

    /// Packs a layer that reads the hidden states of another.
    ///
    /// # Panics
    /// As [`first`](Self::first).
    #[must_use]
    pub fn upper(level: Level, hidden: usize, weights: Weights<'_>) -> Self {
        Self::above(Form::of(level), hidden, weights)
    }

    fn above(form: Form, hidden: usize, weights: Weights<'_>) -> Self {
        assert_eq!(weights.input.len() % (VECTORS * hidden), 0, "input weights are 4H rows");
        let below = pack(form, hidden, weights.input);
        Self::packed(form, hidden, Weights { input: &[], ..weights }, Some(below))
    }

    fn packed(form: Form, hidden: usize, weights: Weights<'_>, below: Option<PackedI16>) -> Self {
        assert_eq!(weights.recurrent.len(), VECTORS * hidden * hidden, "recurrent weights are 4H × H");
        let inputs = Inputs::new(form.level(), hidden, weights.input, weights.bias);
        Self { form, hidden, recurrent: pack(form, hidden, weights.recurrent), inputs, below }
    }

    /// Hidden units.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Values of one state: the hidden units, rounded up to whole cache lines of f32; the ones above are always 0.
    #[must_use]
    pub fn width(&self) -> usize {
        self.hidden.next_multiple_of(LINE)
    }

    /// Values of one folded input.
    #[must_use]
    pub fn folded_width(&self) -> usize {
        self.inputs.columns()
    }

    /// The inputs that [`lstm::Input::Folded`] reads, for rows of raw inputs: `x · W_ihᵀ + b`.
    ///
    /// # Panics
    /// When `x` is not whole rows, or this is not a first layer.
    #[must_use]
    pub fn fold(&self, x: &[f32]) -> Aligned {
        self.inputs.fold(x)
    }

    /// Advances every one of `rows` by one token. Slots must differ.
    ///
    /// # Panics
    /// When a row names a state or an input that is not there, or the input is of the other kind of layer.
    pub fn step(&self, rows: &[Row], input: Input<'_>, states: States<'_>) {
        let (first, hidden) = match input {
            Input::First(input) => (input, None),
            // The sums of an upper layer begin with the bias alone.
            Input::Hidden { values, stride } => {
                (lstm::Input::Raw { values: &[], stride: 0 }, Some((values, stride)))
            }
        };
        assert_eq!(
            hidden.is_some(),
            self.below.is_some(),
            "upper layers read hidden states, first layers do not"
        );
        let below = self.below.as_ref().zip(hidden);
        // SAFETY: every cell's form comes from `Form::of`.
        unsafe { pairs::run(self.form, Step { cell: self, rows, first, below, states }) }
    }
}

fn pack(form: Form, hidden: usize, weights: &[f32]) -> PackedI16 {
    let inputs = weights.len() / (VECTORS * hidden);
    let row = |row: usize| &weights[row * inputs..][..inputs];
    PackedI16::new(form, [columns(form.level(), hidden), inputs], |column| {
        gate_row(form.level(), hidden, column).map(row)
    })
}

struct Step<'a> {
    cell: &'a Cell,
    rows: &'a [Row],
    first: lstm::Input<'a>,
    /// Weights, values and stride of an upper layer's inputs.
    below: Option<(&'a PackedI16, (&'a [i16], usize))>,
    states: States<'a>,
}

impl PairKernel for Step<'_> {
    #[inline(always)]
    unsafe fn run<P: Pairs>(mut self) {
        self.cell.inputs.prefetch(self.first, self.rows, 0);
        // A panel meets all its rows before the next one: it is read into the first-level cache once a step.
        for panel in 0..self.cell.folded_width() / (VECTORS * P::Floats::WIDTH) {
            for tile in tiles::<P::Floats>(self.rows.len()) {
                // SAFETY: the caller promises the instructions.
                unsafe { for_height!(tile.len(), self.tile::<P>(tile.start, panel)) }
            }
        }
    }

    /// The scalar twin.
    fn run_scalar(self) {
        let Self { cell, rows, first, below, states } = self;
        let width = cell.width();
        for row in rows {
            let before = &states.before[row.slot * width..][..cell.hidden];
            for unit in 0..cell.folded_width() / VECTORS {
                let sums = [0, 1, 2, 3].map(|gate| {
                    let column = column_scalar(unit, gate);
                    let mut sum = cell.inputs.sum_scalar(first, *row, column);
                    if let Some((weights, (values, stride))) = below {
                        sum = weights.accumulate_scalar(column, &values[row.input * stride..], sum);
                    }
                    cell.recurrent.accumulate_scalar(column, before, sum)
                });
                let place = row.slot * width + unit;
                let (c, h) = update(states.cells[place], sums);
                states.cells[place] = c;
                states.hidden[place] = h;
                states.after[place] = quantise(h);
            }
        }
    }
}

impl Step<'_> {
    /// One panel of `ROWS` rows from `first`.
    ///
    /// # Safety
    /// The machine has the instructions of `P`.
    #[inline(always)]
    unsafe fn tile<P: Pairs, const ROWS: usize>(&mut self, first: usize, panel: usize) {
        let (cell, width) = (self.cell, self.cell.width());
        let mut rows = [Row { slot: 0, input: 0 }; ROWS];
        rows.copy_from_slice(&self.rows[first..][..ROWS]);
        cell.inputs.prefetch(self.first, &rows, panel + 1);
        let mut before = [&self.states.before[..0]; ROWS];
        for (before, row) in before.iter_mut().zip(&rows) {
            *before = &self.states.before[row.slot * width..][..width];
        }
        // SAFETY: the caller promises the instructions, and every matrix of a cell is packed for its form.
        let sums = unsafe {
            let mut sums = cell.inputs.sums::<P::Floats, ROWS>(self.first, &rows, panel);
            if let Some((weights, (values, stride))) = self.below {
                let mut x = [&values[..0]; ROWS];
                for (x, row) in x.iter_mut().zip(&rows) {
                    *x = &values[row.input * stride..][..stride];
                }
                sums = weights.accumulate::<P, ROWS>(sums, panel, x);
            }
            cell.recurrent.accumulate::<P, ROWS>(sums, panel, before)
        };
        let mut row = 0;
        while row + TOGETHER <= ROWS {
            // SAFETY: the caller promises the instructions.
            unsafe { self.update::<P, TOGETHER>(&rows[row..], &sums[row..], panel) }
            row += TOGETHER;
        }
        while row < ROWS {
            // SAFETY: as above.
            unsafe { self.update::<P, 1>(&rows[row..], &sums[row..], panel) }
            row += 1;
        }
    }

    /// The gates, cells and hidden states of the first `N` rows, in step: each is a long chain of operations.
    ///
    /// # Safety
    /// The machine has the instructions of `P`.
    #[inline(always)]
    unsafe fn update<P: Pairs, const N: usize>(
        &mut self,
        rows: &[Row],
        sums: &[[P::Floats; VECTORS]],
        panel: usize,
    ) {
        let (width, lanes) = (self.cell.width(), P::Floats::WIDTH);
        // SAFETY: the caller promises the instructions; every slice is one vector long.
        unsafe {
            let mut cells = [P::Floats::splat(0.0); N];
            let mut gates = [[P::Floats::splat(0.0); N]; VECTORS];
            for row in 0..N {
                let units = rows[row].slot * width + panel * lanes;
                cells[row] = P::Floats::load(self.states.cells[units..][..lanes].as_ptr());
                for gate in 0..VECTORS {
                    gates[gate][row] = sums[row][gate];
                }
            }
            let (cells, hidden) = update(cells, gates);
            let fixed = fixed_point(hidden);
            for row in 0..N {
                let units = rows[row].slot * width + panel * lanes;
                cells[row].store(self.states.cells[units..][..lanes].as_mut_ptr());
                hidden[row].store(self.states.hidden[units..][..lanes].as_mut_ptr());
                P::store_low_halves(fixed[row], self.states.after[units..][..lanes].as_mut_ptr());
            }
        }
    }
}

/// Hidden states in fixed point: round(2¹³ · h), ties to even; as the step writes them.
///
/// # Panics
/// When the slices differ in length.
pub fn quantise_all(hidden: &[f32], to: &mut [i16]) {
    assert_eq!(hidden.len(), to.len(), "as many values");
    for (h, to) in hidden.iter().zip(to) {
        *to = quantise(*h);
    }
}

#[cfg(test)]
mod tests;
