//! One layer in one direction in the precision of its plan, and the states of its rows.

use super::plan::LstmPlanError;
use crate::engine::Precision;
use crate::kernels::aligned::Aligned;
use crate::kernels::cpu::Level;
use crate::kernels::crew::Team;
use crate::kernels::lstm::{self, Input, Row, Weights};
use crate::kernels::lstm_i16;
use crate::kernels::lstm_tiles::{self, Scratch};
use crate::kernels::packed_bf16::{self, PackedBf16};
use crate::kernels::packed_i24::{self, PackedI24};
use crate::kernels::tile_matrix::TileMatrix;
use crate::limits::WIDTH_MAX;

// A layer above one of two directions reads the states of both.
const _: () = assert!(2 * WIDTH_MAX <= packed_i24::INPUTS_MAX);

/// Weights of one layer in one direction.
#[derive(Debug)]
pub(super) enum Cell {
    /// In f32.
    F32(lstm::Cell),
    /// The same where the machine multiplies tiles: in 24-bit fixed point, which is as exact.
    Int24(lstm_tiles::Cell<PackedI24>),
    /// In bfloat16, in tiles.
    Bf16(lstm_tiles::Cell<PackedBf16>),
    /// In 16-bit fixed point.
    Int16(lstm_i16::Cell),
}

/// What a layer reads, row by row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// The first: token ids.
    Tokens(Input<'a>),
    /// An upper one: hidden states, `stride` from one row to the next.
    Hidden { states: &'a Hidden, stride: usize },
}

/// Hidden states, and the same in fixed point where the precision asks for it.
#[derive(Debug)]
pub(super) struct Hidden {
    pub(super) values: Aligned,
    /// As long as `values`, or empty.
    fixed: Aligned<i16>,
}

/// The states of every slot in one layer or direction.
#[derive(Debug)]
pub(super) struct Memory {
    before: Hidden,
    pub(super) after: Hidden,
    cells: Aligned,
}

/// Sums of a gate's magnitudes that stay far from infinity: fixed point has no NaN to show that one was reached.
const GATE_MAX: f64 = 1e30;

impl Cell {
    /// Packs a layer; the first one when it reads values of up to `largest`, an upper one when they are hidden states.
    pub(super) fn new(
        (level, precision): (Level, Precision),
        hidden: usize,
        weights: Weights<'_>,
        largest: Option<f32>,
    ) -> Result<Self, LstmPlanError> {
        let gate = || heaviest_gate(hidden, weights, largest.unwrap_or(1.0));
        // Where fixed point could hide an infinity, floats show it.
        let tiles = level.or_below() == Level::Amx && gate() <= GATE_MAX;
        let first = largest.is_some();
        match precision {
            Precision::F32 | Precision::Int16 if tiles => {
                Ok(Self::Int24(tiled(level, hidden, weights, first)))
            }
            Precision::Bf16 if tiles => Ok(Self::Bf16(tiled(level, hidden, weights, first))),
            Precision::F32 => Ok(Self::F32(lstm::Cell::new(level, hidden, weights))),
            Precision::Bf16 => {
                let nearest = |weights: &[f32]| -> Vec<f32> {
                    weights.iter().map(|weight| packed_bf16::nearest(*weight)).collect()
                };
                let (recurrent, below) =
                    (nearest(weights.recurrent), (!first).then(|| nearest(weights.input)));
                let input = below.as_deref().unwrap_or(weights.input);
                let weights = Weights { input, recurrent: &recurrent, bias: weights.bias };
                Ok(Self::F32(lstm::Cell::new(level, hidden, weights)))
            }
            Precision::Int16 => {
                let gate = gate();
                if gate > GATE_MAX {
                    return Err(LstmPlanError::TooLarge { gate });
                }
                let pack = if first { lstm_i16::Cell::first } else { lstm_i16::Cell::upper };
                Ok(Self::Int16(pack(level, hidden, weights)))
            }
        }
    }

    /// Whether its products are computed in tiles.
    pub(super) fn is_tiled(&self) -> bool {
        matches!(self, Self::Int24(_) | Self::Bf16(_))
    }

    /// Values of one state.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::F32(cell) => cell.width(),
            Self::Int24(cell) => cell.width(),
            Self::Bf16(cell) => cell.width(),
            Self::Int16(cell) => cell.width(),
        }
    }

    /// Values of one folded input.
    pub(super) fn folded_width(&self) -> usize {
        match self {
            Self::F32(cell) => cell.folded_width(),
            Self::Int24(cell) => cell.folded_width(),
            Self::Bf16(cell) => cell.folded_width(),
            Self::Int16(cell) => cell.folded_width(),
        }
    }

    /// What [`Input::Folded`] reads, for rows of raw inputs.
    pub(super) fn fold(&self, x: &[f32]) -> Aligned {
        match self {
            Self::F32(cell) => cell.fold(x),
            Self::Int24(cell) => cell.fold(x),
            Self::Bf16(cell) => cell.fold(x),
            Self::Int16(cell) => cell.fold(x),
        }
    }

    /// Hidden states for this cell to read or write, all 0.
    pub(super) fn hidden(&self, len: usize) -> Hidden {
        let fixed = if matches!(self, Self::Int16(_)) { len } else { 0 };
        Hidden { values: Aligned::zeros(len), fixed: Aligned::zeros_i16(fixed) }
    }

    /// Rows that are computed at once: fewer leave a tile part empty.
    pub(super) fn rows_together(&self) -> usize {
        match self {
            Self::F32(_) | Self::Int16(_) => lstm::TILE_ROWS,
            Self::Int24(_) | Self::Bf16(_) => lstm_tiles::TILE_ROWS,
        }
    }

    /// Makes room for steps of so many rows.
    pub(super) fn reserve(&self, rows: usize, scratch: &mut Scratch) {
        match self {
            Self::F32(_) | Self::Int16(_) => {}
            Self::Int24(cell) => cell.reserve(rows, scratch),
            Self::Bf16(cell) => cell.reserve(rows, scratch),
        }
    }

    /// The states of so many slots.
    pub(super) fn memory(&self, slots: usize) -> Memory {
        let len = slots * self.width();
        Memory { before: self.hidden(len), after: self.hidden(len), cells: Aligned::zeros(len) }
    }

    /// Multiply-adds of one row's step that are worth sharing out; 0 in 16 bits, whose step is one thread's.
    pub(super) fn products(&self) -> usize {
        match self {
            Self::F32(cell) => cell.products(false),
            Self::Int24(cell) => cell.products(),
            Self::Bf16(cell) => cell.products(),
            Self::Int16(_) => 0,
        }
    }

    /// Advances the rows by one token, with what help the team has.
    pub(super) fn step(
        &self,
        (team, scratch): (&mut Team, &mut Scratch),
        (rows, source): (&[Row], Source<'_>),
        memory: &mut Memory,
    ) {
        let Memory { before, after, cells } = memory;
        match self {
            Self::F32(cell) => {
                let states = lstm::States { before: &before.values, after: &mut after.values, cells };
                cell.step_with(team, (rows, source.values()), states);
            }
            Self::Int24(cell) => {
                let states = lstm::States { before: &before.values, after: &mut after.values, cells };
                cell.step_with((team, scratch), (rows, source.values()), states);
            }
            Self::Bf16(cell) => {
                let states = lstm::States { before: &before.values, after: &mut after.values, cells };
                cell.step_with((team, scratch), (rows, source.values()), states);
            }
            Self::Int16(cell) => {
                let input = match source {
                    Source::Tokens(input) => lstm_i16::Input::First(input),
                    Source::Hidden { states, stride } => {
                        lstm_i16::Input::Hidden { values: &states.fixed, stride }
                    }
                };
                let states = lstm_i16::States {
                    before: &before.fixed,
                    after: &mut after.fixed,
                    hidden: &mut after.values,
                    cells,
                };
                cell.step(rows, input, states);
            }
        }
    }
}

