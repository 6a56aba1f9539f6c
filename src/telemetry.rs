//! Logs and metrics: set up once, named in one place.

mod line;
mod logs;

pub mod metrics;

pub use logs::{LogFormat, Verbosity, install_logs, set_verbosity, verbosity};
