//! The tower service: rows in, answers out.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::clocks::StepClocks;
use super::future::{Patience, ResponseFuture, ResponsesFuture};
use super::lone::{Lone, Seized};
use super::message::{Message, Reply, Ticket};
use super::queue::{Bounds, Queue};
use super::tally::Executions;
use super::worker::{self, MakeEngine, Seat};
use super::{Config, Done, Engine, Error, Job, Jobs, Priority};
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
        let lone = config.lone_rows.and_then(|rows| Lone::new(seat(workers), rows));
        Self { owner: Arc::new(Owner { queue, clocks, lone }) }
    }

    /// Rows waiting now.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.owner.queue.len()
    }

    /// Workers asleep, for tests that need them so.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.owner.queue.idle()
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
    fn call(&mut self, Job { row, work, deadline, priority }: Job<E::Row>) -> Self::Future {
        let arrival = match self.arrive(deadline, 1) {
            Ok(arrival) => arrival,
            Err(error) => return ResponseFuture::refused(error),
        };
        let (message, reply) = arrival.message(row, work);
        let lone = self.owner.lone.as_ref().and_then(Lone::seize);
        match self.enqueue(priority, [message], lone.as_ref()) {
            Ok(given_back) => {
                match (lone, given_back) {
                    (Some(lone), Some([message])) => lone.compute(message),
                    (Some(lone), None) => lone.stand_back(),
                    (None, _) => {}
                }
                ResponseFuture::waiting(reply, self.patience(arrival))
            }
            Err(error) => ResponseFuture::refused(error),
        }
    }
}

impl<E: Engine> tower::Service<Jobs<E::Row>> for Batch<E> {
    type Response = Vec<Result<Done<E::Answer>, Error>>;
    type Error = Error;
    type Future = ResponsesFuture<E::Answer>;

    /// Always ready: a full queue is an answer, not a wait.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    /// Enqueues all rows at once, or none. Dropping the future drops them.
    fn call(&mut self, Jobs { rows, deadline, priority }: Jobs<E::Row>) -> Self::Future {
        let arrival = match self.arrive(deadline, rows.len()) {
            Ok(arrival) => arrival,
            Err(error) => return ResponsesFuture::refused(error),
        };
        let (messages, replies): (Vec<_>, Vec<_>) =
            rows.into_iter().map(|(row, work)| arrival.message(row, work)).unzip();
        match self.enqueue(priority, messages, None) {
            Ok(_) => {
                if let Some(lone) = self.owner.lone.as_ref().and_then(Lone::seize) {
                    lone.stand_back();
                }
                ResponsesFuture::waiting(replies, self.patience(arrival))
            }
            Err(error) => ResponsesFuture::refused(error),
        }
    }
}

/// When rows came, and until when their caller waits.
#[derive(Clone, Copy)]
struct Arrival {
    enqueued: Instant,
    deadline: Option<Instant>,
}

impl Arrival {
    /// A row on its way to the queue, and its answer's way back.
    fn message<R, A>(self, row: R, work: usize) -> (Message<R, A>, oneshot::Receiver<Reply<A>>) {
        let Self { enqueued, deadline } = self;
        let (sender, reply) = oneshot::channel();
        (Message { row, work: work.max(1), ticket: Ticket { enqueued, deadline, reply: sender } }, reply)
    }
}

impl<E: Engine> Batch<E> {
    /// So many rows come now.
    ///
    /// # Errors
    /// Their deadline has passed.
    fn arrive(&self, deadline: Option<Instant>, rows: usize) -> Result<Arrival, Error> {
        let enqueued = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= enqueued) {
            self.owner.queue.meter.rows(RowOutcome::Expired, rows);
            return Err(Error::Expired { waited: Duration::ZERO });
        }
        Ok(Arrival { enqueued, deadline })
    }

    /// Enqueues the messages, or gives them back for the callers' engine.
    fn enqueue<M>(
        &self,
        priority: Priority,
        messages: M,
        lone: Option<&Seized<'_, E>>,
    ) -> Result<Option<M>, Error>
    where
        M: AsRef<[Message<E::Row, E::Answer>]> + IntoIterator<Item = Message<E::Row, E::Answer>>,
    {
        let (queue, rows) = (&self.owner.queue, messages.as_ref().len());
        let lone = lone.map(|lone| lone.rows);
        queue.push(priority, messages, lone).inspect_err(|_| queue.meter.rows(RowOutcome::Refused, rows))
    }

    fn patience(&self, Arrival { enqueued, deadline }: Arrival) -> Patience {
        Patience { enqueued, deadline, gone: Arc::clone(self.owner.queue.gone()), alarm: None }
    }
}
