//! The one bounded queue that all workers of a layer share, and the one place where rows wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::message::Message;
use super::rate::Rate;
use super::tally::Tally;
use super::{Config, Error, ROWS};
use crate::limits::QUEUE_ROWS_MAX;
use crate::telemetry::metrics::{BatchMeter, DispatchReason, RowOutcome};

/// The queue. Workers sleep on it only when it is empty and they hold nothing.
#[derive(Debug)]
pub(super) struct Queue<R, A> {
    state: Mutex<State<R, A>>,
    /// Workers sleep on it. One is woken a row, all of them at closing.
    changed: Condvar,
    /// Whoever waits for the workers to end sleeps on it: on the other, it would take a row's wake-up from a worker.
    ended: Condvar,
    bounds: Bounds,
    /// Callers that went away since the queue was last looked through for their rows.
    gone: Arc<AtomicUsize>,
    pub(super) meter: BatchMeter,
    /// What the workers' engines were given.
    pub(super) tally: Arc<Tally>,
}

/// What may wait, and what is taken at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    rows_max: usize,
    work_max: usize,
    step_work_max: usize,
    work_unit: &'static str,
}

impl Bounds {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            rows_max: config.queue_rows_max.clamp(1, QUEUE_ROWS_MAX),
            work_max: config.queue_work_max.max(1),
            step_work_max: config.step_work_max.unwrap_or(usize::MAX),
            work_unit: config.work_unit,
        }
    }
}

#[derive(Debug)]
struct State<R, A> {
    waiting: VecDeque<Message<R, A>>,
    /// The work of what waits.
    work: usize,
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
    /// First come first served; none when the worker has rows to go on with.
    Rows {
        /// The rows.
        rows: Vec<Message<R, A>>,
        /// As [`Queue::idle`].
        idle: usize,
    },
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
    /// An open queue within these bounds, served by `workers` that are about to start.
    pub(super) fn new(bounds: Bounds, workers: usize, meter: BatchMeter) -> Self {
        let (waiting, rate) = (VecDeque::new(), Rate::default());
        let state = State { waiting, work: 0, idle: 0, alive: workers, open: true, rate };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            ended: Condvar::new(),
            bounds,
            gone: Arc::new(AtomicUsize::new(0)),
            meter,
            tally: Arc::default(),
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

    /// Enqueues a row, unless it is given back: no worker has anything to do, and it is expected to take no longer than
    /// `lone_max`.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Closed`].
    pub(super) fn push(
        &self,
        message: Message<R, A>,
        lone_max: Option<Duration>,
    ) -> Result<Option<Message<R, A>>, Error> {
        let (mut state, work) = (self.lock(), message.work);
        if state.open && state.full(&self.bounds, work).is_some() && self.gone.swap(0, Ordering::Relaxed) > 0
        {
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
        if lone_max
            .is_some_and(|max| state.quiet() && state.rate.expected(work).is_some_and(|took| took <= max))
        {
            return Ok(Some(message));
        }
        if let Some((unit, waiting, max)) = state.full(&self.bounds, work) {
            let retry_after = state.rate.retry_after(state.work, state.alive);
            return Err(Error::Full { unit, waiting, max, retry_after });
        }
        state.waiting.push_back(message);
        state.work = state.work.saturating_add(work);
        drop(state);
        self.meter.enqueued(work);
        self.changed.notify_one();
        Ok(None)
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
            let Popped { taken, dropped, over_budget } = state.pop(rows_max, self.bounds.step_work_max, now);
            let reason = match (state.waiting.is_empty(), over_budget) {
                (true, _) => DispatchReason::Drained,
                (false, true) => DispatchReason::Budget,
                (false, false) if taken.len() == room => DispatchReason::Full,
                (false, false) => DispatchReason::Shared,
            };
            let (more, idle) = (!state.waiting.is_empty() && state.idle > 0, state.spare());
            drop(state);
            if more {
                self.changed.notify_one();
            }
            if !taken.is_empty() {
                self.meter.dispatched(taken.len(), reason);
                self.meter.dequeued(taken.len(), work_of(&taken));
            }
            for message in &taken {
                self.meter.waited(now.saturating_duration_since(message.ticket.enqueued));
            }
            let all_in_vain = taken.is_empty() && !dropped.is_empty();
            self.give_up(dropped);
            if held > 0 || !all_in_vain {
                return Taken::Rows { rows: taken, idle };
            }
        }
    }

    /// Workers with nothing to do: those asleep, less one for each row that waits and will wake one.
    pub(super) fn idle(&self) -> usize {
        self.lock().spare()
    }

    /// A worker was busy for `took`, and rows of so much work left it.
    pub(super) fn record(&self, work: usize, took: Duration) {
        self.lock().rate.record(work, took);
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
            state.work = 0;
            std::mem::take(&mut state.waiting)
        } else {
            VecDeque::new()
        };
        drop(state);
        self.ended.notify_all();
        self.meter.dequeued(stranded.len(), work_of(&stranded));
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
        self.meter.dequeued(dropped.len(), work_of(dropped.iter().map(|(message, _)| message)));
        for (message, reason) in dropped {
            message.ticket.give_up(reason, now, &self.meter);
        }
    }
}

