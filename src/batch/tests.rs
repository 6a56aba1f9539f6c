//! The promises of the batching layer, on toy engines.

mod several;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tower::{Layer as _, Service as _};

use super::toy::{Countdown, Event, Fate, Row, Stage, answer, row};
use super::{Batch, BatchLayer, Config, Error, Job, Priority, ResponseFuture};

/// Nothing here takes long; what does hangs, and the test says so.
pub(super) const HANGING: Duration = Duration::from_mins(1);

/// One worker, rows alone bounded.
pub(super) fn config(name: &str, queue_rows_max: usize) -> Config {
    Config {
        name: name.into(),
        queue_rows_max,
        queue_work_max: usize::MAX,
        step_work_max: None,
        work_unit: "tokens",
        workers: 1,
        lone_rows: None,
    }
}

fn batch(
    workers: usize,
    queue_rows_max: usize,
    make: impl Fn() -> Countdown + Send + Sync + 'static,
) -> Batch<Countdown> {
    BatchLayer::new(Config { workers, ..config("toy", queue_rows_max) }).layer(make)
}

/// One worker on a stage.
fn staged(capacity: usize, queue_rows_max: usize) -> (Batch<Countdown>, Stage, Receiver<Event>) {
    let (stage, events) = Stage::new();
    let engines = stage.clone();
    (batch(1, queue_rows_max, move || engines.engine(capacity)), stage, events)
}

pub(super) fn send(batch: &Batch<Countdown>, row: Row) -> ResponseFuture<u64> {
    batch.clone().call(job(row, None))
}

fn job(row: Row, deadline: Option<Instant>) -> Job<Row> {
    Job { row, work: 1, deadline, priority: Priority::default() }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(HANGING, future).await.expect("it hangs") })
}

pub(super) fn outcome(future: ResponseFuture<u64>) -> Result<u64, Error> {
    run(future).map(|done| done.answer)
}

pub(super) fn heard(events: &Receiver<Event>) -> Event {
    events.recv_timeout(HANGING).expect("the engine is not called")
}

#[test]
fn a_batch_is_decided_when_a_worker_is_free() {
    let (batch, stage, events) = staged(8, 16);
    let first = send(&batch, row(0));
    assert_eq!(heard(&events), Event::Step(vec![0]));
    let later: Vec<_> = (1..4).map(|id| send(&batch, row(id))).collect();
    stage.gate.allow(2);
    assert_eq!(heard(&events), Event::Step(vec![1, 2, 3]));
    assert_eq!(outcome(first), Ok(answer(0)));
    for (future, id) in later.into_iter().zip(1..) {
        assert_eq!(outcome(future), Ok(answer(id)));
    }
}

#[test]
fn a_row_joins_an_engine_between_two_steps_and_leaves_it_when_it_is_done() {
    let (batch, stage, events) = staged(2, 16);
    let long = send(&batch, Row { steps: 3, ..row(1) });
    assert_eq!(heard(&events), Event::Step(vec![1]));
    let short = send(&batch, row(2));
    stage.gate.allow(1);
    assert_eq!(heard(&events), Event::Step(vec![1, 2]));
    stage.gate.allow(1);
    assert_eq!(outcome(short), Ok(answer(2)));
    assert_eq!(heard(&events), Event::Step(vec![1]));
    stage.gate.allow(1);
    assert_eq!(outcome(long), Ok(answer(1)));
}

#[test]
fn no_row_waits_while_a_worker_is_idle() {
    let (stage, events) = Stage::new();
    let engines = stage.clone();
    let batch = batch(3, 16, move || engines.engine(8));
    let futures: Vec<_> = (0..3)
        .map(|id| {
            let future = send(&batch, Row { steps: 2, ..row(id) });
            // Its step begins although the workers before are held back in theirs, with room left.
            assert_eq!(heard(&events), Event::Step(vec![id]));
            future
        })
        .collect();
    stage.gate.allow(6);
    for (future, id) in futures.into_iter().zip(0..) {
        assert_eq!(outcome(future), Ok(answer(id)));
    }
}

