//! What the engines of a layer were given to compute at once, counted since the layer started.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the engines of a layer have computed. An execution is one admission of rows to an engine, however many steps
/// their computing takes and whoever joins them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executions {
    /// Rows that were answered.
    pub rows: u64,
    /// Executions by the number of rows that were admitted together.
    pub by_rows: BTreeMap<usize, Execution>,
}

/// The executions of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// How many there were.
    pub count: u64,
    /// From admission until the last of the rows left the engine, all of them together.
    pub took: Duration,
}

impl Executions {
    /// Counts an execution of so many rows, all of which were answered.
    pub fn count_one(&mut self, rows: usize, took: Duration) {
        self.rows += rows as u64;
        self.add(rows, took);
    }

    fn add(&mut self, rows: usize, took: Duration) {
        let execution = self.by_rows.entry(rows).or_default();
        execution.count += 1;
        execution.took = execution.took.saturating_add(took);
    }

    /// Executions of every size.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.by_rows.values().map(|execution| execution.count).sum()
    }
}

/// The counts of a layer, shared by its workers.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Executions>);

impl Tally {
    /// Nothing panics while it holds the lock, so a poisoned state is a sound one.
    fn lock(&self) -> MutexGuard<'_, Executions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row was answered.
    pub(super) fn answered(&self) {
        self.lock().rows += 1;
    }

    /// Counts from here on.
    pub(super) fn clear(&self) {
        *self.lock() = Executions::default();
    }

    /// What was counted until now.
    pub(super) fn executions(&self) -> Executions {
        self.lock().clone()
    }
}

/// The rows that an engine was given at once: each holds it until it leaves the engine, and the last one counts it.
#[derive(Debug)]
pub(super) struct Admission {
    rows: usize,
    since: Instant,
    tally: Arc<Tally>,
}

impl Admission {
    /// So many rows are admitted now.
    pub(super) fn of(rows: usize, tally: &Arc<Tally>) -> Arc<Self> {
        Arc::new(Self { rows, since: Instant::now(), tally: Arc::clone(tally) })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        self.tally.lock().add(self.rows, took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admission_is_counted_once_when_its_last_row_leaves() {
        let tally = Arc::new(Tally::default());
        let admission = Admission::of(2, &tally);
        let other = Arc::clone(&admission);
        drop(admission);
        assert_eq!(tally.executions().count(), 0);
        drop(other);
        drop(Admission::of(1, &tally));
        tally.answered();
        let executions = tally.executions();
        assert_eq!((executions.count(), executions.rows), (2, 1));
        let sizes: Vec<_> =
            executions.by_rows.iter().map(|(rows, execution)| (*rows, execution.count)).collect();
        assert_eq!(sizes, [(1, 1), (2, 1)]);
    }
}