fn work_of<'a, R: 'a, A: 'a>(messages: impl IntoIterator<Item = &'a Message<R, A>>) -> usize {
    messages.into_iter().map(|message| message.work).fold(0, usize::saturating_add)
}

/// What came off the front of the queue.
struct Popped<R, A> {
    /// Rows to compute.
    taken: Vec<Message<R, A>>,
    /// Rows that nobody waits for any more, each with the reason.
    dropped: Vec<(Message<R, A>, RowOutcome)>,
    /// Whether the next row was left because of its work.
    over_budget: bool,
}

impl<R, A> State<R, A> {
    /// Workers asleep, less one for each row that waits and will wake one.
    fn spare(&self) -> usize {
        self.idle.saturating_sub(self.waiting.len())
    }

    /// Whether every worker is asleep and none is about to be woken.
    fn quiet(&self) -> bool {
        self.waiting.is_empty() && self.idle == self.alive
    }

    /// Whether a row of this work goes beyond a bound: which, what waits, and the bound. An empty queue has room for any
    /// row, or a long one would never be answered.
    fn full(&self, bounds: &Bounds, work: usize) -> Option<(&'static str, usize, usize)> {
        if self.waiting.len() >= bounds.rows_max {
            return Some((ROWS, self.waiting.len(), bounds.rows_max));
        }
        let beyond = self.work.saturating_add(work) > bounds.work_max;
        (beyond && !self.waiting.is_empty()).then_some((bounds.work_unit, self.work, bounds.work_max))
    }

    /// The first rows that somebody waits for, `rows_max` of them with `work_max` together (a row of more comes alone),
    /// and those before them that nobody waits for.
    fn pop(&mut self, rows_max: usize, work_max: usize, now: Instant) -> Popped<R, A> {
        let mut popped = Popped { taken: Vec::new(), dropped: Vec::new(), over_budget: false };
        let mut room = work_max;
        while popped.taken.len() < rows_max {
            let Some(message) = self.waiting.pop_front() else { break };
            let in_vain = message.ticket.in_vain(now);
            if in_vain.is_none() && message.work > room && !popped.taken.is_empty() {
                self.waiting.push_front(message);
                popped.over_budget = true;
                break;
            }
            self.work = self.work.saturating_sub(message.work);
            match in_vain {
                None => {
                    room = room.saturating_sub(message.work);
                    popped.taken.push(message);
                }
                Some(reason) => popped.dropped.push((message, reason)),
            }
        }
        popped
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
        self.work = work_of(&self.waiting);
        dropped
    }
}

#[cfg(test)]
mod tests;
