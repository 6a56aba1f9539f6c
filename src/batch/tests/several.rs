//! Rows that come together: admitted as one, refused as one, answered each by itself.

use std::collections::BTreeMap;

use super::super::{Jobs, ResponsesFuture};
use super::*;

fn jobs(rows: impl IntoIterator<Item = Row>, deadline: Option<Instant>) -> Jobs<Row> {
    let rows = rows.into_iter().map(|row| (row, 1)).collect();
    Jobs { rows, deadline, priority: Priority::default() }
}

fn send_all(batch: &Batch<Countdown>, rows: impl IntoIterator<Item = Row>) -> ResponsesFuture<u64> {
    batch.clone().call(jobs(rows, None))
}

/// Each row's answer, of rows that were not refused.
fn outcomes(future: ResponsesFuture<u64>) -> Vec<Result<u64, Error>> {
    run(future).unwrap().into_iter().map(|reply| reply.map(|done| done.answer)).collect()
}

fn answers(ids: impl IntoIterator<Item = u32>) -> Vec<Result<u64, Error>> {
    ids.into_iter().map(|id| Ok(answer(id))).collect()
}

/// How many executions there were of each size.
fn executions(batch: &Batch<Countdown>) -> BTreeMap<usize, u64> {
    batch.executions().by_rows.into_iter().map(|(rows, execution)| (rows, execution.count)).collect()
}

#[test]
fn rows_that_come_together_are_one_execution_as_far_as_there_is_room() {
    for (rows, expected) in [(1, vec![(1, 1)]), (16, vec![(16, 1)]), (37, vec![(5, 1), (16, 2)])] {
        // Whether the worker sleeps by now or is on its way to the queue, it finds all or none.
        let batch = batch(1, 64, || Countdown::free(16));
        assert_eq!(outcomes(send_all(&batch, (0..rows).map(row))), answers(0..rows));
        assert_eq!(executions(&batch), expected.into_iter().collect(), "{rows} rows");
        assert_eq!(batch.executions().rows, u64::from(rows));
    }
    let batch = batch(1, 64, || Countdown::free(16));
    assert_eq!(outcomes(send_all(&batch, [])), []);
}

#[test]
fn idle_workers_share_rows_that_come_together_in_equal_parts() {
    let (stage, events) = Stage::new();
    let engines = stage.clone();
    let batch = batch(3, 64, move || engines.engine(32));
    let started = Instant::now();
    while batch.idle() < 3 {
        assert!(started.elapsed() < HANGING, "workers with nothing to do are idle");
        std::thread::yield_now();
    }
    let future = send_all(&batch, (0..12).map(row));
    let mut parts: Vec<Vec<u32>> = (0..3)
        .map(|_| {
            let Event::Step(rows) = heard(&events) else { panic!("a step") };
            rows
        })
        .collect();
    parts.sort();
    assert_eq!(parts, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9, 10, 11]]);
    stage.gate.allow(3);
    assert_eq!(outcomes(future), answers(0..12));
    assert_eq!(executions(&batch), BTreeMap::from([(4, 3)]));
}

#[test]
fn rows_that_do_not_fit_together_are_refused_together() {
    let (batch, stage, events) = staged(8, 4);
    let held = send(&batch, row(0));
    heard(&events);
    let waiting = send_all(&batch, [row(1), row(2)]);
    let refused = run(send_all(&batch, (3..6).map(row))).unwrap_err();
    let Error::Full { unit: "rows", asked: 3, waiting: 2, max: 4, .. } = refused else { panic!("{refused}") };
    let never = run(send_all(&batch, (3..8).map(row))).unwrap_err();
    assert_eq!(never, Error::TooLarge { unit: "rows", asked: 5, max: 4 });
    assert_eq!(batch.queued(), 2, "of those refused none is there");
    let fits = send_all(&batch, [row(8), row(9)]);
    stage.gate.allow(2);
    assert_eq!(heard(&events), Event::Step(vec![1, 2, 8, 9]));
    assert_eq!(outcome(held), Ok(answer(0)));
    assert_eq!((outcomes(waiting), outcomes(fits)), (answers(1..3), answers(8..10)));
    batch.join();
    assert_eq!(run(send_all(&batch, [row(10)])).unwrap_err(), Error::Closed);
}

