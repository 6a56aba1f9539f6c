//! The tower service: rows in, answers out.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::future::{ResponseFuture, Waiting};
use super::lone::Lone;
use super::message::{Message, Ticket};
use super::queue::{Bounds, Queue};
use super::tally::Executions;
use super::worker::{self, MakeEngine, Seat, StepClocks};
use super::{Config, Done, Engine, Error, Job};
use crate::limits::WORKERS_MAX;
use crate::telemetry::metrics::{BatchMeter, RowOutcome};

/// The service: rows in, answers out, batched in between. Clones share queue and workers; when the last clone is
/// dropped the queue closes, what it holds is answered, and the workers end.
pub struct Batch<E: Engine> {
    owner: Arc<Owner<E>>,
}

/// Closes the queue when the last clone of the service goes.
struct Owner<E: Engine> {
    queue: Arc<Queue<E::Row, E::Answer>>,
    clocks: Arc<StepClocks>,
    lone: Option<Lone<E>>,
}

impl<E: Engine> Batch<E> {
    /// Starts the workers.
    pub(super) fn start(config: &Config, make_engine: impl Fn() -> E + Send + Sync + 'static) -> Self {
        let workers = config.workers.clamp(1, WORKERS_MAX);
        let queue = Arc::new(Queue::new(Bounds::new(config), workers, BatchMeter::new(&config.name)));
        // One for each worker, and one for the callers.
        let clocks = Arc::new(StepClocks::new(workers + 1));
        let make_engine: Arc<MakeEngine<E>> = Arc::new(make_engine);
        let seat = |index| Seat {
            name: config.name.clone(),
            index,
            make_engine: Arc::clone(&make_engine),
            queue: Arc::clone(&queue),
            clocks: Arc::clone(&clocks),
        };
        (0..workers).for_each(|index| worker::spawn(seat(index)));
        let lone = config.lone_row_max.and_then(|took_max| Lone::new(seat(workers), took_max));
        Self { owner: Arc::new(Owner { queue, clocks, lone }) }
    }

    /// Rows waiting now.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.owner.queue.len()
    }

    /// How long the longest step under way has been running: a worker that hangs shows here.
    #[must_use]
    pub fn longest_step(&self) -> Duration {
        self.owner.clocks.longest()
    }

    /// What the engines have computed since the start.
    #[must_use]
    pub fn executions(&self) -> Executions {
        self.owner.queue.tally.executions()
    }

    /// Counts executions from here on: what was computed until now was a trial.
    pub fn clear_executions(&self) {
        self.owner.queue.tally.clear();
    }

    /// Closes the queue: a new row is refused with [`Error::Closed`], what waits is answered, then the workers end.
    pub fn close(&self) {
        self.owner.queue.close();
    }

    /// Closes the queue and blocks until the workers have ended, which takes as long as the rows they hold.
    pub fn join(&self) {
        self.close();
        self.owner.queue.join();
    }
}

impl<E: Engine> Clone for Batch<E> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<E: Engine> fmt::Debug for Batch<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("queued", &self.queued()).finish_non_exhaustive()
    }
}

impl<E: Engine> Drop for Owner<E> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl<E: Engine> tower::Service<Job<E::Row>> for Batch<E> {
    type Response = Done<E::Answer>;
    type Error = Error;
    type Future = ResponseFuture<E::Answer>;

    /// Always ready: a full queue is an answer, not a wait.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    /// Enqueues at once, or computes the row at once if that is soon done and nobody else has anything to do. Dropping the
    /// future drops the row.
    fn call(&mut self, Job { row, work, deadline }: Job<E::Row>) -> Self::Future {
        let queue = &self.owner.queue;
        let enqueued = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= enqueued) {
            queue.meter.row(RowOutcome::Expired);
            return ResponseFuture::refused(Error::Expired { waited: Duration::ZERO });
        }
        let (sender, reply) = oneshot::channel();
        let ticket = Ticket { enqueued, deadline, reply: sender };
        let work = work.max(1);
        let lone = self.owner.lone.as_ref().and_then(Lone::seize);
        match queue.push(Message { row, work, ticket }, lone.as_ref().map(|lone| lone.took_max)) {
            Ok(given_back) => {
                if let (Some(lone), Some(message)) = (lone, given_back) {
                    lone.compute(message);
                }
                let gone = Arc::clone(queue.gone());
                ResponseFuture::waiting(Waiting { reply, enqueued, deadline, gone, alarm: None })
            }
            Err(error) => {
                queue.meter.row(RowOutcome::Refused);
                ResponseFuture::refused(error)
            }
        }
    }
}
