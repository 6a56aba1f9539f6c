//! The LSTM step whose products are computed in tiles, 16 rows at once: as [`super::lstm`] where the machine has AMX.
//!
//! Sketch, a row of hidden width H: 2 · 4H · H operations, as for the f32 step. The hidden states of all rows are first
//! written in the matrix's numbers, side by side, so that tiles can read them (16 rows of 256 units in 24 bits: 12 KiB).
//! Then a panel, 16 units by their four gates, meets all rows, up to 16 at a time, a gate after the other: products of tiles
//! (`packed_i24.rs`: 1,536 cycles of H = 256 for the four gates of 1 to 16 rows), while the vector units take on what was
//! multiplied before (`passes.rs`). One row is bound by the weights that come from the second-level cache (24 bits:
//! 768 KiB at 30 bytes a cycle).
//!
//! What a first layer reads stays f32: the folded table, or the embedding where it is not folded. An upper layer's inputs
//! are hidden states, and multiplied in tiles too. Cell states, gates, pooling and the head are f32.

use std::mem::MaybeUninit;

use super::aligned::{Aligned, LINE};
use super::amx::{ROWS_MAX, Tiles};
use super::cpu::Level;
use super::crew::{Load, Parts, Team};
use super::gemm::VECTORS;
use super::lstm::input::{Inputs, column_scalar, columns, gate_row};
use super::lstm::states::Shared;
use super::lstm::{Input, Row, States, Weights};
use super::tile_matrix::TileMatrix;
#[cfg(target_arch = "x86_64")]
use passes::Passes;

#[cfg(target_arch = "x86_64")]
mod kept;
#[cfg(target_arch = "x86_64")]
mod passes;

/// Rows of one tile: as many are computed in little more time than one.
pub const TILE_ROWS: usize = ROWS_MAX;
/// Sums of a panel in one row.
const PANEL: usize = VECTORS * LINE;
/// Rows whose operations are taken in step.
const GROUP: usize = 4;
/// Rows that take as much longer than none as one takes at all: a panel's weights are loaded for one row as for 16.
const ROWS_OF_A_LOAD: usize = 8;

/// One layer in one direction, packed. Shared between threads; nothing changes it.
#[derive(Clone, Debug)]
pub struct Cell<M> {
    level: Level,
    hidden: usize,
    recurrent: M,
    /// Of a first layer: weights and biases. Of an upper one: biases.
    inputs: Inputs,
    /// Of an upper layer: its input weights.
    below: Option<M>,
}

/// Where the rows of a step have their values, looked up anew in every step. The cells of one network share it.
#[derive(Debug, Default)]
pub struct Scratch {
    offsets: Vec<Offsets>,
    dues: Vec<usize>,
    /// Rows that room was made for.
    rows: usize,
}

/// Rows in the numbers of a cell's matrices: hidden states before the step, and an upper layer's inputs. Every thread of a step
/// writes its own, for they come sooner from the states than from another core.
#[derive(Default)]
struct Numbers {
    before: Aligned<u8>,
    below: Aligned<u8>,
}

thread_local! {
    static NUMBERS: std::cell::Cell<Numbers> = std::cell::Cell::default();
}

impl<M: TileMatrix> Cell<M> {
    /// Packs a first layer of `hidden` units: for tiles with [`Level::Amx`] where the machine has it, without vectors
    /// otherwise.
    ///
    /// # Panics
    /// When the weights are not 4 · `hidden` rows, or there are no hidden units.
    #[must_use]
    pub fn first(level: Level, hidden: usize, weights: Weights<'_>) -> Self {
        Self::packed(level, hidden, weights, None)
    }

    /// Packs a layer that reads the hidden states of another.
    ///
    /// # Panics
    /// As [`first`](Self::first).
    #[must_use]
    pub fn upper(level: Level, hidden: usize, weights: Weights<'_>) -> Self {
        assert_eq!(weights.input.len() % (VECTORS * hidden), 0, "input weights are 4H rows");
        let below = pack(hidden, weights.input);
        Self::packed(level, hidden, Weights { input: &[], ..weights }, Some(below))
    }

