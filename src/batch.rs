//! The batching layer: rows queue, worker threads admit them into engines that advance in steps.
//!
//! Generic: it knows no model. See `src/README.md` for the one idea behind it. A worker's life is
//! *admit from the queue up to capacity · step · answer the finished · sleep only when empty and idle*; there is no
//! timer: an idle worker never waits for company, and a batch is decided when a worker is free, never earlier.

mod asker;
mod clocks;
mod engine;
mod error;
mod future;
mod layer;
mod lone;
mod message;
mod priority;
mod queue;
mod rate;
mod service;
mod tally;
mod worker;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;

pub use asker::{asked_by, asker};
pub use engine::{Engine, RowError};
pub use error::{Error, ROWS};
pub use future::{ResponseFuture, ResponsesFuture};
pub use layer::{BatchLayer, Config};
pub use lone::LoneRows;
pub use message::{Done, Job, Jobs};
pub use priority::Priority;
pub use service::Batch;
pub use tally::{Execution, Executions};
