//! A worker: one thread, one engine, and the loop between queue and engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::clocks::{StepClocks, StepSampler};
use super::message::{Done, Message, Ticket};
use super::queue::{Queue, Taken};
use super::tally::Admission;
use super::{Engine, Error, RowError};
use crate::limits::ENGINE_ROWS_MAX;
use crate::telemetry::metrics::DispatchReason;

/// Starts a worker on this seat; one that the system refuses counts as ended.
pub(super) fn spawn<E: Engine>(seat: Seat<E>) {
    let (name, index, queue) = (seat.name.clone(), seat.index, Arc::clone(&seat.queue));
    // The index comes first: the system cuts thread names at 15 bytes.
    let thread = thread::Builder::new().name(format!("{index} {}", name.replace('\0', "")));
    if let Err(error) = thread.spawn(move || seat.work()) {
        tracing::error!(model = name, worker = index, "no thread for a worker: {error}");
        queue.worker_ended();
    }
}

pub(super) type MakeEngine<E> = dyn Fn() -> E + Send + Sync;

/// What a worker is given.
pub(super) struct Seat<E: Engine> {
    pub(super) name: String,
    /// Which of the clocks is its own.
    pub(super) index: usize,
    pub(super) make_engine: Arc<MakeEngine<E>>,
    pub(super) queue: Arc<Queue<E::Row, E::Answer>>,
    pub(super) clocks: Arc<StepClocks>,
}

/// Says at the end of a worker, however it comes, that it ended.
struct Ended<R, A>(Arc<Queue<R, A>>);

impl<R, A> Drop for Ended<R, A> {
    fn drop(&mut self) {
        self.0.worker_ended();
    }
}

impl<E: Engine> Seat<E> {
    fn work(self) {
        let _ended = Ended(Arc::clone(&self.queue));
        if let Some(worker) = Worker::seated(self) {
            worker.run();
        }
    }

    /// An engine and its capacity, unless making one panics.
    fn make_engine(&self) -> Option<(E, usize)> {
        let made = catch_unwind(AssertUnwindSafe(|| {
            let engine = (self.make_engine)();
            let capacity = engine.capacity().clamp(1, ENGINE_ROWS_MAX);
            (engine, capacity)
        }));
        made.ok()
    }

    /// Calls the engine now; `None` when it panics. From outside, the time shows in [`StepClocks`].
    fn guarded<T>(&self, now: Instant, call: impl FnOnce() -> T) -> Option<T> {
        self.clocks.enter(self.index, now);
        let result = catch_unwind(AssertUnwindSafe(call));
        self.clocks.leave(self.index);
        result.ok()
    }
}

/// A row in an engine: kept until its answer is out, to be tried alone after a panic.
struct Held<E: Engine> {
    row: E::Row,
    work: usize,
    ticket: Ticket<E::Answer>,
    admitted: Instant,
    /// With which other rows.
    admission: Arc<Admission>,
}

/// An engine and the rows that it holds.
pub(super) struct Worker<E: Engine> {
    seat: Seat<E>,
    engine: E,
    slots: Vec<Option<Held<E>>>,
    held: usize,
    /// Idle workers that the engine knows of.
    lent: usize,
    /// What the engine pushes to, kept for its allocation.
    finished: Vec<(usize, Result<E::Answer, RowError>)>,
    /// Time in steps that finished no row yet.
    unreported: Duration,
    /// Whether rows have been in a step together since the engine was last empty.
    company: bool,
    /// The time, looked at after each step: some steps take little longer than looking.
    now: Instant,
    sampler: StepSampler,
}

/// The engine cannot be brought back to a sound state: the worker ends.
pub(super) struct Broken;

impl<E: Engine> Worker<E> {
    /// With an engine of its own, unless making one panics.
    pub(super) fn seated(seat: Seat<E>) -> Option<Self> {
        let Some((engine, capacity)) = seat.make_engine() else {
            tracing::error!(model = seat.name, worker = seat.index, "the worker has no engine and ends");
            return None;
        };
        let slots = (0..capacity).map(|_| None).collect();
        let (finished, unreported) = (Vec::new(), Duration::ZERO);
        let (now, sampler) = (Instant::now(), StepSampler::default());
        Some(Self {
            seat,
            engine,
            slots,
            held: 0,
            lent: 0,
            finished,
            unreported,
            company: false,
            now,
            sampler,
        })
    }