    fn packed(level: Level, hidden: usize, weights: Weights<'_>, below: Option<M>) -> Self {
        assert_eq!(weights.recurrent.len(), VECTORS * hidden * hidden, "recurrent weights are 4H × H");
        let level = if level.or_below() == Level::Amx { Level::Amx } else { Level::Scalar };
        let inputs = Inputs::new(level, hidden, weights.input, weights.bias);
        Self { level, hidden, recurrent: pack(hidden, weights.recurrent), inputs, below }
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
    /// When `x` is not whole rows, or this is not a first layer.
    #[must_use]
    pub fn fold(&self, x: &[f32]) -> Aligned {
        self.inputs.fold(x)
    }

    /// Makes room for steps of up to `rows` rows.
    pub fn reserve(&self, rows: usize, scratch: &mut Scratch) {
        scratch.rows = scratch.rows.max(rows);
        scratch.offsets.reserve(rows + GROUP);
        scratch.dues.reserve(self.blocks() + 1);
    }

    /// Blocks of inputs of a gate, of both matrices.
    fn blocks(&self) -> usize {
        self.recurrent.blocks() + self.below.as_ref().map_or(0, M::blocks)
    }

    /// Advances every one of `rows` by one token, with what help the team has: panels are shared out. Slots must differ; an
    /// upper layer reads [`Input::Raw`]. Whoever computes a panel, its bits are the same.
    ///
    /// # Panics
    /// When a row names a state or an input that is not there.
    pub fn step_with(
        &self,
        (team, scratch): (&mut Team, &mut Scratch),
        (rows, input): (&[Row], Input<'_>),
        states: States<'_>,
    ) {
        let (hidden, states) = Shared::new(states, self.width());
        let (inputs, first) = match (&self.below, input) {
            // The sums begin with the bias alone.
            (Some(_), Input::Raw { values, stride }) => {
                ((values, stride), Input::Raw { values: &[], stride: 0 })
            }
            (_, input) => {
                assert!(self.below.is_none(), "an upper layer reads hidden states");
                ((&[][..], 0), input)
            }
        };
        let height = height(rows.len());
        let Scratch { offsets, dues, rows: room } = scratch;
        offsets.clear();
        offsets
            .extend(rows.iter().enumerate().map(|(at, row)| self.offsets((at % height, row), first, states)));
        // Whole groups of rows are looked up.
        offsets.extend([Offsets::default(); GROUP]);
        let blocks = self.blocks();
        dues.clear();
        dues.extend((0..blocks).map(|done| height / GROUP * done / blocks * GROUP).chain([height]));
        let room = rows.len().max(*room);
        let step = Step { cell: self, rows, room, offsets, height, dues, first, states, hidden, inputs };
        let load = Load {
            parts: self.folded_width() / PANEL,
            products: self.products() * (ROWS_OF_A_LOAD + rows.len()) / ROWS_OF_A_LOAD,
        };
        team.share(load, &mut [], |panels, _| step.run(panels));
    }

    /// Multiply-adds of one row's step.
    #[must_use]
    pub fn products(&self) -> usize {
        let below = self.below.as_ref().map_or(0, M::inputs);
        self.folded_width() * (self.hidden + below)
    }

    /// Where a row's values are, held against the ends of what they are in.
    fn offsets(&self, (at, row): (usize, &Row), input: Input<'_>, states: Shared<'_>) -> Offsets {
        let width = self.folded_width();
        let input = match input {
            Input::Folded(table) => {
                assert!((row.input + 1) * width <= table.len(), "an input that is not in the table");
                row.input * width
            }
            // All rows' begin with the bias.
            Input::Raw { .. } if self.below.is_some() => 0,
            Input::Raw { .. } => at * PANEL,
        };
        Offsets { state: states.offset(row.slot), input }
    }
}

fn pack<M: TileMatrix>(hidden: usize, weights: &[f32]) -> M {
    let inputs = weights.len() / (VECTORS * hidden);
    let row = |row: usize| &weights[row * inputs..][..inputs];
    M::new([columns(Level::Amx, hidden), inputs], |column| gate_row(Level::Amx, hidden, column).map(row))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma")]
fn prepare<M: TileMatrix>(matrix: &M, row: &[f32], place: &mut [u8]) {
    // SAFETY: this function is only called where these instructions are.
    unsafe { matrix.prepare(row, place) }
}

/// Where a row has its state and, of a folded input, its sums: values from the first.
#[derive(Clone, Copy, Debug, Default)]
struct Offsets {
    state: usize,
    input: usize,
}

/// A step that threads share: each writes the states of its panels' units, in all rows.
struct Step<'a, M> {
    cell: &'a Cell<M>,
    rows: &'a [Row],
    /// Rows that later steps may have: each thread makes room once.
    room: usize,
    /// Of the rows; all of them are inside.
    offsets: &'a [Offsets],
    /// Rows of a tile.
    height: usize,
    /// How many of a tile's rows have been taken on when a gate begins, after its first block, and so on to all: whole groups,
    /// but for the last.
    dues: &'a [usize],
    first: Input<'a>,
    states: Shared<'a>,
    /// Hidden states before the step.
    hidden: &'a [f32],
    /// An upper layer's inputs, and values from the start of a row to the start of the next.
    inputs: (&'a [f32], usize),
}

impl<M: TileMatrix> Step<'_, M> {
    fn run(&self, panels: Parts<'_>) {
        let mut numbers = NUMBERS.take();
        // The last tile may be lower than the others, and is read as if it were not.
        let rows = self.room.next_multiple_of(TILE_ROWS);
        let Numbers { before, below } = &mut numbers;
        for (matrix, place) in [(Some(&self.cell.recurrent), before), (self.cell.below.as_ref(), below)] {
            let bytes = rows * matrix.map_or(0, M::row_bytes);
            if place.len() < bytes {
                *place = Aligned::zeros_u8(bytes);
            }
        }
        match self.cell.level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a cell has this level only where the machine does, and AVX-512 with it.
            Level::Amx => unsafe { self.run_tiles(panels, &mut numbers) },
            _ => self.run_scalar(panels, &mut numbers),
        }
        NUMBERS.set(numbers);
    }

    /// Writes all rows in the numbers of the matrices, side by side.
    fn prepare(&self, Numbers { before, below }: &mut Numbers) {
        let (cell, (inputs, stride)) = (self.cell, self.inputs);
        let hidden = self.rows.iter().map(|row| &self.hidden[row.slot * cell.width()..][..cell.hidden]);
        self.prepare_for(&cell.recurrent, hidden, before);
        if let Some(matrix) = &cell.below {
            let inputs = self.rows.iter().map(|row| &inputs[row.input * stride..][..matrix.inputs()]);
            self.prepare_for(matrix, inputs, below);
        }
    }

    fn prepare_for<'a>(&self, matrix: &M, rows: impl Iterator<Item = &'a [f32]>, prepared: &mut [u8]) {
        for (row, place) in rows.zip(prepared.chunks_exact_mut(matrix.row_bytes())) {
            match self.cell.level {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: a cell has this level only where the machine does, and AVX-512 with it.
                Level::Amx => unsafe { prepare(matrix, row, place) },
                _ => matrix.prepare_scalar(row, place),
            }
        }
    }

