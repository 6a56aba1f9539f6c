//! The batching layer: rows queue, worker threads admit them into engines that advance in steps.
//!
//! Generic: it knows no model. See `src/README.md` for the one idea behind it.

mod engine;
mod error;
mod service;

pub use engine::{Engine, RowError};
pub use error::Error;
pub use service::{Batch, BatchLayer, Config, Done, Job};