#[test]
fn a_lone_row_is_lent_the_idle_cores_until_another_row_needs_them() {
    let (stage, events) = Stage::new();
    let engines = stage.clone();
    let batch = batch(2, 16, move || engines.engine(8));
    let lent = || stage.lent.lock().unwrap().clone();
    let started = Instant::now();
    // The second worker may still be on its way to its first sleep: until then there is nothing to lend.
    let (alone, before) = loop {
        let future = send(&batch, Row { steps: 2, ..row(0) });
        assert_eq!(heard(&events), Event::Step(vec![0]));
        let lent = lent();
        if lent.last() == Some(&1) {
            break (future, lent);
        }
        assert!(started.elapsed() < HANGING, "nothing is ever lent");
        stage.gate.allow(2);
        assert_eq!(heard(&events), Event::Step(vec![0]));
        assert_eq!(outcome(future), Ok(answer(0)));
    };
    let other = send(&batch, Row { steps: 2, ..row(1) });
    assert_eq!(heard(&events), Event::Step(vec![1]));
    assert_eq!(lent(), before, "the other worker has nobody to borrow from");
    stage.gate.allow(4);
    assert_eq!((outcome(alone), outcome(other)), (Ok(answer(0)), Ok(answer(1))));
    batch.join();
    assert_eq!(lent().get(before.len()), Some(&0));
    assert_eq!(lent().last(), Some(&0), "a worker with nothing to do borrows nothing");
}

/// Notes the threads that it is called on.
#[derive(Default)]
struct Woken(std::sync::Mutex<Vec<std::thread::ThreadId>>, std::sync::Condvar);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().push(std::thread::current().id());
        self.1.notify_all();
    }
}

#[test]
fn a_row_crosses_to_a_worker_and_back_and_meets_no_other_thread() {
    let (batch, stage, events) = staged(4, 8);
    let mut future = std::pin::pin!(send(&batch, row(0)));
    let woken = Arc::new(Woken::default());
    let waker = std::task::Waker::from(Arc::clone(&woken));
    let mut context = std::task::Context::from_waker(&waker);
    heard(&events);
    assert!(future.as_mut().poll(&mut context).is_pending());
    stage.gate.allow(1);
    let threads = woken.1.wait_while(woken.0.lock().unwrap(), |threads| threads.is_empty()).unwrap().clone();
    // Whoever computed it wakes its caller: there is no dispatcher and no collector between them.
    let worker = stage.stepped.lock().unwrap().clone();
    assert_eq!((threads.len(), &threads), (1, &worker), "one wake, from the one thread that stepped");
    assert_ne!(threads[0], std::thread::current().id());
    // It is there at the first look, on the caller's own thread.
    assert!(
        matches!(future.as_mut().poll(&mut context), std::task::Poll::Ready(Ok(done)) if done.answer == answer(0))
    );
}

#[test]
fn a_full_queue_is_an_answer_that_says_when_to_come_back() {
    let (batch, stage, events) = staged(1, 2);
    let held = send(&batch, row(0));
    heard(&events);
    let waiting = [send(&batch, row(1)), send(&batch, row(2))];
    assert_eq!(batch.queued(), 2);
    let refused = outcome(send(&batch, row(3))).unwrap_err();
    let Error::Full { unit: "rows", asked: 1, waiting: 2, max: 2, retry_after } = refused else {
        panic!("{refused}")
    };
    assert!((Duration::from_millis(1)..=Duration::from_secs(30)).contains(&retry_after));
    stage.gate.allow(3);
    assert_eq!(outcome(held), Ok(answer(0)));
    for (future, id) in waiting.into_iter().zip(1..) {
        assert_eq!(outcome(future), Ok(answer(id)));
    }
}