    /// Gate by gate, the products of one are computed together with what follows those of the gate before: multiplying tiles
    /// leaves the other units of the core free.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    fn run_tiles(&self, panels: Parts<'_>, numbers: &mut Numbers) {
        let tiles = self.rows.len().div_ceil(self.height);
        let mut kept = MaybeUninit::uninit();
        let mut passes = Passes::new(self, &mut kept);
        // SAFETY: the machine has tiles, as its level says.
        let _tiles = unsafe { Tiles::shaped(self.height) };
        for (index, panel) in panels.enumerate() {
            if index == 0 {
                self.cell.inputs.prefetch(self.first, self.rows, panel);
                self.prepare(numbers);
            }
            for tile in 0..tiles {
                // SAFETY: this is compiled for AVX-512, tiles are shaped, and a panel is one thread's.
                unsafe { passes.tile(panel, tile, numbers) }
            }
        }
        // SAFETY: as above.
        unsafe { passes.end() }
    }

    /// The scalar twin.
    fn run_scalar(&self, panels: Parts<'_>, numbers: &mut Numbers) {
        let cell = self.cell;
        self.prepare(numbers);
        for panel in panels {
            for (at, row) in self.rows.iter().enumerate() {
                let before = prepared(&numbers.before, &cell.recurrent, 1, at);
                for unit in panel * LINE..(panel + 1) * LINE {
                    let sums = [0, 1, 2, 3].map(|gate| {
                        let column = column_scalar(unit, gate);
                        let mut sum = cell.inputs.sum_scalar(self.first, *row, column);
                        if let Some(below) = &cell.below {
                            sum =
                                below.accumulate_scalar(column, prepared(&numbers.below, below, 1, at), sum);
                        }
                        cell.recurrent.accumulate_scalar(column, before, sum)
                    });
                    // SAFETY: a unit is of one panel, and a panel is one thread's.
                    unsafe { self.states.update_scalar(*row, unit, sums) }
                }
            }
        }
    }
}

/// Rows of the tiles of a step: even; the last one may have fewer, and then computes some that nobody asks for.
fn height(rows: usize) -> usize {
    rows.div_ceil(rows.div_ceil(TILE_ROWS).max(1)).max(1)
}

/// The prepared rows of a tile.
fn prepared<'a, M: TileMatrix>(rows: &'a [u8], matrix: &M, height: usize, tile: usize) -> &'a [u8] {
    let bytes = matrix.row_bytes() * height;
    &rows[tile * bytes..][..bytes]
}

#[cfg(test)]
mod tests;
