//! A row that finds every worker asleep may be computed by its caller: waking a worker, and being woken by it, takes
//! longer than a short row, and a third as long as one that takes a few hundred microseconds.
//!
//! It must not be where many ask. Their requests are read on the same few threads, one after the other, and each would
//! find the workers asleep and be computed alone, at several times the cost of a row in a batch: on one core that
//! halved the requests/s of short texts. So it is only for the rows of the last two who asked, when they have been the
//! only ones for a while. A caller's thread has others to attend to, so a longer row is for the workers, unless one
//! alone asks. Such a row has the cores of the idle workers, and what helps with it is kept awake for the next one.

use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use super::Engine;
use super::message::Message;
use super::worker::{Broken, Seat, Worker};

/// Which rows callers compute themselves when every worker is asleep.
#[derive(Clone, Copy, Debug)]
pub struct LoneRows {
    /// Where no more than two ask: rows that are expected to take no longer.
    pub short_max: Duration,
    /// Where one alone asks: rows that are expected to take no longer.
    pub alone_max: Duration,
}

/// Rows in a row by which it is told that few ask.
const FEW_ROWS: u32 = 16;

/// How many have asked of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    /// Who asked last, and who did before, if it was somebody else.
    askers: [Option<usize>; 2],
    /// Rows in a row that were asked for by these two.
    few: u32,
    /// Rows in a row that were asked for by the last one and found nobody computing.
    alone: u32,
}

impl Streak {
    /// A row comes from this asker, and finds nobody computing, or somebody.
    pub(super) fn note(&mut self, asker: Option<usize>, quiet: bool) {
        let Some(asker) = asker else {
            *self = Self::default();
            return;
        };
        let [last, other] = self.askers;
        let again = last == Some(asker);
        let one_of_two = again || other.is_none_or(|other| other == asker);
        self.few = if one_of_two { self.few.saturating_add(1) } else { 0 };
        self.alone = if again && quiet { self.alone.saturating_add(1) } else { 0 };
        if !again {
            self.askers = [Some(asker), last];
        }
    }

    /// The longest that the row which came last may be expected to take and still be its caller's.
    pub(super) fn row_max(self, rows: LoneRows) -> Option<Duration> {
        match (self.alone >= FEW_ROWS, self.few >= FEW_ROWS) {
            (true, _) => Some(rows.alone_max),
            (false, true) => Some(rows.short_max),
            (false, false) => None,
        }
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
    pub(super) fn compute(self, message: Message<E::Row, E::Answer>) {
        self.call(|worker| worker.serve_one(message));
    }

    /// Lets go of other cores: workers have something to do.
    pub(super) fn stand_back(self) {
        self.call(Worker::stand_back);
    }

    /// Gives the engine up for good where that leaves it broken.
    fn call(mut self, call: impl FnOnce(&mut Worker<E>) -> Result<(), Broken>) {
        if self.worker.as_mut().is_some_and(|worker| call(worker).is_err()) {
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

    use super::super::asker::tests::asking_as;
    use super::super::tests::{self, HANGING, config, heard, outcome};
    use super::super::toy::{Countdown, Event, Fate, Row, Stage, answer, row};
    use super::super::{Batch, BatchLayer, Config, Error, ResponseFuture};
    use super::*;

    /// Sends a row, as one and the same asker.
    fn send(batch: &Batch<Countdown>, row: Row) -> ResponseFuture<u64> {
        asking_as(1, || tests::send(batch, row))
    }

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
        for _ in 0..FEW_ROWS {
            let first = send(&batch, Row { steps: 2, ..row(1) });
            assert_eq!(heard(&events), Event::Step(vec![1]));
            let second = send(&batch, Row { steps: 2, ..row(2) });
            stage.gate.allow(3);
            assert_eq!((outcome(first), outcome(second)), (Ok(answer(1)), Ok(answer(2))));
            assert_eq!((heard(&events), heard(&events)), (Event::Step(vec![1, 2]), Event::Step(vec![2])));
        }
        stage.gate.allow(1);
        let worker = stage.stepped.lock().unwrap()[0];
        // One that is awake would compute the next row in any case.
        while batch.idle() == 0 {
            thread::yield_now();
        }
        assert_eq!(outcome(send(&batch, row(3))), Ok(answer(3)));
        assert_eq!(stage.stepped.lock().unwrap().last(), Some(&worker), "nothing is known of rows alone");
    }

    /// Sends so many rows, each when the worker sleeps; which of them are computed on this thread.
    fn computed_here(
        batch: &Batch<Countdown>,
        stage: &Stage,
        askers: impl IntoIterator<Item = usize>,
    ) -> Vec<bool> {
        let computed = askers.into_iter().zip(0..).map(|(asker, id)| {
            asleep(batch);
            assert_eq!(outcome(asking_as(asker, || tests::send(batch, row(id)))), Ok(answer(id)));
            stage.stepped.lock().unwrap().last() == Some(&thread::current().id())
        });
        computed.collect()
    }

    fn asleep(batch: &Batch<Countdown>) {
        let started = Instant::now();
        while batch.idle() == 0 {
            assert!(started.elapsed() < HANGING, "a worker with nothing to do is idle");
            thread::yield_now();
        }
    }

    /// What is computed by callers, of rows that these ask for in turn: all from the first of them on; `None`: nothing.
    fn computed_from(short_max: Duration, askers: &[usize]) -> Option<usize> {
        let rows = LoneRows { short_max, alone_max: HANGING };
        let (batch, stage, _events) = staged_with(rows);
        stage.gate.allow(u32::MAX);
        let here = computed_here(&batch, &stage, askers.iter().copied().cycle().take(60));
        let first = here.iter().position(|here| *here);
        assert!(here.iter().skip(first.unwrap_or(60)).all(|here| *here), "{here:?}");
        first
    }

    #[test]
    fn short_rows_are_their_callers_where_two_ask_and_longer_ones_where_one_does() {
        let few = usize::try_from(FEW_ROWS).unwrap();
        assert_eq!(computed_from(HANGING, &[1]), Some(few - 1));
        assert_eq!(computed_from(HANGING, &[1, 2]), Some(few - 1));
        assert_eq!(computed_from(HANGING, &[1, 2, 3]), None);
        assert_eq!(computed_from(Duration::ZERO, &[1]), Some(few));
        assert_eq!(computed_from(Duration::ZERO, &[1, 2]), None);
    }

    #[test]
    fn who_asks_alone_has_the_idle_cores_until_somebody_else_asks() {
        let (batch, stage, _events) = staged_with(LoneRows { short_max: Duration::ZERO, alone_max: HANGING });
        stage.gate.allow(u32::MAX);
        let lent = || stage.lent.lock().unwrap().last().copied();
        for _ in 0..2 {
            let here = computed_here(&batch, &stage, [1; FEW_ROWS as usize + 2]);
            assert_eq!((here.last(), lent()), (Some(&true), Some(1)), "for the next row, too");
            assert_eq!(computed_here(&batch, &stage, [2]), [false]);
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
