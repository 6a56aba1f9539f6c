//! What the batching layer asks of an inference engine: rows are admitted between steps, steps finish rows.

/// Something that holds rows and advances all of them in steps.
///
/// A convolutional net finishes every row in one step; an LSTM advances every row by a token. A worker owns its
/// engine: one thread calls it. A panic in [`admit`](Self::admit) or [`step`](Self::step) is caught by the worker,
/// which then calls [`reset`](Self::reset) and tries the rows one by one.
pub trait Engine: Send + 'static {
    /// What is admitted. Cloned cheaply (it is kept until its answer is out, to be tried alone after a panic).
    type Row: Clone + Send + 'static;
    /// What comes out.
    type Answer: Send + 'static;

    /// Rows held at once at most: 1 to [`crate::limits::ENGINE_ROWS_MAX`], and constant.
    fn capacity(&self) -> usize;

    /// `row` joins in the free `slot`, `0..capacity()`.
    ///
    /// # Errors
    /// The row itself is at fault; the engine stays as it was.
    fn admit(&mut self, slot: usize, row: Self::Row) -> Result<(), RowError>;

    /// So many other workers are idle: until it is told otherwise, the engine may compute what it holds on their cores
    /// too. 0, as at the start, when a row is there for each of them, and when the engine does not hold just one; what
    /// callers compute with keeps them from one row to the next, until a worker has something to do.
    /// Called between steps. What runs where must not change a bit of any answer.
    fn lend(&mut self, idle: usize) {
        let _ = idle;
    }

    /// Every held row advances; the finished ones are pushed with their slot, which is free from then on.
    fn step(&mut self, finished: &mut Vec<(usize, Result<Self::Answer, RowError>)>);

    /// The row in `slot` is dropped: its caller is gone.
    fn evict(&mut self, slot: usize);

    /// Every row is dropped and the state is as new; nothing is [lent](Self::lend).
    fn reset(&mut self);
}

/// Why one row failed while its neighbours were answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RowError {
    /// What was wrong with the row.
    pub reason: String,
}