#[test]
fn rows_whose_caller_is_gone_leave_queue_and_engine_together() {
    let (batch, stage, events) = staged(2, 8);
    let gone = send_all(&batch, (0..4).map(|id| Row { steps: 1000, ..row(id) }));
    assert_eq!(heard(&events), Event::Step(vec![0, 1]));
    let stays = send_all(&batch, [row(4), row(5)]);
    drop(gone);
    stage.gate.allow(2);
    assert_eq!([heard(&events), heard(&events)], [Event::Evicted(0), Event::Evicted(1)]);
    assert_eq!(heard(&events), Event::Step(vec![4, 5]));
    assert_eq!(outcomes(stays), answers(4..6));
}

#[test]
fn at_the_deadline_those_that_were_answered_keep_their_answers() {
    let (batch, stage, events) = staged(3, 8);
    let deadline = Instant::now() + Duration::from_secs(1);
    let rows = [row(0), Row { steps: 1000, ..row(1) }, row(2), row(3)];
    let future = batch.clone().call(jobs(rows, Some(deadline)));
    assert_eq!(heard(&events), Event::Step(vec![0, 1, 2]));
    stage.gate.allow(1);
    assert_eq!(heard(&events), Event::Step(vec![3, 1]));
    // The engine is held back from here on: the clock alone answers for the others.
    let found = outcomes(future);
    let [Ok(first), Err(Error::Expired { .. }), Ok(third), Err(Error::Expired { .. })] = found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((first, third), (answer(0), answer(2)));
    let late = run(batch.clone().call(jobs([row(4), row(5)], Some(Instant::now()))));
    assert!(matches!(late, Err(Error::Expired { waited: Duration::ZERO })), "{late:?}");
    stage.gate.allow(1);
    assert_eq!([heard(&events)], [Event::Evicted(1)]);
}

#[test]
fn rows_answered_in_one_step_wake_their_caller_once() {
    let (batch, stage, events) = staged(8, 8);
    let mut future = std::pin::pin!(send_all(&batch, (0..8).map(row)));
    let woken = Arc::new(Woken::default());
    let waker = std::task::Waker::from(Arc::clone(&woken));
    let mut context = std::task::Context::from_waker(&waker);
    heard(&events);
    assert!(future.as_mut().poll(&mut context).is_pending());
    stage.gate.allow(1);
    let count = woken.1.wait_while(woken.0.lock().unwrap(), |threads| threads.is_empty()).unwrap().len();
    assert!(future.as_mut().poll(&mut context).is_ready(), "the last row was answered last");
    assert_eq!((count, woken.0.lock().unwrap().len()), (1, 1));
}

/// Rows of one caller, and whether it stays for the answers.
fn callers() -> impl Strategy<Value = Vec<(Vec<(Fate, u32)>, bool)>> {
    let rows = proptest::collection::vec((fates(), 1_u32..5), 0..20);
    proptest::collection::vec((rows, proptest::bool::weighted(0.8)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the rows beside it do, those that came with it and those that did not.
    #[test]
    fn every_row_of_many_gets_its_own_answer(
        capacity in 1_usize..=32,
        workers in 1_usize..=3,
        callers in callers(),
    ) {
        let batch = batch(workers, 240, move || Countdown::free(capacity));
        let mut ids = 0..;
        let mut waiting = Vec::new();
        for (rows, stays) in callers {
            let rows: Vec<Row> =
                rows.into_iter().zip(&mut ids).map(|((fate, steps), id)| Row { id, steps, fate }).collect();
            let future = send_all(&batch, rows.clone());
            if stays {
                waiting.push((rows, future));
            }
        }
        for (rows, future) in waiting {
            let found = outcomes(future);
            prop_assert_eq!(found.len(), rows.len());
            for (row, found) in rows.into_iter().zip(found) {
                check(row.id, row.fate, found);
            }
        }
        batch.join();
    }
}
