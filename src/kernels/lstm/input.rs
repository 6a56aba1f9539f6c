//! What the LSTM step adds its recurrent product to: the bias and the product of the inputs, folded or still to be
//! computed.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use super::{Input, Row};
use crate::kernels::aligned::{Aligned, LINE, prefetch_line};
use crate::kernels::cpu::Level;
use crate::kernels::gemm::{Packed, VECTORS, accumulate, load_four};
use crate::kernels::lanes::Lanes;

/// The input weights and biases of one layer in one direction, packed in panels as the recurrent weights are.
#[derive(Clone, Debug)]
pub(in crate::kernels) struct Inputs {
    weights: Packed,
    bias: Aligned,
}

impl Inputs {
    /// Packs 4H × I weights and 4H biases. Without weights a sum begins with the bias alone.
    pub(in crate::kernels) fn new(level: Level, hidden: usize, weights: &[f32], bias: &[f32]) -> Self {
        let inputs = weights.len() / (VECTORS * hidden);
        assert_eq!(weights.len(), VECTORS * hidden * inputs, "input weights are 4H rows");
        assert_eq!(bias.len(), VECTORS * hidden, "biases are 4H");
        let columns = columns(level, hidden);
        let weights = Packed::new(level, [columns, inputs], |column| {
            gate_row(level, hidden, column).map(|row| &weights[row * inputs..][..inputs])
        });
        let mut packed = Aligned::zeros(columns);
        for (column, packed) in packed.iter_mut().enumerate() {
            *packed = gate_row(level, hidden, column).map_or(0.0, |row| bias[row]);
        }
        Self { weights, bias: packed }
    }

    /// Sums of one row: the gates of all hidden units, rounded up to whole panels.
    pub(in crate::kernels) fn columns(&self) -> usize {
        self.bias.len()
    }

    /// The biases of one panel, as [`sums`](Self::sums) has them.
    pub(in crate::kernels) fn bias(&self, panel: usize) -> &[f32] {
        let share = VECTORS * self.weights.level().lanes();
        &self.bias[panel * share..][..share]
    }

    /// Values of one raw input.
    pub(in crate::kernels) fn inputs(&self) -> usize {
        self.weights.inputs()
    }

    /// `x · W_ihᵀ + b` for rows of raw inputs.
    pub(in crate::kernels) fn fold(&self, x: &[f32]) -> Aligned {
        let mut folded = Aligned::zeros(x.len() / self.weights.inputs() * self.columns());
        self.weights.product(x, &self.bias, &mut folded);
        folded
    }

    /// The sums of a tile's rows in one panel.
    ///
    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn sums<V: Lanes, const ROWS: usize>(
        &self,
        input: Input<'_>,
        rows: &[Row; ROWS],
        panel: usize,
    ) -> [[V; VECTORS]; ROWS] {
        let column = panel * VECTORS * V::WIDTH;
        // SAFETY: the caller promises the instructions.
        unsafe {
            let mut sums = [load_four::<V>(&self.bias[column..]); ROWS];
            match input {
                Input::Folded(table) => {
                    for row in 0..ROWS {
                        sums[row] = load_four(&table[rows[row].input * self.columns() + column..]);
                    }
                    sums
                }
                Input::Raw { values, stride } => {
                    let mut x = [&values[..0]; ROWS];
                    for row in 0..ROWS {
                        x[row] = &values[rows[row].input * stride..][..self.weights.inputs()];
                    }
                    accumulate(sums, self.weights.panel(panel), x)
                }
            }
        }
    }

    /// Asks for a panel's share of the folded inputs ahead of its tiles: a token's row of the table is seldom in
    /// any cache.
    #[inline(always)]
    pub(in crate::kernels) fn prefetch(&self, input: Input<'_>, rows: &[Row], panel: usize) {
        let (Input::Folded(table), width) = (input, self.columns()) else { return };
        let share = VECTORS * self.weights.level().lanes();
        for row in rows {
            for line in 0..share / LINE {
                prefetch_line(table.as_ptr().wrapping_add(row.input * width + panel * share + line * LINE));
            }
        }
    }

    /// The scalar twin: the sum of one row in one column.
    pub(in crate::kernels) fn sum_scalar(&self, input: Input<'_>, row: Row, column: usize) -> f32 {
        match input {
            Input::Folded(table) => table[row.input * self.columns() + column],
            Input::Raw { .. } if self.weights.inputs() == 0 => self.bias[column],
            Input::Raw { values, stride } => {
                let x = &values[row.input * stride..][..self.weights.inputs()];
                self.weights.accumulate_scalar(column, x, self.bias[column])
            }
        }
    }
}

/// Columns of a layer: four gates of its units, rounded up to whole panels.
pub(in crate::kernels) fn columns(level: Level, hidden: usize) -> usize {
    hidden.div_ceil(level.lanes()) * VECTORS * level.lanes()
}

/// Which row of PyTorch's layout is in this column: a panel holds the four gates of as many units as a vector has
/// lanes, gate by gate.
pub(in crate::kernels) fn gate_row(level: Level, hidden: usize, column: usize) -> Option<usize> {
    let lanes = level.lanes();
    let (panel, gate, lane) = (column / (VECTORS * lanes), column / lanes % VECTORS, column % lanes);
    let unit = panel * lanes + lane;
    (unit < hidden).then_some(gate * hidden + unit)
}

/// The column of a gate of one unit in the scalar twins' panels.
pub(in crate::kernels) fn column_scalar(unit: usize, gate: usize) -> usize {
    let lanes = Level::Scalar.lanes();
    (unit / lanes * VECTORS + gate) * lanes + unit % lanes
}
