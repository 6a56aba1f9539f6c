//! The pipeline as a service: one model version, ready to answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{Outcome, PrepareError};
use crate::engine::DeviceChoice;
use crate::model::{Manifest, Model};
use crate::value::Input;

/// How a version is run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it runs.
    pub device: DeviceChoice,
    /// Worker threads.
    pub workers: usize,
    /// Rows that an engine holds at once.
    pub engine_rows: usize,
    /// Rows that may wait.
    pub queue_rows_max: usize,
}

/// One input to classify.
#[derive(Clone, Debug)]
pub struct Request {
    /// The input.
    pub input: Input,
    /// Labels to answer; all when `None`.
    pub top_k: Option<usize>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Tokenizing; decoding, resizing, normalising.
    pub prepare: Duration,
    /// Waiting for a worker.
    pub queue: Duration,
    /// In an engine.
    pub compute: Duration,
}

/// What one input is, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The predictions.
    pub outcome: Outcome,
    /// Tokens read or pixels seen.
    pub units: usize,
    /// Whether a text was cut.
    pub truncated: bool,
    /// Where the time went.
    pub timing: Timing,
}

/// Why one input has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input is at fault.
    #[error(transparent)]
    Input(#[from] PrepareError),
    /// The batching layer had no room, no time, or no luck with it.
    #[error(transparent)]
    Batch(#[from] crate::batch::Error),
    /// The network answered NaN or infinity.
    #[error("the network's answer is not finite")]
    NotFinite,
    /// Preparation panicked; the input is suspect, the server is well.
    #[error("preparing this input panicked")]
    Panicked,
}

/// Why a version cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// One model version, ready to answer. Clones share everything.
#[derive(Clone, Debug)]
pub struct Pipeline {}

impl Pipeline {
    /// Builds engines on the device, warms them, and checks that the golden samples are reproduced. Blocking, slow.
    ///
    /// # Errors
    /// The device cannot be had, the network cannot be built, or a golden sample differs.
    pub fn start(_name: &str, _model: Model, _config: &Config) -> Result<Self, StartError> {
        todo!()
    }

    /// What the version is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        todo!()
    }

    /// The device it runs on: `cpu` or `cuda:0`.
    #[must_use]
    pub fn device(&self) -> &str {
        todo!()
    }

    /// Rows waiting now.
    #[must_use]
    pub fn queued(&self) -> usize {
        todo!()
    }

    /// How long the longest step under way has been running; readiness ends when a worker hangs.
    #[must_use]
    pub fn longest_step(&self) -> Duration {
        todo!()
    }
}

impl tower::Service<Request> for Pipeline {
    type Response = Answer;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

    /// Always ready: a full queue is an answer, not a wait.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    /// Prepares the input (on the blocking pool when it takes long), queues its row, presents the answer. Dropping
    /// the future drops the row.
    fn call(&mut self, _request: Request) -> Self::Future {
        todo!()
    }
}
