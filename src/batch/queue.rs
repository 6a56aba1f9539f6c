//! The one bounded queue that all workers of a layer share, and the one place where rows wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use super::message::Message;
use super::rate::Rate;
use crate::telemetry::metrics::{BatchMeter, RowOutcome};

/// The queue. Workers sleep on it only when it is empty and they hold nothing.
#[derive(Debug)]
pub(super) struct Queue<R, A> {
    state: Mutex<State<R, A>>,
    /// Workers sleep on it. One is woken a row, all of them at closing.
    changed: Condvar,
    /// Whoever waits for the workers to end sleeps on it: on the other, it would take a row's wake-up from a worker.
    ended: Condvar,
    rows_max: usize,
    /// Callers that went away since the queue was last looked through for their rows.
    gone: Arc<AtomicUsize>,
    pub(super) meter: BatchMeter,
}

#[derive(Debug)]
struct State<R, A> {
    waiting: VecDeque<Message<R, A>>,
    /// Workers asleep, or woken and not yet on their feet.
    idle: usize,
    /// Workers that have not ended.
    alive: usize,
    open: bool,
    rate: Rate,
}

/// What a worker took.
#[derive(Debug)]
pub(super) enum Taken<R, A> {
    /// These rows, first come first served; none when the worker has rows to go on with.
    Rows(Vec<Message<R, A>>),
    /// The queue is closed and empty.
    Closed,
}

/// How many rows a worker takes that has `room` for so many and holds `held`.
///
/// An idle worker shares what waits with the others that are idle: k engines on k cores with a part each are done
/// sooner than one with everything, whose neighbours look on. A busy one leaves all of it to the idle: their cores are
/// free, and each row that joins makes the steps of its neighbours longer.
fn share(waiting: usize, idle_others: usize, room: usize, held: usize) -> usize {
    let fair = match (held, idle_others) {
        (0, others) => waiting.div_ceil(others + 1),
        (_, 0) => waiting,
        (_, _) => 0,
    };
    fair.min(room)
}

