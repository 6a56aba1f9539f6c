//! The states that threads of one step write, each those of its own units.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use super::{Row, States};
use crate::kernels::gates::update;
use crate::kernels::gemm::VECTORS;
use crate::kernels::lanes::Lanes;
use crate::kernels::scatter::Scatter;

/// Rows whose gates are computed in step: each is a long chain of operations.
const TOGETHER: usize = 3;

/// Where hidden and cell states are written.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Shared<'a> {
    after: Scatter<'a>,
    cells: Scatter<'a>,
    /// Values of one state.
    width: usize,
}

impl<'a> Shared<'a> {
    /// The hidden states before the step, and what is written.
    pub(in crate::kernels) fn new(states: States<'a>, width: usize) -> (&'a [f32], Self) {
        let States { before, after, cells } = states;
        (before, Self { after: Scatter::new(after), cells: Scatter::new(cells), width })
    }

    /// Where the state of a slot begins, in both.
    ///
    /// # Panics
    /// When it is not there.
    pub(in crate::kernels) fn offset(&self, slot: usize) -> usize {
        let end = (slot + 1) * self.width;
        assert!(end <= self.after.len() && end <= self.cells.len(), "a state that is not there");
        slot * self.width
    }

    /// Cell states.
    pub(in crate::kernels) fn cells(&self) -> Scatter<'a> {
        self.cells
    }

    /// Hidden states after the step.
    pub(in crate::kernels) fn hidden(&self) -> Scatter<'a> {
        self.after
    }

    /// The gates, cells and hidden states of a panel's units in all of these rows.
    ///
    /// # Safety
    /// The machine has the instructions of `V`, and no other thread computes this panel.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn update_all<V: Lanes>(
        &self,
        rows: &[Row],
        sums: &[[V; VECTORS]],
        panel: usize,
    ) {
        let mut row = 0;
        while row + TOGETHER <= rows.len() {
            // SAFETY: as the caller promises.
            unsafe { self.update::<V, TOGETHER>(&rows[row..], &sums[row..], panel) }
            row += TOGETHER;
        }
        while row < rows.len() {
            // SAFETY: as above.
            unsafe { self.update::<V, 1>(&rows[row..], &sums[row..], panel) }
            row += 1;
        }
    }

    /// The same of the first `N` rows, in step.
    ///
    /// # Safety
    /// As [`update_all`](Self::update_all).
    #[inline(always)]
    unsafe fn update<V: Lanes, const N: usize>(&self, rows: &[Row], sums: &[[V; VECTORS]], panel: usize) {
        // SAFETY: the caller promises the instructions, and that the panel is this thread's; every place has room for one
        // vector.
        unsafe {
            let mut cells = [V::splat(0.0); N];
            let mut gates = [[V::splat(0.0); N]; VECTORS];
            for row in 0..N {
                let units = rows[row].slot * self.width + panel * V::WIDTH;
                cells[row] = V::load(self.cells.at(units, V::WIDTH));
                for gate in 0..VECTORS {
                    gates[gate][row] = sums[row][gate];
                }
            }
            let (cells, hidden) = update(cells, gates);
            for row in 0..N {
                let units = rows[row].slot * self.width + panel * V::WIDTH;
                cells[row].store(self.cells.at(units, V::WIDTH));
                hidden[row].store(self.after.at(units, V::WIDTH));
            }
        }
    }

    /// The scalar twin: one unit of one row.
    ///
    /// # Safety
    /// No other thread computes this unit.
    pub(in crate::kernels) unsafe fn update_scalar(&self, row: Row, unit: usize, sums: [f32; VECTORS]) {
        let place = row.slot * self.width + unit;
        // SAFETY: both places are one value, and this thread's, as the caller promises.
        unsafe {
            let (c, h) = update(*self.cells.at(place, 1), sums);
            *self.cells.at(place, 1) = c;
            *self.after.at(place, 1) = h;
        }
    }
}