    /// Computes and answers one row, past the queue.
    pub(super) fn serve_one(&mut self, message: Message<E::Row, E::Answer>) -> Result<(), Broken> {
        self.seat.queue.meter.dispatched(1, DispatchReason::Idle);
        self.now = Instant::now();
        self.seat.queue.meter.waited(self.now.saturating_duration_since(message.ticket.enqueued));
        let served = self.admit_all(vec![message]).and_then(|()| self.finish());
        if served.is_err() {
            self.give_up();
        }
        served
    }

    /// Lets go of the idle workers' cores.
    pub(super) fn stand_back(&mut self) -> Result<(), Broken> {
        self.lend(0).inspect_err(|_| self.give_up())
    }

    /// Steps until no row is left, with the cores of the idle workers, which it keeps.
    fn finish(&mut self) -> Result<(), Broken> {
        while self.held > 0 {
            self.lend(self.seat.queue.idle())?;
            self.step()?;
            self.evict_in_vain()?;
        }
        Ok(())
    }

    fn run(mut self) {
        while let Ok(true) = self.advance() {}
        self.give_up();
    }

    /// Answers the rows that a broken engine leaves.
    fn give_up(&mut self) {
        for held in self.take_held() {
            held.ticket.answer(Err(Error::Panicked), &self.seat.queue.meter);
        }
    }

    /// Admit · step · answer. `false` when the queue is closed and everything answered.
    fn advance(&mut self) -> Result<bool, Broken> {
        self.evict_in_vain()?;
        let room = self.slots.len() - self.held;
        let idle = if room == 0 {
            self.seat.queue.idle()
        } else {
            match self.seat.queue.take(room, self.held, self.now) {
                Taken::Closed => return Ok(false),
                Taken::Rows { rows, idle, now } => {
                    self.now = now;
                    self.admit_all(rows)?;
                    idle
                }
            }
        };
        if self.held > 0 {
            // Several rows are worth less help than the others' cores: whoever else comes needs those at once.
            self.lend(if self.held == 1 { idle } else { 0 })?;
            self.step()?;
        }
        if self.held == 0 {
            self.lend(0)?;
        }
        Ok(true)
    }

    /// Frees the slots of rows that nobody waits for any more.
    fn evict_in_vain(&mut self) -> Result<(), Broken> {
        let now = self.now;
        for slot in 0..self.slots.len() {
            let reason =
                self.slots.get(slot).and_then(Option::as_ref).and_then(|held| held.ticket.in_vain(now));
            let Some(reason) = reason else { continue };
            if let Some(held) = self.free(slot) {
                held.ticket.give_up(reason, now, &self.seat.queue.meter);
            }
            if self.seat.guarded(now, || self.engine.evict(slot)).is_none() {
                self.recover()?;
            }
        }
        Ok(())
    }

    fn admit_all(&mut self, messages: Vec<Message<E::Row, E::Answer>>) -> Result<(), Broken> {
        if messages.is_empty() {
            return Ok(());
        }
        self.company &= self.held > 0;
        let admission = Admission::of(messages.len(), &self.seat.queue.tally);
        messages.into_iter().try_for_each(|message| self.admit(message, Arc::clone(&admission)))
    }

