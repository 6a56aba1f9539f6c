//! The tower layer: a function that makes engines becomes a [`Batch`] service of rows.

use super::{Batch, Engine, LoneRows};

/// How a batching layer is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is served, for thread names and metric labels.
    pub name: String,
    /// Rows that may wait; one more is refused with [`super::Error::Full`]. At least 1.
    pub queue_rows_max: usize,
    /// Work of the rows that may wait, in `work_unit`; a row that goes beyond is refused with
    /// [`super::Error::Full`], unless it is the only one.
    pub queue_work_max: usize,
    /// Work of the rows that a worker takes into its engine at once; a row of more is taken alone. A bound for engines
    /// that finish every row in one step, whose steps get longer with every row's work.
    pub step_work_max: Option<usize>,
    /// What [`super::Job::work`] counts, in the plural: `tokens`.
    pub work_unit: &'static str,
    /// Worker threads, each with an engine of its own; at least 1.
    pub workers: usize,
    /// Which rows are computed on their callers' threads, by one more engine; `None`: none.
    pub lone_rows: Option<LoneRows>,
}

/// Makes a [`Batch`] of a function that makes engines, one a worker, each on its worker's own thread, and one for callers.
///
/// A worker whose engine cannot be made (the function panics) ends; when the last one has ended, the layer is closed
/// and every waiting row is answered with [`super::Error::Closed`].
#[derive(Clone, Debug)]
pub struct BatchLayer {
    config: Config,
}

impl BatchLayer {
    /// A layer with this set-up. Bounds outside [`crate::limits`] are brought inside.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }
}

impl<F, E> tower::Layer<F> for BatchLayer
where
    F: Fn() -> E + Send + Sync + 'static,
    E: Engine,
{
    type Service = Batch<E>;

    fn layer(&self, make_engine: F) -> Batch<E> {
        Batch::start(&self.config, make_engine)
    }
}
