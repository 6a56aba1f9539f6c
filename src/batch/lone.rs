//! A row that finds every worker asleep may be computed by its caller: waking a worker, and being woken by it, takes
//! longer than a short row, and a third as long as one that takes a few hundred microseconds.
//!
//! A caller's thread has other callers to attend to, so a longer row is for the workers, unless one task alone has
//! asked for a while, one row at a time: then there is nobody else. Such a row has the cores of the idle workers, and
//! what helps with it is kept awake for the next one.

use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use tokio::task;

use super::Engine;
use super::message::Message;
use super::worker::{Seat, Worker};

/// Which rows callers compute themselves when every worker is asleep.
#[derive(Clone, Copy, Debug)]
pub struct LoneRows {
    /// Rows that are expected to take no longer.
    pub short_max: Duration,
    /// Rows that are expected to take no longer, of a task that alone has asked for a while.
    pub alone_max: Duration,
}

/// Rows of one task, one after the other with no other's between, before the task counts as alone.
const ALONE_ROWS: u32 = 16;

/// Whether one task asks for rows again and again, one at a time, and nobody else. HTTP/1.1 has a task a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    task: Option<task::Id>,
    rows: u32,
}

impl Streak {
    /// A row comes from this task, or from none, and finds nobody computing, or somebody.
    pub(super) fn note(&mut self, task: Option<task::Id>, quiet: bool) {
        let goes_on = quiet && self.task.is_some() && self.task == task;
        *self = Self { task, rows: if goes_on { self.rows.saturating_add(1) } else { 0 } };
    }

    /// The longest that the row which came last may be expected to take and still be its caller's.
    pub(super) fn row_max(self, rows: LoneRows) -> Duration {
        if self.rows >= ALONE_ROWS { rows.alone_max } else { rows.short_max }
    }
}

/// The engine of the callers, one at a time. Whoever finds it taken asks the workers.
pub(super) struct Lone<E: Engine> {
    /// Nothing any more once its engine could not be brought back to a sound state.
    worker: Mutex<Option<Worker<E>>>,
    rows: LoneRows,
}

impl<E: Engine> Lone<E> {
    /// Nothing when an engine cannot be made: the workers answer then.
    pub(super) fn new(seat: Seat<E>, rows: LoneRows) -> Option<Self> {
        Some(Self { worker: Mutex::new(Some(Worker::seated(seat)?)), rows })
    }

    /// The engine, if it is free.
    pub(super) fn seize(&self) -> Option<Seized<'_, E>> {
        let worker = match self.worker.try_lock() {
            Ok(worker) => worker,
            // Panics are caught within; where one was not, the engine is not trusted any more.
            Err(TryLockError::Poisoned(poisoned)) => {
                *poisoned.into_inner() = None;
                return None;
            }
            Err(TryLockError::WouldBlock) => return None,
        };
        worker.is_some().then_some(Seized { worker, rows: self.rows })
    }
}

/// The callers' engine in the hands of one of them.
pub(super) struct Seized<'a, E: Engine> {
    worker: MutexGuard<'a, Option<Worker<E>>>,
    /// As [`Lone::rows`].
    pub(super) rows: LoneRows,
}

