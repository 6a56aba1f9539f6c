//! Rows through one engine without a pause: a free slot takes the next row before the next step.

use super::EngineError;
use crate::batch::{Engine as _, RowError};
use crate::engine::PlannedEngine;
use crate::value::{Features, Logits};

/// An engine that is always full.
pub(super) struct Stream<'a> {
    engine: PlannedEngine,
    rows: &'a [Features],
    next: usize,
    /// Which row each slot holds.
    held: Vec<usize>,
    free: Vec<usize>,
    finished: Vec<(usize, Result<Logits, RowError>)>,
}

/// What was finished since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) rows: usize,
    /// Their tokens or pixel values.
    pub(super) units: usize,
}

impl<'a> Stream<'a> {
    /// Nothing is held yet; `first` is the row that is admitted first.
    pub(super) fn new(engine: PlannedEngine, rows: &'a [Features], first: usize) -> Self {
        let capacity = engine.capacity();
        Self {
            engine,
            rows,
            next: first,
            held: vec![0; capacity],
            free: (0..capacity).rev().collect(),
            finished: Vec::with_capacity(capacity),
        }
    }

    /// Advances until as many rows are finished as are held at once, or some more.
    pub(super) fn batch(&mut self) -> Result<Done, EngineError> {
        let mut done = Done::default();
        while done.rows < self.held.len() {
            while let Some(slot) = self.free.pop() {
                let row = self.next % self.rows.len();
                self.next = row + 1;
                self.held[slot] = row;
                self.engine.admit(slot, self.rows[row].clone()).map_err(|reason| failed(row, reason))?;
            }
            self.engine.step(&mut self.finished);
            for (slot, answer) in self.finished.drain(..) {
                let row = self.held[slot];
                std::hint::black_box(answer.map_err(|reason| failed(row, reason))?);
                self.free.push(slot);
                done.rows += 1;
                done.units += self.rows[row].work();
            }
        }
        Ok(done)
    }
}

pub(super) fn failed(row: usize, reason: RowError) -> EngineError {
    EngineError::Row { row: row + 1, reason }
}
