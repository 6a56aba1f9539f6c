//! A short row that finds every worker asleep is computed by its caller: waking a worker, and being woken by it, may take
//! longer than the row.

use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use super::Engine;
use super::message::Message;
use super::worker::{Seat, Worker};

/// The engine of the callers, one at a time. Whoever finds it taken asks the workers.
pub(super) struct Lone<E: Engine> {
    /// Nothing any more once its engine could not be brought back to a sound state.
    worker: Mutex<Option<Worker<E>>>,
    /// A row that is expected to take longer is for the workers: its caller has others to attend to.
    took_max: Duration,
}

impl<E: Engine> Lone<E> {
    /// Nothing when an engine cannot be made: the workers answer then.
    pub(super) fn new(seat: Seat<E>, took_max: Duration) -> Option<Self> {
        Some(Self { worker: Mutex::new(Some(Worker::seated(seat)?)), took_max })
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
        worker.is_some().then_some(Seized { worker, took_max: self.took_max })
    }
}

/// The callers' engine in the hands of one of them.
pub(super) struct Seized<'a, E: Engine> {
    worker: MutexGuard<'a, Option<Worker<E>>>,
    /// As [`Lone::took_max`].
    pub(super) took_max: Duration,
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
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;
    use std::thread;
    use std::time::Instant;

    use tower::Layer as _;

    use super::super::tests::{HANGING, config, heard, outcome, send};
    use super::super::toy::{Countdown, Event, Fate, Row, Stage, answer, row};
    use super::super::{Batch, BatchLayer, Config, Error};
    use super::*;

    /// One worker, and callers that compute rows which take no longer than this.
    fn staged(took_max: Duration) -> (Batch<Countdown>, Stage, Receiver<Event>) {
        let (stage, events) = Stage::new();
        let engines = stage.clone();
        let config = Config { lone_row_max: Some(took_max), ..config("lone", 8) };
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
