//! The pipeline as a service: one model version, ready to answer.

mod facts;
mod preparing;
mod several;

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use candle_core::Device;
use tower::{Layer as _, Service as _};

use self::preparing::Preparing;
use super::golden::{self, Likeness};
use super::statistics::Counts;
use super::verify::Verifier;
use super::{Outcome, PrepareError, Prepared, Preparer, Presenter};
use crate::batch::{self, Batch, BatchLayer, Done, Job, Priority};
use crate::engine::{Capacity, DeviceChoice, EngineChoice, Plan, PlanError, PlannedEngine};
use crate::limits::{QUEUE_PIXELS_DEFAULT, QUEUE_ROWS_DEFAULT, QUEUE_TOKENS_DEFAULT};
use crate::model::{InputPreparation, Manifest, Model};
use crate::nn::Architecture;
use crate::nn::lstm::Pooling;
use crate::value::{Features, Input, Logits};

/// How a version is run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it runs.
    pub device: DeviceChoice,
    /// Worker threads.
    pub workers: usize,
    /// What computes.
    pub engine: EngineChoice,
    /// Rows of a request at most, where that is fewer than any request may have.
    pub request_rows_max: Option<usize>,
    /// Rows that an engine holds at once; `None`: as many as a measurement at the start says.
    pub engine_rows: Option<usize>,
    /// Rows that may wait.
    pub queue_rows_max: usize,
    /// Tokens of the texts that may wait.
    pub queue_tokens_max: usize,
    /// Pixels, of the network's size, of the pictures that may wait.
    pub queue_pixels_max: usize,
    /// One in so many answers is computed again, alone, and compared to the bit; `None`: none is.
    pub verify_one_in: Option<NonZeroU32>,
}

impl Default for Config {
    /// One worker on the default device, the rest as in `config/sconce.toml`.
    fn default() -> Self {
        Self {
            device: DeviceChoice::default(),
            workers: 1,
            engine: EngineChoice::default(),
            request_rows_max: None,
            engine_rows: None,
            queue_rows_max: QUEUE_ROWS_DEFAULT,
            queue_tokens_max: QUEUE_TOKENS_DEFAULT,
            queue_pixels_max: QUEUE_PIXELS_DEFAULT,
            verify_one_in: None,
        }
    }
}

/// One input to classify; or a list of them, whose rows enter the queue together or not at all.
#[derive(Clone, Debug)]
pub struct Request<I = Input> {
    /// The input.
    pub input: I,
    /// Labels to answer; all when `None`.
    pub top_k: Option<usize>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// What it goes before.
    pub priority: Priority,
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
    /// Making scores of what the network answered.
    pub present: Duration,
}

/// What one input is, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The predictions.
    pub outcome: Outcome,
    /// What the network answered, of which they were made.
    pub logits: Logits,
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
    Batch(#[from] batch::Error),
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
pub struct Pipeline {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    manifest: Manifest,
    device: String,
    capacity: Capacity,
    request_rows_max: Option<usize>,
    workers: usize,
    preparer: Preparer,
    presenter: Presenter,
    unpooled: bool,
    preparing: Preparing,
    pub(super) batch: Batch<PlannedEngine>,
    verifier: Option<Verifier>,
    pub(super) counts: Counts,
}

impl Pipeline {
    /// Builds engines on the device, warms them, and checks that the golden samples are reproduced. Blocking, slow.
    ///
    /// # Errors
    /// The device cannot be had, the network cannot be built, or a golden sample differs.
    pub fn start(name: &str, model: Model, config: &Config) -> Result<Self, StartError> {
        let device = config.device.open().map_err(|error| StartError(error.to_string()))?;
        let plan = plan(&model, config.engine, &device)?.for_threads(config.workers);
        let capacity = plan.capacity(config.engine_rows);
        log_capacity(name, capacity);
        let layer = BatchLayer::new(batching(name, &model.manifest, &plan, config));
        let verifier = config.verify_one_in.map(|one_in| Verifier::start(name, one_in, plan.engine(1)));
        let verifier = verifier.transpose().map_err(|error| StartError(format!("no thread: {error}")))?;
        let batch = layer.layer(move || plan.engine(capacity.rows));
        let Model { manifest, tokenizer, golden, .. } = model;
        let preparer = Preparer::new(manifest.input.clone(), tokenizer);
        let presenter = Presenter::new(manifest.objective, &manifest.labels);
        let likeness = Likeness::of(manifest.precision, &presenter);
        // Through the queue, as every later row: this warms a worker as well.
        golden::verify(&preparer, &golden, &likeness, |Prepared { features: row, units: work, .. }| {
            let answer =
                wait(batch.clone().call(Job { row, work, deadline: None, priority: Priority::default() }));
            answer.map(|done| done.answer).map_err(|error| error.to_string())
        })
        .map_err(StartError)?;
        batch.clear_executions();
        let shared = Shared {
            device: facts::device_name(&device),
            capacity,
            request_rows_max: config.request_rows_max,
            workers: config.workers,
            presenter,
            unpooled: matches!(&manifest.architecture, Architecture::LstmClassifier(lstm) if lstm.pooling == Pooling::None),
            preparer,
            preparing: Preparing::new(&manifest.input, config),
            manifest,
            batch,
            verifier,
            counts: Counts::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What the version is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// The device it runs on: `cpu` or `cuda:0`.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.shared.device
    }

    /// Rows that each worker's engine holds at once, and the measured cost that they were chosen by.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.shared.capacity
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
    fn call(&mut self, request: Request) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let Request { input, top_k, deadline, priority } = request;
            let begun = Instant::now();
            let prepared = shared.prepare(input, deadline).await?;
            let (facts, row) = shared.row(prepared, begun.elapsed());
            let done = shared.batch.clone().call(Job { row, work: facts.units, deadline, priority }).await?;
            shared.finish(facts, done, top_k)
        })
    }
}

