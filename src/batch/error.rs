//! Why a row has no answer.

use std::time::Duration;

use super::RowError;

/// Why a row has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The queue is at its bound; nothing was enqueued.
    #[error("the queue is full: {queued} rows are waiting; try again in {retry_after:?}")]
    Full {
        /// Rows waiting now.
        queued: usize,
        /// When room is likely, from the rate of the last answers; at least a millisecond.
        retry_after: Duration,
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