#[test]
fn a_row_whose_caller_is_gone_is_never_computed_and_frees_its_place() {
    let (batch, stage, events) = staged(4, 2);
    let held = send(&batch, row(0));
    heard(&events);
    let (cancelled, kept) = (send(&batch, row(1)), send(&batch, row(2)));
    drop(cancelled);
    let in_its_place = send(&batch, row(3));
    stage.gate.allow(2);
    assert_eq!(heard(&events), Event::Step(vec![2, 3]));
    assert_eq!(outcome(held), Ok(answer(0)));
    assert_eq!(outcome(kept), Ok(answer(2)));
    assert_eq!(outcome(in_its_place), Ok(answer(3)));
}

#[test]
fn a_row_whose_caller_went_away_leaves_its_engine_at_the_next_step() {
    let (batch, stage, events) = staged(2, 4);
    let gone = send(&batch, Row { steps: 1000, ..row(1) });
    heard(&events);
    let stays = send(&batch, row(2));
    drop(gone);
    stage.gate.allow(2);
    assert_eq!(heard(&events), Event::Evicted(1));
    assert_eq!(heard(&events), Event::Step(vec![2]));
    assert_eq!(outcome(stays), Ok(answer(2)));
}

#[test]
fn a_deadline_holds_in_the_queue_and_in_the_engine() {
    let (batch, stage, events) = staged(1, 4);
    let soon = || Some(Instant::now() + Duration::from_millis(250));
    let computing = batch.clone().call(job(Row { steps: 1000, ..row(0) }, soon()));
    heard(&events);
    let queued = batch.clone().call(job(row(1), soon()));
    let past = batch.clone().call(job(row(2), Some(Instant::now())));
    let patient = send(&batch, row(3));
    // The engine is held back all the while: the answers come from the clock alone.
    for future in [past, queued, computing] {
        assert!(matches!(outcome(future), Err(Error::Expired { .. })));
    }
    stage.gate.allow(2);
    assert_eq!(heard(&events), Event::Evicted(0));
    assert_eq!(heard(&events), Event::Step(vec![3]));
    assert_eq!(outcome(patient), Ok(answer(3)));
}

#[test]
fn a_panic_is_answered_to_its_own_row_alone() {
    for fate in [Fate::PanicInStep, Fate::PanicAtAdmission] {
        let (batch, stage, events) = staged(4, 8);
        let first = send(&batch, Row { steps: 2, ..row(0) });
        heard(&events);
        let rows = [row(1), Row { fate, ..row(2) }, Row { fate: Fate::Fail, ..row(3) }];
        let futures = rows.map(|row| send(&batch, row));
        stage.gate.allow(1000);
        assert_eq!(outcome(first), Ok(answer(0)));
        let [well, panics, fails] = futures.map(outcome);
        assert_eq!((well, panics), (Ok(answer(1)), Err(Error::Panicked)));
        assert!(matches!(fails, Err(Error::Row(error)) if error.reason == "failed 3"));
        assert_eq!(outcome(send(&batch, row(4))), Ok(answer(4)));
    }
}

#[test]
fn an_engine_that_cannot_be_reset_is_made_anew() {
    let made = AtomicUsize::new(0);
    let batch = batch(1, 8, move || {
        let mut engine = Countdown::free(4);
        engine.reset_panics = made.fetch_add(1, Ordering::Relaxed) == 0;
        engine
    });
    assert_eq!(outcome(send(&batch, Row { fate: Fate::PanicInStep, ..row(1) })), Err(Error::Panicked));
    assert_eq!(outcome(send(&batch, row(2))), Ok(answer(2)));
}

#[test]
fn without_a_single_engine_rows_are_answered_closed_and_never_hang() {
    let batch = batch(3, 8, || panic!("no engine"));
    for id in 0..3 {
        assert_eq!(outcome(send(&batch, row(id))), Err(Error::Closed));
    }
    batch.join();
    assert_eq!(outcome(send(&batch, row(3))), Err(Error::Closed));
    assert_eq!(batch.queued(), 0);
}

