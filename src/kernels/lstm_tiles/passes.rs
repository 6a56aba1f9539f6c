//! One thread's share of a step: the products of a tile, gate by gate, and what follows those before, at once.
//!
//! Sketch: multiplying tiles leaves the vector units of a core half free, and the tail of 16 units of a row, from its sums to its
//! hidden state, is some 100 vector instructions. But they are a chain of 200 cycles, and a core sees too little of it ahead
//! to fill the time of the products. So it is cut into seven pieces; each is taken for all rows of a tile, four in step, before
//! the next. While a gate is multiplied, these are due, of the tile and of the one before it (′):
//!
//! | multiplied | i      | f           | g | o     |
//! |------------|--------|-------------|---|-------|
//! | due        | o′, c′ | i, tanh(c)′ | f | g, h′ |
//!
//! What the pieces leave for each other and the sums of two gates are 14 KiB: they stay in the first-level cache, through which
//! 12 KiB of weights go in the meantime (of 256 units, in 24 bits).
//!
//! A core loads tiles ahead of time only as far as it knows where everything before is stored. So a place that has to be looked
//! up is looked up before the products.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(
    clippy::needless_range_loop,
    reason = "closures and adapters over vectors would not be inlined with them"
)]

use std::arch::x86_64::{__m512, _mm512_setzero_ps};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

use super::kept::{Kept, load, load_fraction, store, store_fraction};
use super::{GROUP, Numbers, Offsets, PANEL, Step, prepared};
use crate::kernels::aligned::{LINE, prefetch_line};
use crate::kernels::gates::{self, Fraction};
use crate::kernels::lanes::Lanes;
use crate::kernels::lstm::Input;
use crate::kernels::tile_matrix::{Gate, TileMatrix};

/// A thread's share of a step.
///
/// # Safety
/// All unsafe methods: the machine has AVX-512, the thread's tiles are shaped for the step's height, and nobody else computes
/// the panels.
pub(super) struct Passes<'a, M: TileMatrix> {
    step: &'a Step<'a, M>,
    before: Tile,
    now: Tile,
    /// The last two gates of the recurrent matrix, and of an upper layer's inputs.
    gates: [[Gate; 2]; 2],
    kept: &'a mut MaybeUninit<Kept<M>>,
}

/// A panel in some of a step's rows: of each, where its first row has its values.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    offsets: *const Offsets,
    /// What the sums begin with, from the panel's first gate.
    begin: *const f32,
    cells: *mut f32,
    hidden: *mut f32,
    /// Which room its sums begin in, where they are computed.
    room: usize,
}

/// Calls a method that is generic over how many rows it takes with as many of `rows` as can be, until all are done.
macro_rules! for_rows {
    ($rows:expr, $row:ident, $four:expr, $one:expr) => {{
        let Range { start: mut $row, end } = $rows;
        while $row + GROUP <= end {
            $four;
            $row += GROUP;
        }
        while $row < end {
            $one;
            $row += 1;
        }
    }};
}

impl<'a, M: TileMatrix> Passes<'a, M> {
    #[inline(always)]
    pub(super) fn new(step: &'a Step<'a, M>, kept: &'a mut MaybeUninit<Kept<M>>) -> Self {
        let gate = Gate { weights: ptr::null(), scales: ptr::null() };
        Self { step, before: Tile::NONE, now: Tile::NONE, gates: [[gate; 2]; 2], kept }
    }

    /// A panel of a tile of rows, and what is due of the tile before.
    #[inline(always)]
    pub(super) unsafe fn tile(&mut self, panel: usize, index: usize, numbers: &Numbers) {
        let step = self.step;
        self.before = self.now;
        // SAFETY: as the caller promises.
        unsafe {
            self.now = self.begin(panel, index);
            let below = step.cell.below.as_ref();
            let rows = [
                prepared(&numbers.before, &step.cell.recurrent, step.height, index).as_ptr(),
                below.map_or(ptr::null(), |below| {
                    prepared(&numbers.below, below, step.height, index).as_ptr()
                }),
            ];
            self.pass::<0>(panel, rows);
            self.pass::<1>(panel, rows);
            self.pass::<2>(panel, rows);
            self.pass::<3>(panel, rows);
        }
    }

    /// What is left of the last tile.
    #[inline(always)]
    pub(super) unsafe fn end(&mut self) {
        self.before = self.now;
        let rows = self.before.rows;
        // SAFETY: as the caller promises; the sums of all gates are there.
        unsafe {
            self.due_gate::<3>(0..rows);
            self.due_states::<true>(0..rows, self.before.places::<true>(0));
            self.due_tanh(0..rows);
            self.due_states::<false>(0..rows, self.before.places::<false>(0));
        }
    }