/// What is known of a row that is being computed.
struct Facts {
    units: usize,
    truncated: bool,
    prepare: Duration,
    /// The row once more, where its answer is to be verified.
    again: Option<Features>,
}

impl Shared {
    /// The row of an input that was prepared in such a time.
    fn row(&self, prepared: Prepared, prepare: Duration) -> (Facts, Features) {
        let Prepared { features, units, truncated } = prepared;
        let again = self.verifier.as_ref().filter(|verifier| verifier.picks()).map(|_| features.clone());
        (Facts { units, truncated, prepare, again }, features)
    }

    /// Makes an answer of what the engine answered.
    fn finish(&self, facts: Facts, done: Done<Logits>, top_k: Option<usize>) -> Result<Answer, Error> {
        let Facts { units, truncated, prepare, again } = facts;
        if let Some((verifier, row)) = self.verifier.as_ref().zip(again) {
            verifier.check(row, done.answer.clone());
        }
        let computed = Instant::now();
        let outcome = self.presenter.present(&done.answer, top_k, self.unpooled).ok_or(Error::NotFinite)?;
        let present = computed.elapsed();
        let timing = Timing { prepare, queue: done.queued, compute: done.computed, present };
        Ok(Answer { outcome, logits: done.answer, units, truncated, timing })
    }
}

fn plan(model: &Model, engine: EngineChoice, device: &Device) -> Result<Plan, StartError> {
    let (architecture, precision) = (&model.manifest.architecture, model.manifest.precision);
    let weights = &model.weights;
    let plan = match engine {
        EngineChoice::Auto => Plan::new(architecture, weights, precision, device),
        EngineChoice::Candle if !precision.is_f32() => Err(PlanError::Precision { precision }),
        EngineChoice::Candle => Plan::candle(architecture, weights, device),
    };
    plan.map_err(|error| StartError(error.to_string()))
}

/// The batching layer's bounds, in the unit of the model's inputs.
fn batching(name: &str, manifest: &Manifest, plan: &Plan, config: &Config) -> batch::Config {
    let (work_unit, queue_work_max) = match manifest.input {
        InputPreparation::Text(_) => ("tokens", config.queue_tokens_max),
        InputPreparation::Picture(_) => ("pixels", config.queue_pixels_max),
    };
    batch::Config {
        name: name.to_owned(),
        queue_rows_max: config.queue_rows_max,
        queue_work_max,
        step_work_max: plan.step_work_max(),
        work_unit,
        workers: config.workers,
        lone_rows: plan.lone_rows(),
    }
}

fn log_capacity(model: &str, Capacity { rows, cost }: Capacity) {
    if let Some(cost) = cost {
        let (fixed, row) = (cost.fixed * 1e6, cost.row * 1e6);
        tracing::info!(
            model,
            engine_rows = rows,
            "a step takes {fixed:.1} µs and {row:.1} µs a row: a worker computes up to {rows} rows together"
        );
    }
}

/// Blocks this thread until the answer is there; needs no runtime, so that it cannot meet one already running.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[cfg(test)]
mod tests;