impl<E: Engine> Seized<'_, E> {
    /// Computes and answers a row on this thread.
    pub(super) fn compute(mut self, message: Message<E::Row, E::Answer>) {
        if let Some(worker) = &mut *self.worker
            && worker.serve_one(message).is_err()
        {
            *self.worker = None;
        }
    }

    /// Lets go of other cores: workers have something to do.
    pub(super) fn stand_back(mut self) {
        if let Some(worker) = &mut *self.worker
            && worker.stand_back().is_err()
        {
            *self.worker = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;
    use std::thread;
    use std::time::Instant;

    use tower::Layer as _;

    use super::super::tests::{HANGING, config, heard, outcome, run, send};
    use super::super::toy::{Countdown, Event, Fate, Row, Stage, answer, row};
    use super::super::{Batch, BatchLayer, Config, Error};
    use super::*;

    /// One worker, and callers that compute rows which take no longer than this.
    fn staged(short_max: Duration) -> (Batch<Countdown>, Stage, Receiver<Event>) {
        staged_with(LoneRows { short_max, alone_max: short_max })
    }

    fn staged_with(rows: LoneRows) -> (Batch<Countdown>, Stage, Receiver<Event>) {
        let (stage, events) = Stage::new();
        let engines = stage.clone();
        let config = Config { lone_rows: Some(rows), ..config("lone", 8) };
        (BatchLayer::new(config).layer(move || engines.engine(4)), stage, events)
    }

    /// Sends rows until one is computed on this thread: the rate is known from then on, and the worker sleeps.
    fn settle(batch: &Batch<Countdown>, stage: &Stage, events: &Receiver<Event>) {
        let started = Instant::now();
        while stage.stepped.lock().unwrap().last() != Some(&thread::current().id()) {
            assert!(started.elapsed() < HANGING, "no caller ever computes");
            stage.gate.allow(1);
            assert_eq!(outcome(send(batch, row(0))), Ok(answer(0)));
            heard(events);
        }
    }

    #[test]
    fn a_short_row_on_an_idle_server_never_leaves_its_callers_thread() {
        let (batch, stage, events) = staged(HANGING);
        settle(&batch, &stage, &events);
        stage.gate.allow(3);
        let rows_before = batch.executions().rows;
        assert_eq!(outcome(send(&batch, Row { steps: 3, ..row(1) })), Ok(answer(1)));
        let stepped = stage.stepped.lock().unwrap();
        assert!(stepped.iter().rev().take(3).all(|thread| *thread == thread::current().id()));
        assert_eq!(batch.executions().rows, rows_before + 1, "it is counted like any other");
    }

    #[test]
    fn a_row_that_is_expected_to_take_longer_goes_to_a_worker() {
        let (batch, stage, _events) = staged(Duration::ZERO);
        stage.gate.allow(50);
        for id in 0..50 {
            assert_eq!(outcome(send(&batch, row(id))), Ok(answer(id)));
        }
        assert!(!stage.stepped.lock().unwrap().contains(&thread::current().id()));
    }

    #[test]
    fn what_rows_take_in_company_says_nothing_of_a_row_alone() {
        let (batch, stage, events) = staged(HANGING);
        let first = send(&batch, Row { steps: 2, ..row(1) });
        assert_eq!(heard(&events), Event::Step(vec![1]));
        let second = send(&batch, Row { steps: 2, ..row(2) });
        stage.gate.allow(u32::MAX);
        assert_eq!((outcome(first), outcome(second)), (Ok(answer(1)), Ok(answer(2))));
        let worker = stage.stepped.lock().unwrap()[0];
        // One that is awake would compute the next row in any case.
        while batch.idle() == 0 {
            thread::yield_now();
        }
        assert_eq!(outcome(send(&batch, row(3))), Ok(answer(3)));
        assert_eq!(stage.stepped.lock().unwrap().last(), Some(&worker), "nothing is known of rows alone");
    }

    /// Sends so many rows from one task, each when the worker sleeps; which of them are computed on its thread.
    fn computed_by_task(batch: &Batch<Countdown>, stage: &Stage, rows: u32) -> Vec<bool> {
        let (batch, stage) = (batch.clone(), stage.clone());
        run(async move {
            let task = tokio::spawn(async move {
                let mut here = Vec::new();
                for id in 0..rows {
                    asleep(&batch);
                    assert_eq!(send(&batch, row(id)).await.map(|done| done.answer), Ok(answer(id)));
                    here.push(stage.stepped.lock().unwrap().last() == Some(&thread::current().id()));
                }
                here
            });
            task.await.unwrap()
        })
    }

    fn asleep(batch: &Batch<Countdown>) {
        let started = Instant::now();
        while batch.idle() == 0 {
            assert!(started.elapsed() < HANGING, "a worker with nothing to do is idle");
            thread::yield_now();
        }
    }

    #[test]
    fn a_longer_row_is_its_callers_when_one_task_alone_has_asked_for_a_while() {
        let rows = LoneRows { short_max: Duration::ZERO, alone_max: HANGING };
        let (batch, stage, _events) = staged_with(rows);
        stage.gate.allow(u32::MAX);
        let lent = || stage.lent.lock().unwrap().last().copied();
        for _ in 0..2 {
            let here = computed_by_task(&batch, &stage, ALONE_ROWS + 2);
            let first = usize::try_from(ALONE_ROWS).unwrap();
            assert!(here.iter().enumerate().all(|(row, here)| *here == (row >= first)), "{here:?}");
            assert_eq!(lent(), Some(1), "with the core of the idle worker, for the next row too");
            // A row of another task is for the worker, which needs its core.
            asleep(&batch);
            assert_eq!(computed_by_task(&batch, &stage, 1), [false]);
            assert_eq!(lent(), Some(0));
        }
    }

    #[test]
    fn while_a_caller_computes_others_ask_the_workers() {
        let (batch, stage, events) = staged(HANGING);
        settle(&batch, &stage, &events);
        thread::scope(|scope| {
            let caller = scope.spawn(|| outcome(send(&batch, row(1))));
            assert_eq!(heard(&events), Event::Step(vec![1]));
            let other = send(&batch, row(2));
            assert_eq!(heard(&events), Event::Step(vec![2]), "it does not wait for the caller");
            stage.gate.allow(2);
            assert_eq!((outcome(other), caller.join().unwrap()), (Ok(answer(2)), Ok(answer(1))));
        });
    }

    #[test]
    fn a_panic_on_a_callers_thread_is_its_rows_error_and_nothing_else() {
        let (batch, stage, events) = staged(HANGING);
        settle(&batch, &stage, &events);
        stage.gate.allow(u32::MAX);
        for fate in [Fate::PanicInStep, Fate::PanicAtAdmission] {
            assert_eq!(outcome(send(&batch, Row { fate, ..row(1) })), Err(Error::Panicked));
            assert_eq!(outcome(send(&batch, row(2))), Ok(answer(2)));
        }
    }
}