impl<R, A> Queue<R, A> {
    /// An open queue for `rows_max` rows, served by `workers` that are about to start.
    pub(super) fn new(rows_max: usize, workers: usize, meter: BatchMeter) -> Self {
        let state =
            State { waiting: VecDeque::new(), idle: 0, alive: workers, open: true, rate: Rate::default() };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            ended: Condvar::new(),
            rows_max,
            gone: Arc::new(AtomicUsize::new(0)),
            meter,
        }
    }

    /// Nothing panics while it holds the lock, so a poisoned state is a sound one.
    fn lock(&self) -> MutexGuard<'_, State<R, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a caller adds one to when it goes away unanswered.
    pub(super) fn gone(&self) -> &Arc<AtomicUsize> {
        &self.gone
    }

    /// Rows waiting now.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Enqueues a row.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Closed`].
    pub(super) fn push(&self, message: Message<R, A>) -> Result<(), Error> {
        let mut state = self.lock();
        if state.open && state.waiting.len() >= self.rows_max && self.gone.swap(0, Ordering::Relaxed) > 0 {
            // Rows of callers that have gone are not worth refusing a new one for. Their number bounds how often
            // the queue is looked through.
            let dropped = state.drop_in_vain(Instant::now());
            drop(state);
            self.give_up(dropped);
            state = self.lock();
        }
        if !state.open {
            return Err(Error::Closed);
        }
        let queued = state.waiting.len();
        if queued >= self.rows_max {
            let retry_after = state.rate.retry_after(queued, state.alive);
            return Err(Error::Full { queued, retry_after });
        }
        state.waiting.push_back(message);
        drop(state);
        self.meter.enqueued(1);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes a share of what waits for a worker with `room` that holds `held` rows; rows in vain are dropped on the
    /// way. Sleeps while there is nothing to take, unless the worker holds rows.
    pub(super) fn take(&self, room: usize, held: usize) -> Taken<R, A> {
        loop {
            let mut state = self.lock();
            while held == 0 && state.waiting.is_empty() {
                if !state.open {
                    return Taken::Closed;
                }
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
            let now = Instant::now();
            let rows_max = share(state.waiting.len(), state.idle, room, held);
            let (taken, dropped) = state.pop(rows_max, now);
            let more = !state.waiting.is_empty() && state.idle > 0;
            drop(state);
            if more {
                self.changed.notify_one();
            }
            self.meter.dequeued(taken.len());
            for message in &taken {
                self.meter.waited(now.saturating_duration_since(message.ticket.enqueued));
            }
            let all_in_vain = taken.is_empty() && !dropped.is_empty();
            self.give_up(dropped);
            if held > 0 || !all_in_vain {
                return Taken::Rows(taken);
            }
        }
    }

    /// Workers with nothing to do: those asleep, less one for each row that waits and will wake one.
    pub(super) fn idle(&self) -> usize {
        let state = self.lock();
        state.idle.saturating_sub(state.waiting.len())
    }

    /// A worker was busy for `took`, and so many rows left it.
    pub(super) fn record(&self, rows: usize, took: Duration) {
        self.lock().rate.record(rows, took);
    }

    /// No row comes in any more; what waits is still served.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.changed.notify_all();
    }

    /// A worker has ended. After the last one nobody would answer what waits: it is answered now.
    pub(super) fn worker_ended(&self) {
        let mut state = self.lock();
        state.alive = state.alive.saturating_sub(1);
        let stranded = if state.alive == 0 {
            state.open = false;
            std::mem::take(&mut state.waiting)
        } else {
            VecDeque::new()
        };
        drop(state);
        self.ended.notify_all();
        self.meter.dequeued(stranded.len());
        for message in stranded {
            message.ticket.answer(Err(Error::Closed), &self.meter);
        }
    }

    /// Blocks until every worker has ended.
    pub(super) fn join(&self) {
        let mut state = self.lock();
        while state.alive > 0 {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Answers rows that left the queue in vain, outside its lock.
    fn give_up(&self, dropped: Vec<(Message<R, A>, RowOutcome)>) {
        let now = Instant::now();
        self.meter.dequeued(dropped.len());
        for (message, reason) in dropped {
            message.ticket.give_up(reason, now, &self.meter);
        }
    }
}

/// Rows to compute, and rows that nobody waits for any more, each with the reason.
type Popped<R, A> = (Vec<Message<R, A>>, Vec<(Message<R, A>, RowOutcome)>);

impl<R, A> State<R, A> {
    /// The first `rows_max` rows that somebody waits for, and those before them that nobody does.
    fn pop(&mut self, rows_max: usize, now: Instant) -> Popped<R, A> {
        let (mut taken, mut dropped) = (Vec::new(), Vec::new());
        while taken.len() < rows_max {
            let Some(message) = self.waiting.pop_front() else { break };
            match message.ticket.in_vain(now) {
                None => taken.push(message),
                Some(reason) => dropped.push((message, reason)),
            }
        }
        (taken, dropped)
    }

    /// Every row that nobody waits for any more.
    fn drop_in_vain(&mut self, now: Instant) -> Vec<(Message<R, A>, RowOutcome)> {
        let (mut kept, mut dropped) = (VecDeque::with_capacity(self.waiting.len()), Vec::new());
        for message in self.waiting.drain(..) {
            match message.ticket.in_vain(now) {
                None => kept.push_back(message),
                Some(reason) => dropped.push((message, reason)),
            }
        }
        self.waiting = kept;
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_workers_share_a_burst_and_busy_ones_leave_it_to_them() {
        // (waiting, idle others, room, held) → rows taken
        let cases = [
            ((10, 0, 32, 0), 10),
            ((10, 3, 32, 0), 3),
            ((1, 3, 32, 0), 1),
            ((100, 1, 32, 0), 32),
            ((10, 0, 4, 28), 4),
            ((10, 2, 4, 28), 0),
            ((0, 2, 4, 28), 0),
        ];
        for ((waiting, idle_others, room, held), expected) in cases {
            assert_eq!(share(waiting, idle_others, room, held), expected);
        }
    }
}