    /// Where a tile has its values. Computes what its sums begin with, where it is not in a table.
    #[inline(always)]
    unsafe fn begin(&mut self, panel: usize, index: usize) -> Tile {
        let (step, first, room) = (self.step, index * self.step.height, 1 - self.before.room);
        let rows = &step.rows[first..step.rows.len().min(first + step.height)];
        let begin = match step.first {
            // The offsets lead into it.
            Input::Folded(table) => table.as_ptr().wrapping_add(panel * PANEL),
            Input::Raw { .. } if step.cell.below.is_some() => step.cell.inputs.bias(panel).as_ptr(),
            Input::Raw { .. } => {
                // SAFETY: as the caller promises; a tile has no more rows than there is room for.
                unsafe {
                    let begin = (&raw mut (*self.kept.as_mut_ptr()).begin[room]).cast::<[f32; PANEL]>();
                    for (at, row) in rows.iter().enumerate() {
                        let [sums] = step.cell.inputs.sums::<__m512, 1>(step.first, &[*row], panel);
                        sums.store(begin.add(at).cast());
                    }
                    begin.cast_const().cast()
                }
            }
        };
        Tile {
            rows: rows.len(),
            offsets: step.offsets[first..].as_ptr(),
            begin,
            cells: step.states.cells().first().wrapping_add(panel * LINE),
            hidden: step.states.hidden().first().wrapping_add(panel * LINE),
            room,
        }
    }

    /// The products of one gate.
    #[inline(always)]
    unsafe fn pass<const GATE: usize>(&mut self, panel: usize, rows: [*const u8; 2]) {
        let cell = &self.step.cell;
        let dues = self.step.dues.as_ptr();
        // SAFETY: as the caller promises; there are dues for as many blocks as both matrices have.
        unsafe {
            let dues = self.products::<GATE>((&cell.recurrent, panel), (rows[0], 0), dues);
            if let Some(below) = &cell.below {
                self.products::<GATE>((below, panel), (rows[1], 1), dues);
            }
        }
    }

    /// Multiplies one gate of a panel with a matrix's rows; after each of its blocks, the next pieces of as many rows as
    /// are due.
    #[inline(always)]
    unsafe fn products<const GATE: usize>(
        &mut self,
        (matrix, panel): (&M, usize),
        (mut rows, which): (*const u8, usize),
        mut dues: *const usize,
    ) -> *const usize {
        let (gate, row_bytes) = (matrix.gate(panel, GATE), matrix.row_bytes());
        let mut weights = gate.weights;
        // SAFETY: tiles are shaped for the rows, and there are as many; no block is beyond the last. The sums of the gates before
        // are there.
        unsafe {
            M::clear();
            for _ in 0..matrix.blocks() {
                let (start, end) = (*dues, *dues.add(1));
                let before = self.before.rows.min(start)..self.before.rows.min(end);
                let now = self.now.rows.min(start)..self.now.rows.min(end);
                let (cells, hidden) =
                    (self.before.places::<true>(before.start), self.before.places::<false>(before.start));
                M::multiply::<0>(weights, rows, row_bytes);
                match GATE {
                    0 => self.due_states::<true>(before.clone(), cells),
                    1 => self.due_tanh(before.clone()),
                    2 => {}
                    _ => self.due_states::<false>(before.clone(), hidden),
                }
                M::multiply::<1>(weights, rows, row_bytes);
                match GATE {
                    0 => self.due_gate::<3>(before),
                    1 => self.due_gate::<0>(now),
                    2 => self.due_gate::<1>(now),
                    _ => self.due_gate::<2>(now),
                }
                (weights, rows, dues) = (weights.add(M::GATE_BLOCK), rows.add(M::ROW_BLOCK), dues.add(1));
            }
            M::store(&raw mut (*self.kept.as_mut_ptr()).sums[which][GATE % 2]);
        }
        self.gates[which][GATE % 2] = gate;
        dues
    }

    #[inline(always)]
    unsafe fn due_gate<const GATE: usize>(&mut self, rows: Range<usize>) {
        // SAFETY: as the caller promises.
        unsafe { for_rows!(rows, row, self.gate::<GATE, GROUP>(row), self.gate::<GATE, 1>(row)) }
    }

    /// The cells of these rows, or their hidden states, given the places of the first ones.
    #[inline(always)]
    unsafe fn due_states<const CELLS: bool>(&mut self, rows: Range<usize>, mut places: [*mut f32; GROUP]) {
        // SAFETY: as the caller promises.
        unsafe {
            for_rows!(
                rows,
                row,
                {
                    self.states::<CELLS, GROUP>(row, places);
                    places = self.before.places::<CELLS>(row.wrapping_add(GROUP));
                },
                {
                    self.states::<CELLS, 1>(row, places);
                    places = self.before.places::<CELLS>(row.wrapping_add(1));
                }
            );
        }
    }

