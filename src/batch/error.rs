//! Why a row has no answer.

use std::time::Duration;

use super::RowError;

/// The unit of [`Error::Full`] when it is the number of rows that is at its bound.
pub const ROWS: &str = "rows";

/// Why a row has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The queue is at a bound; nothing was enqueued.
    #[error(
        "the queue is full: {waiting} {unit} are waiting and {asked} came, at most {max} may wait; try again in \
         {retry_after:?}"
    )]
    Full {
        /// What the bound counts: [`ROWS`], or [`super::Config::work_unit`].
        unit: &'static str,
        /// How many of them came together.
        asked: usize,
        /// How many of them wait now.
        waiting: usize,
        /// How many may.
        max: usize,
        /// When what waits is worked off, at the rate of the last answers; at least a millisecond.
        retry_after: Duration,
    },
    /// Rows that came together are more than ever may wait; nothing was enqueued.
    #[error("{asked} {unit} came together and at most {max} may wait: send them in several requests")]
    TooLarge {
        /// As of [`Error::Full`].
        unit: &'static str,
        /// How many of them came together.
        asked: usize,
        /// How many may wait.
        max: usize,
    },
    /// The deadline passed before the row was computed.
    #[error("the deadline passed after {waited:?} in the queue")]
    Expired {
        /// Time since the row was enqueued.
        waited: Duration,
    },
    /// The engine found fault with this row.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The engine panicked on this row, alone.
    #[error("the engine panicked on this row")]
    Panicked,
    /// The layer is shut down.
    #[error("the batching layer is closed")]
    Closed,
}
