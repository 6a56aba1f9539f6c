//! Measuring: a load generator for any HTTP server, and the bare engine without a server.
//!
//! What the figures mean is in `docs/bench.md`.

mod latency;

pub mod engine;
pub mod load;

pub use latency::{Latencies, Quantiles};