    #[inline(always)]
    unsafe fn states<const CELLS: bool, const N: usize>(&mut self, first: usize, places: [*mut f32; GROUP]) {
        // SAFETY: as the caller promises.
        unsafe { if CELLS { self.cell::<N>(first, places) } else { self.hidden::<N>(first, places) } }
    }

    #[inline(always)]
    unsafe fn due_tanh(&mut self, rows: Range<usize>) {
        // SAFETY: as the caller promises.
        unsafe { for_rows!(rows, row, self.tanh::<GROUP>(row), self.tanh::<1>(row)) }
    }

    /// One gate of `N` rows.
    #[inline(always)]
    unsafe fn gate<const GATE: usize, const N: usize>(&mut self, first: usize) {
        let kept = self.kept.as_mut_ptr();
        // SAFETY: as the caller promises; the rows are a tile's.
        unsafe {
            let sums = self.gate_sums::<GATE, N>(first);
            match GATE {
                0 => store(&raw mut (*kept).input, first, gates::sigmoid_divisor(sums)),
                1 => store(&raw mut (*kept).forget, first, gates::sigmoid_divisor(sums)),
                2 => store_fraction(&raw mut (*kept).g, first, gates::tanh(sums)),
                _ => store(&raw mut (*kept).output, first, gates::sigmoid_divisor(sums)),
            }
        }
    }

    #[inline(always)]
    unsafe fn gate_sums<const GATE: usize, const N: usize>(&self, first: usize) -> [__m512; N] {
        let (tile, kept) = (if GATE == 3 { &self.before } else { &self.now }, self.kept.as_ptr());
        let [recurrent, below] = &self.gates;
        // SAFETY: as the caller promises; offsets lead to values, and the gate has been multiplied.
        unsafe {
            let (begin, offsets) = (tile.begin.add(GATE * LINE), tile.offsets.add(first));
            let mut sums = [_mm512_setzero_ps(); N];
            for row in 0..N {
                let begin = begin.add((*offsets.add(row)).input);
                sums[row] = Lanes::load(begin);
                prefetch_line(begin.wrapping_add(PANEL));
            }
            if self.step.cell.below.is_some() {
                sums = M::add(below[GATE % 2], &raw const (*kept).sums[1][GATE % 2], first, sums);
            }
            M::add(recurrent[GATE % 2], &raw const (*kept).sums[0][GATE % 2], first, sums)
        }
    }

    /// The new cells of `N` rows.
    #[inline(always)]
    unsafe fn cell<const N: usize>(&mut self, first: usize, places: [*mut f32; GROUP]) {
        let kept = self.kept.as_mut_ptr();
        // SAFETY: as the caller promises; states are as wide as whole panels, and the pieces before have been taken.
        unsafe {
            let mut cells = [_mm512_setzero_ps(); N];
            for row in 0..N {
                cells[row] = Lanes::load(places[row]);
            }
            let divisors = [load(&raw const (*kept).input, first), load(&raw const (*kept).forget, first)];
            let cells = gates::cell(cells, divisors, load_fraction(&raw const (*kept).g, first));
            store(&raw mut (*kept).cell, first, cells);
            for row in 0..N {
                cells[row].store(places[row]);
            }
        }
    }

    #[inline(always)]
    unsafe fn tanh<const N: usize>(&mut self, first: usize) {
        let kept = self.kept.as_mut_ptr();
        // SAFETY: as for cells.
        unsafe {
            let cells: [__m512; N] = load(&raw const (*kept).cell, first);
            store_fraction(&raw mut (*kept).tanh, first, gates::cell_tanh(cells));
        }
    }

    /// The new hidden states of `N` rows.
    #[inline(always)]
    unsafe fn hidden<const N: usize>(&mut self, first: usize, places: [*mut f32; GROUP]) {
        let kept = self.kept.as_mut_ptr();
        // SAFETY: as for cells.
        unsafe {
            let tanh: Fraction<[__m512; N]> = load_fraction(&raw const (*kept).tanh, first);
            let hidden = gates::hidden(tanh, load(&raw const (*kept).output, first));
            for row in 0..N {
                hidden[row].store(places[row]);
            }
        }
    }
}

impl Tile {
    const NONE: Self = Self {
        rows: 0,
        offsets: ptr::null(),
        begin: ptr::null(),
        cells: ptr::null_mut(),
        hidden: ptr::null_mut(),
        room: 0,
    };

    /// Where four rows have their cells, or their hidden states.
    ///
    /// # Safety
    /// There are offsets for a whole group behind the last row.
    #[inline(always)]
    unsafe fn places<const CELLS: bool>(&self, row: usize) -> [*mut f32; GROUP] {
        let mut places = [if CELLS { self.cells } else { self.hidden }; GROUP];
        if self.rows > 0 {
            for at in 0..GROUP {
                // SAFETY: as the caller promises; they lead to states.
                places[at] = unsafe { places[at].add((*self.offsets.add(row).add(at)).state) };
            }
        }
        places
    }
}
