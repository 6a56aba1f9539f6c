//! The one bounded queue that all workers of a layer share, and the one place where rows wait.

mod lanes;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::lanes::Lanes;
use super::asker::asker;
use super::lone::{LoneRows, Streak};
use super::message::Message;
use super::rate::Rate;
use super::tally::Tally;
use super::{Config, Error, Priority, ROWS};
use crate::limits::QUEUE_ROWS_MAX;
use crate::telemetry::metrics::{BatchMeter, DispatchReason, RowOutcome};

/// The queue. Workers sleep on it only when it is empty and they hold nothing.
#[derive(Debug)]
pub(super) struct Queue<R, A> {
    state: Mutex<State<R, A>>,
    /// Workers sleep on it. Rows that come wake as many as they are, closing wakes all.
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
    waiting: Lanes<R, A>,
    /// The work of what waits.
    work: usize,
    /// Workers asleep, or woken and not yet on their feet.
    idle: usize,
    /// Workers that have not ended.
    alive: usize,
    open: bool,
    rate: Rate,
    /// Of the rows that had an engine for themselves. Rows in company share its time: theirs says nothing of a lone one's.
    lone: Rate,
    streak: Streak,
}

/// Rows that come together.
#[derive(Clone, Copy, Debug)]
struct Came {
    rows: usize,
    work: usize,
}

/// What a worker took.
#[derive(Debug)]
pub(super) enum Taken<R, A> {
    /// The next rows; none when the worker has rows to go on with.
    Rows {
        /// The rows.
        rows: Vec<Message<R, A>>,
        /// As [`Queue::idle`].
        idle: usize,
        /// When they were taken.
        now: Instant,
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
        let (waiting, rate) = (Lanes::new(), Rate::default());
        let state = State {
            waiting,
            work: 0,
            idle: 0,
            alive: workers,
            open: true,
            rate,
            lone: rate,
            streak: Streak::default(),
        };
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

    /// Enqueues rows together, all of them or none; unless they are given back: no worker has anything to do, and they
    /// are for a caller who has an engine at hand and computes such rows.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::TooLarge`] or [`Error::Closed`].
    pub(super) fn push<M>(
        &self,
        priority: Priority,
        messages: M,
        lone: Option<LoneRows>,
    ) -> Result<Option<M>, Error>
    where
        M: AsRef<[Message<R, A>]> + IntoIterator<Item = Message<R, A>>,
    {
        let came = Came { rows: messages.as_ref().len(), work: work_of(messages.as_ref()) };
        let mut state = self.lock();
        if state.open
            && state.refuse(&self.bounds, came).is_some()
            && self.gone.swap(0, Ordering::Relaxed) > 0
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
        if state.is_callers(lone, came.work) {
            return Ok(Some(messages));
        }
        if let Some(refused) = state.refuse(&self.bounds, came) {
            return Err(refused);
        }
        state.waiting.extend(priority, messages);
        state.work = state.work.saturating_add(came.work);
        let asleep = state.idle;
        drop(state);
        self.meter.enqueued(came.rows, came.work);
        self.wake(came.rows, asleep);
        Ok(None)
    }

    /// Wakes a worker a row, of the workers that were asleep. No other call is needed for work not to wait beside an
    /// idle worker: one that is awake takes at least a row before it sleeps again, and sleeps only when none waits.
    fn wake(&self, rows: usize, asleep: usize) {
        if asleep > 1 && rows >= asleep {
            self.changed.notify_all();
        } else {
            (0..rows.min(asleep)).for_each(|_| self.changed.notify_one());
        }
    }

    /// Takes a share of what waits for a worker with `room` that holds `held` rows; rows in vain are dropped on the
    /// way. Sleeps while there is nothing to take, unless the worker holds rows. `now` is the time when it is called, as
    /// near as the worker knows it.
    pub(super) fn take(&self, room: usize, held: usize, mut now: Instant) -> Taken<R, A> {
        loop {
            let mut state = self.lock();
            while held == 0 && state.waiting.is_empty() {
                if !state.open {
                    return Taken::Closed;
                }
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                now = Instant::now();
            }
            let rows_max = share(state.waiting.len(), state.idle, room, held);
            let Popped { taken, dropped, over_budget } = state.pop(rows_max, self.bounds.step_work_max, now);
            let reason = match (state.waiting.is_empty(), over_budget) {
                (true, _) => DispatchReason::Drained,
                (false, true) => DispatchReason::Budget,
                (false, false) if taken.len() == room => DispatchReason::Full,
                (false, false) => DispatchReason::Shared,
            };
            let idle = state.spare();
            drop(state);
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
                return Taken::Rows { rows: taken, idle, now };
            }
        }
    }

    /// Workers with nothing to do: those asleep, less one for each row that waits and will wake one.
    pub(super) fn idle(&self) -> usize {
        self.lock().spare()
    }

    /// A worker was busy for `took`, and rows of so much work left it, in company or alone.
    pub(super) fn record(&self, work: usize, took: Duration, company: bool) {
        let mut state = self.lock();
        state.rate.record(work, took);
        if !company {
            state.lone.record(work, took);
        }
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
            state.waiting.take_all()
        } else {
            Vec::new()
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
        self.idle == self.alive && self.waiting.is_empty()
    }

    /// Whether the rows that have just come are for their caller, who computes such rows.
    fn is_callers(&mut self, lone: Option<LoneRows>, work: usize) -> bool {
        // Without an engine at hand another caller computes.
        self.streak.note(asker(), lone.is_some() && self.quiet());
        let max = lone.and_then(|rows| self.streak.row_max(rows)).filter(|_| self.quiet());
        max.is_some_and(|max| self.lone.expected(work).is_some_and(|took| took <= max))
    }

    /// Why rows that come together are refused; `None` when they fit. An empty queue has room for any one row, or a
    /// long one would never be answered.
    fn refuse(&self, bounds: &Bounds, came: Came) -> Option<Error> {
        if came.rows == 1 && self.waiting.is_empty() {
            return None;
        }
        let rows = (ROWS, came.rows, self.waiting.len(), bounds.rows_max);
        let work = (bounds.work_unit, came.work, self.work, bounds.work_max);
        let bounds = [rows, work].into_iter();
        let never = bounds.clone().find(|(_, asked, _, max)| came.rows > 1 && asked > max);
        if let Some((unit, asked, _, max)) = never {
            return Some(Error::TooLarge { unit, asked, max });
        }
        let mut not_now = bounds.filter(|(_, asked, waiting, max)| *asked > max.saturating_sub(*waiting));
        let (unit, asked, waiting, max) = not_now.next()?;
        let retry_after = self.rate.retry_after(self.work, self.alive);
        Some(Error::Full { unit, asked, waiting, max, retry_after })
    }

    /// The first rows that somebody waits for, `rows_max` of them with `work_max` together (a row of more comes alone),
    /// and those before them that nobody waits for.
    fn pop(&mut self, rows_max: usize, work_max: usize, now: Instant) -> Popped<R, A> {
        let mut popped = Popped { taken: Vec::new(), dropped: Vec::new(), over_budget: false };
        let mut room = work_max;
        while popped.taken.len() < rows_max {
            let (mut in_vain, first) = (None, popped.taken.is_empty());
            let next = self.waiting.pop_if(|next| {
                in_vain = next.ticket.in_vain(now);
                popped.over_budget = in_vain.is_none() && next.work > room && !first;
                !popped.over_budget
            });
            let Some(message) = next else { break };
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
        let dropped = self.waiting.take_in_vain(now);
        self.work = work_of(self.waiting.iter());
        dropped
    }
}

#[cfg(test)]
mod tests;
