//! The tower face of the batching layer: [`BatchLayer`] turns a maker of engines into a [`Batch`] service of rows.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{Engine, Error};

/// How a batching layer is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is served, for thread names and metric labels.
    pub name: String,
    /// Rows that may wait; one more is refused with [`Error::Full`].
    pub queue_rows_max: usize,
    /// Worker threads, each with an engine of its own; at least 1.
    pub workers: usize,
}

/// One row to compute.
#[derive(Clone, Debug)]
pub struct Job<R> {
    /// What the engine admits.
    pub row: R,
    /// When its caller stops waiting; a row that is not computed by then is dropped unanswered by the engine.
    pub deadline: Option<Instant>,
}

/// An answer and what it took.
#[derive(Clone, Debug)]
pub struct Done<A> {
    /// What the engine answered.
    pub answer: A,
    /// From enqueueing to admission.
    pub queued: Duration,
    /// From admission to the answer.
    pub computed: Duration,
}

/// Makes a [`Batch`] of a function that makes engines, one a worker.
#[derive(Clone, Debug)]
pub struct BatchLayer {
    config: Config,
}

impl BatchLayer {
    /// A layer with this set-up.
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

    fn layer(&self, _make_engine: F) -> Batch<E> {
        todo!("{:?}", self.config)
    }
}

/// The service: rows in, answers out, batched in between. Clones share queue and workers; when the last clone is
/// dropped the queue closes, what it holds is answered, and the workers end.
#[derive(Debug)]
pub struct Batch<E: Engine> {
    engine: PhantomData<E>,
}

impl<E: Engine> Clone for Batch<E> {
    fn clone(&self) -> Self {
        Self { engine: PhantomData }
    }
}

impl<E: Engine> Batch<E> {
    /// Rows waiting now.
    #[must_use]
    pub fn queued(&self) -> usize {
        todo!()
    }

    /// How long the longest step under way has been running: a worker that hangs shows here.
    #[must_use]
    pub fn longest_step(&self) -> Duration {
        todo!()
    }
}

impl<E: Engine> tower::Service<Job<E::Row>> for Batch<E> {
    type Response = Done<E::Answer>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Done<E::Answer>, Error>> + Send>>;

    /// Always ready: a full queue is an answer, not a wait.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    /// Enqueues at once. Dropping the future drops the row.
    fn call(&mut self, _job: Job<E::Row>) -> Self::Future {
        todo!()
    }
}