#[test]
fn one_worker_without_an_engine_leaves_the_work_to_the_others() {
    let made = AtomicUsize::new(0);
    let batch = batch(2, 8, move || {
        assert!(made.fetch_add(1, Ordering::Relaxed) > 0, "no engine for the first");
        Countdown::free(1)
    });
    for id in 0..8 {
        assert_eq!(outcome(send(&batch, row(id))), Ok(answer(id)));
    }
}

#[test]
fn dropping_the_last_clone_answers_what_waits_and_ends_the_workers() {
    let (stage, events) = Stage::new();
    let engines = stage.clone();
    let batch = batch(1, 8, move || engines.engine(1));
    drop(stage.clone());
    let futures: Vec<_> = (0..4).map(|id| send(&batch, row(id))).collect();
    heard(&events);
    drop(batch);
    stage.gate.allow(4);
    for (future, id) in futures.into_iter().zip(0..) {
        assert_eq!(outcome(future), Ok(answer(id)));
    }
    drop(stage);
    // The engine, its thread and the factory are gone when nobody is left to tell of events.
    while events.recv_timeout(HANGING).is_ok() {}
    assert_eq!(events.recv(), Err(std::sync::mpsc::RecvError));
}

#[test]
fn a_closed_layer_answers_what_it_holds_and_refuses_what_comes() {
    let (batch, stage, events) = staged(1, 8);
    let (held, waiting) = (send(&batch, row(0)), send(&batch, row(1)));
    heard(&events);
    batch.close();
    assert_eq!(outcome(send(&batch, row(2))), Err(Error::Closed));
    stage.gate.allow(2);
    batch.join();
    assert_eq!((outcome(held), outcome(waiting)), (Ok(answer(0)), Ok(answer(1))));
}

#[test]
fn a_step_that_takes_long_shows_while_it_lasts() {
    let (batch, stage, events) = staged(1, 8);
    assert_eq!(batch.longest_step(), Duration::ZERO);
    let future = send(&batch, row(0));
    heard(&events);
    let first = batch.longest_step();
    assert!(first > Duration::ZERO && batch.longest_step() > first);
    stage.gate.allow(1);
    assert_eq!(outcome(future), Ok(answer(0)));
    batch.join();
    assert_eq!(batch.longest_step(), Duration::ZERO);
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Answer),
        1 => Just(Fate::Fail),
        1 => Just(Fate::RefuseAdmission),
        1 => Just(Fate::PanicAtAdmission),
        1 => Just(Fate::PanicInStep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever its neighbours do, and however many there are, a row gets its own answer.
    #[test]
    fn every_row_gets_its_own_answer(
        capacity in 1_usize..=64,
        workers in 1_usize..=4,
        rows in proptest::collection::vec((fates(), 1_u32..5, 0_u8..6), 1..120),
    ) {
        let batch = batch(workers, 200, move || Countdown::free(capacity));
        run(async {
            let mut waiting = Vec::new();
            for ((fate, steps, arrival), id) in rows.into_iter().zip(0..) {
                let future = send(&batch, Row { id, steps, fate });
                match arrival {
                    0 => drop(future),
                    // Some wait for their answer before the next row arrives.
                    1 => check(id, fate, future.await.map(|done| done.answer)),
                    _ => waiting.push((id, fate, future)),
                }
            }
            for (id, fate, future) in waiting {
                check(id, fate, future.await.map(|done| done.answer));
            }
        });
        batch.join();
    }
}

fn check(id: u32, fate: Fate, found: Result<u64, Error>) {
    match (fate, found) {
        (Fate::Answer, Ok(found)) => assert_eq!(found, answer(id)),
        (Fate::Fail, Err(Error::Row(error))) => assert_eq!(error.reason, format!("failed {id}")),
        (Fate::RefuseAdmission, Err(Error::Row(error))) => assert_eq!(error.reason, format!("refused {id}")),
        (Fate::PanicAtAdmission | Fate::PanicInStep, Err(Error::Panicked)) => {}
        (fate, found) => panic!("row {id} with {fate:?} got {found:?}"),
    }
}
