//! One model version as a tower service: prepare → batch → engine → present. Knows no HTTP, no JSON.

mod changes;
mod golden;
mod prepare;
mod present;
mod service;
mod statistics;
mod verify;

pub use changes::Changes;
pub use golden::{record_golden, verify_golden};
pub use prepare::{PrepareError, Prepared, Preparer};
pub(crate) use present::given;
pub use present::{Outcome, Presenter};
pub use service::{Answer, Config, Error, Pipeline, Request, StartError, Timing};
pub use statistics::{Phase, Requests, Statistics};