impl<'a> Source<'a> {
    /// The same in f32.
    fn values(self) -> Input<'a> {
        match self {
            Self::Tokens(input) => input,
            Self::Hidden { states, stride } => Input::Raw { values: &states.values, stride },
        }
    }
}

impl Hidden {
    /// Writes states from `at` on.
    pub(super) fn write(&mut self, at: usize, states: &[f32]) {
        self.values[at..][..states.len()].copy_from_slice(states);
        if !self.fixed.is_empty() {
            lstm_i16::quantise_all(states, &mut self.fixed[at..][..states.len()]);
        }
    }

    fn clear(&mut self, at: usize, len: usize) {
        self.values[at..][..len].fill(0.0);
        if !self.fixed.is_empty() {
            self.fixed[at..][..len].fill(0);
        }
    }
}

impl Memory {
    /// Forgets the states of a slot.
    pub(super) fn clear(&mut self, slot: usize, width: usize) {
        self.before.clear(slot * width, width);
        self.cells[slot * width..][..width].fill(0.0);
    }

    /// Moves on by a token.
    pub(super) fn turn(&mut self) {
        std::mem::swap(&mut self.before, &mut self.after);
    }
}

fn tiled<M: TileMatrix>(
    level: Level,
    hidden: usize,
    weights: Weights<'_>,
    first: bool,
) -> lstm_tiles::Cell<M> {
    let pack = if first { lstm_tiles::Cell::first } else { lstm_tiles::Cell::upper };
    pack(level, hidden, weights)
}

/// The largest sum of magnitudes that a gate can add up, for inputs of up to `largest`.
fn heaviest_gate(hidden: usize, weights: Weights<'_>, largest: f32) -> f64 {
    let sum = |row: &[f32]| row.iter().map(|weight| f64::from(weight.abs())).sum::<f64>();
    let inputs = weights.input.len() / weights.bias.len().max(1);
    let rows = weights.input.chunks(inputs.max(1)).zip(weights.recurrent.chunks(hidden.max(1)));
    let gates = rows.zip(weights.bias).map(|((input, recurrent), bias)| {
        sum(input) * f64::from(largest) + sum(recurrent) + f64::from(bias.abs())
    });
    gates.fold(0.0, f64::max)
}