    fn admit(
        &mut self,
        Message { row, work, ticket }: Message<E::Row, E::Answer>,
        admission: Arc<Admission>,
    ) -> Result<(), Broken> {
        let Some(slot) = self.slots.iter().position(Option::is_none) else {
            // A worker takes no more rows than it has room for, and recovering only makes room.
            ticket.answer(Err(Error::Closed), &self.seat.queue.meter);
            return Ok(());
        };
        let held = Held::<E> { row, work, ticket, admitted: self.now, admission };
        let admitted = self.seat.guarded(self.now, || self.engine.admit(slot, held.row.clone()));
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(held);
            self.held += 1;
        }
        match admitted {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                self.answer(slot, Err(error));
                Ok(())
            }
            None => self.recover(),
        }
    }

    /// Tells the engine when it may use more cores or fewer.
    fn lend(&mut self, idle: usize) -> Result<(), Broken> {
        if idle == self.lent {
            return Ok(());
        }
        self.lent = idle;
        if self.seat.guarded(self.now, || self.engine.lend(idle)).is_none() { self.recover() } else { Ok(()) }
    }

    fn step(&mut self) -> Result<(), Broken> {
        let (rows, started) = (self.held, self.now);
        if self.seat.guarded(started, || self.engine.step(&mut self.finished)).is_none() {
            return self.recover();
        }
        self.now = Instant::now();
        let took = self.now.saturating_duration_since(started);
        self.unreported += took;
        self.company |= rows > 1;
        if self.sampler.takes(started) {
            self.seat.queue.meter.step(rows, took);
        }
        if !self.finished.is_empty() {
            let work = self.finished.iter().filter_map(|(slot, _)| self.slots.get(*slot)?.as_ref());
            let work = work.map(|held| held.work).sum();
            self.seat.queue.record(work, std::mem::take(&mut self.unreported), self.company);
        }
        let mut finished = std::mem::take(&mut self.finished);
        finished.drain(..).for_each(|(slot, result)| self.answer(slot, result));
        self.finished = finished;
        Ok(())
    }

    /// Takes the row out of its slot.
    fn free(&mut self, slot: usize) -> Option<Held<E>> {
        let held = self.slots.get_mut(slot)?.take()?;
        self.held -= 1;
        Some(held)
    }

    /// The row in `slot` is done with.
    fn answer(&mut self, slot: usize, result: Result<E::Answer, RowError>) {
        if let Some(held) = self.free(slot) {
            held.finish(result, self.now, &self.seat);
        } else {
            tracing::error!(model = self.seat.name, slot, "the engine finished a row that it does not hold");
        }
    }

    fn take_held(&mut self) -> Vec<Held<E>> {
        self.held = 0;
        self.slots.iter_mut().filter_map(Option::take).collect()
    }

    /// After a panic: which row it was is unknown, so each held row runs again, alone.
    fn recover(&mut self) -> Result<(), Broken> {
        tracing::error!(
            model = self.seat.name,
            rows = self.held,
            "the engine panicked: its rows run again, one by one"
        );
        self.reset()?;
        for held in self.take_held() {
            if !self.alone(held) {
                self.reset()?;
            }
        }
        Ok(())
    }

    /// Empties the engine, or makes a new one where that fails.
    fn reset(&mut self) -> Result<(), Broken> {
        self.finished.clear();
        self.lent = 0;
        if self.seat.guarded(self.now, || self.engine.reset()).is_some() {
            return Ok(());
        }
        let (engine, capacity) = self.seat.make_engine().ok_or(Broken)?;
        let worn_out = std::mem::replace(&mut self.engine, engine);
        let _dropped = self.seat.guarded(self.now, || drop(worn_out));
        // Rows that are held keep their slots: an engine's capacity is constant.
        if capacity == self.slots.len() { Ok(()) } else { Err(Broken) }
    }

    /// Runs one row with no company and answers it. `false` when the engine is to be reset after it.
    fn alone(&mut self, held: Held<E>) -> bool {
        self.now = Instant::now();
        match self.seat.guarded(self.now, || self.engine.admit(0, held.row.clone())) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                held.finish(Err(error), self.now, &self.seat);
                return true;
            }
            None => return held.panicked(&self.seat),
        }
        loop {
            if let Some(reason) = held.ticket.in_vain(self.now) {
                held.ticket.give_up(reason, self.now, &self.seat.queue.meter);
                return false;
            }
            if self.seat.guarded(self.now, || self.engine.step(&mut self.finished)).is_none() {
                return held.panicked(&self.seat);
            }
            self.now = Instant::now();
            if let Some((_, result)) = self.finished.drain(..).find(|(slot, _)| *slot == 0) {
                held.finish(result, self.now, &self.seat);
                return true;
            }
        }
    }
}

impl<E: Engine> Held<E> {
    fn finish(self, result: Result<E::Answer, RowError>, now: Instant, seat: &Seat<E>) {
        let queued = self.admitted.saturating_duration_since(self.ticket.enqueued);
        let computed = now.saturating_duration_since(self.admitted);
        let reply = result.map(|answer| Done { answer, queued, computed }).map_err(Error::Row);
        // Counted before it is answered: whoever has the answer finds it in the counts.
        if reply.is_ok() {
            seat.queue.tally.answered();
        }
        drop(self.admission);
        self.ticket.answer(reply, &seat.queue.meter);
    }

    /// The engine panicked on this row alone; always `false`, for the engine is to be reset.
    fn panicked(self, seat: &Seat<E>) -> bool {
        tracing::error!(
            model = seat.name,
            "the engine panicked on a row alone: the row is answered with an error"
        );
        self.ticket.answer(Err(Error::Panicked), &seat.queue.meter);
        false
    }
}
