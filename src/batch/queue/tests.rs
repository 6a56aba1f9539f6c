//! The queue without workers: what is taken and why, what is refused and until when.

mod order;

use tokio::sync::oneshot;

use super::super::message::{Reply, Ticket};
use super::*;
use crate::telemetry::metrics::install_metrics;

type Waiting = oneshot::Receiver<Reply<()>>;

/// A queue named for its series of metrics, with rows of such work in it.
fn queue(config: &Config, works: &[usize]) -> (Queue<usize, ()>, Vec<Waiting>) {
    let queue = Queue::new(Bounds::new(config), 2, BatchMeter::new(&config.name));
    let waiting = works.iter().map(|work| push(&queue, *work).unwrap()).collect();
    (queue, waiting)
}

fn config(name: &str) -> Config {
    Config {
        name: name.to_owned(),
        queue_rows_max: 8,
        queue_work_max: 100,
        step_work_max: Some(10),
        work_unit: "pixels",
        workers: 2,
        lone_rows: None,
    }
}

fn push(queue: &Queue<usize, ()>, work: usize) -> Result<Waiting, Error> {
    let (message, waiting) = message(work, Instant::now());
    queue.push(Priority::default(), [message], None).map(|_| waiting)
}

/// Rows of such work that come together.
fn push_all(queue: &Queue<usize, ()>, works: &[usize]) -> Result<Vec<Waiting>, Error> {
    let (messages, waiting): (Vec<_>, Vec<_>) =
        works.iter().map(|work| message(*work, Instant::now())).unzip();
    queue.push(Priority::default(), messages, None).map(|_| waiting)
}

/// A row that is named for its work.
fn message(work: usize, enqueued: Instant) -> (Message<usize, ()>, Waiting) {
    let (reply, waiting) = oneshot::channel();
    (Message { row: work, work, ticket: Ticket { enqueued, deadline: None, reply } }, waiting)
}

fn take(queue: &Queue<usize, ()>, room: usize, held: usize) -> Vec<usize> {
    let Taken::Rows { rows, .. } = queue.take(room, held, Instant::now()) else {
        panic!("the queue is closed")
    };
    rows.into_iter().map(|message| message.row).collect()
}

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

/// Work of what waits, idle others, room, held; rows taken, reason.
type Case = (&'static [usize], usize, usize, usize, &'static [usize], &'static str);

#[test]
fn what_ended_a_taking_is_counted() {
    let metrics = install_metrics();
    let cases: [Case; 9] = [
        (&[1, 1, 1], 0, 4, 0, &[1, 1, 1], "drained"),
        (&[1, 1, 1], 0, 3, 0, &[1, 1, 1], "drained"),
        (&[1, 1, 1], 0, 2, 0, &[1, 1], "full"),
        (&[1, 1, 1], 0, 2, 5, &[1, 1], "full"),
        (&[1, 1, 1], 2, 4, 0, &[1], "shared"),
        (&[4, 6, 1], 0, 4, 0, &[4, 6], "budget"),
        (&[4, 7, 1], 0, 4, 0, &[4], "budget"),
        (&[90, 1], 0, 4, 0, &[90], "budget"),
        (&[90], 0, 4, 0, &[90], "drained"),
    ];
    for (case, (works, idle, room, held, taken, reason)) in cases.into_iter().enumerate() {
        let name = format!("dispatch-{case}");
        let (queue, _waiting) = queue(&config(&name), works);
        queue.lock().idle = idle;
        assert_eq!(take(&queue, room, held), taken, "{case}");
        let text = metrics.render();
        for counted in ["drained", "full", "budget", "shared"] {
            let count = usize::from(counted == reason);
            let series =
                format!("sconce_batch_dispatches_total{{model=\"{name}\",reason=\"{counted}\"}} {count}\n");
            assert!(text.contains(&series), "{case}: not {series}");
        }
        let left: usize = works.iter().sum::<usize>() - taken.iter().sum::<usize>();
        let gauge = format!("sconce_queue_work{{model=\"{name}\"}} {left}\n");
        assert!(text.contains(&gauge), "{case}: not {gauge}");
    }
}

#[test]
fn a_busy_worker_that_takes_nothing_has_dispatched_nothing() {
    let metrics = install_metrics();
    let (queue, _waiting) = queue(&config("dispatch-none"), &[1, 1]);
    queue.lock().idle = 1;
    assert!(take(&queue, 4, 3).is_empty());
    let text = metrics.render();
    for reason in ["drained", "full", "budget", "shared"] {
        let series =
            format!("sconce_batch_dispatches_total{{model=\"dispatch-none\",reason=\"{reason}\"}} 0\n");
        assert!(text.contains(&series), "{text}");
    }
}

#[test]
fn a_queue_is_full_of_rows_or_of_work_and_says_which() {
    let full = |works: &[usize], work| {
        let (queue, _waiting) = queue(&config("bounds"), works);
        match push(&queue, work) {
            Ok(_) => None,
            Err(Error::Full { unit, waiting, max, .. }) => Some((unit, waiting, max)),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(full(&[1; 7], 1), None);
    assert_eq!(full(&[1; 8], 1), Some(("rows", 8, 8)));
    assert_eq!(full(&[60], 40), None);
    assert_eq!(full(&[60], 41), Some(("pixels", 60, 100)));
    // A row of more than all that may wait is not refused forever.
    assert_eq!(full(&[], 1000), None);
    assert_eq!(full(&[1], 1000), Some(("pixels", 1, 100)));
}

#[test]
fn rows_that_come_together_fit_together_or_not_at_all() {
    let came = |waiting: &[usize], works: &[usize]| {
        let (queue, _waiting) = queue(&config("together"), waiting);
        let came = push_all(&queue, works).map(|waiting| waiting.len());
        let expected = waiting.len() + came.as_ref().copied().unwrap_or(0);
        assert_eq!(queue.len(), expected, "all are there or none is");
        came.map_err(|error| error.to_string())
    };
    assert_eq!(came(&[1; 4], &[1; 4]), Ok(4));
    let full = came(&[1; 5], &[1; 4]).unwrap_err();
    assert!(full.contains("5 rows are waiting and 4 came, at most 8 may wait"), "{full}");
    assert_eq!(came(&[50], &[25, 25]), Ok(2));
    let full = came(&[51], &[25, 25]).unwrap_err();
    assert!(full.contains("51 pixels are waiting and 50 came, at most 100 may wait"), "{full}");
    // What never fits is told apart from what does not fit now, however empty or full the queue is.
    for waiting in [&[][..], &[1; 8]] {
        let never = came(waiting, &[1; 9]).unwrap_err();
        assert!(never.starts_with("9 rows came together and at most 8 may wait"), "{never}");
        let never = came(waiting, &[60, 41]).unwrap_err();
        assert!(never.starts_with("101 pixels came together and at most 100 may wait"), "{never}");
    }
    assert_eq!(came(&[], &[]), Ok(0));
}

#[test]
fn work_that_left_makes_room() {
    let (queue, mut waiting) = queue(&config("room"), &[60, 30, 10]);
    push(&queue, 1).unwrap_err();
    // The caller of the second goes away: its work is not worth refusing another row for.
    drop(waiting.remove(1));
    queue.gone().fetch_add(1, Ordering::Relaxed);
    waiting.push(push(&queue, 25).unwrap());
    push(&queue, 6).unwrap_err();
    assert_eq!(take(&queue, 4, 0), [60]);
    waiting.push(push(&queue, 65).unwrap());
    assert_eq!(queue.lock().work, 100);
    for expected in [10, 25, 65] {
        assert_eq!(take(&queue, 1, 0), [expected]);
    }
    assert_eq!(queue.lock().work, 0);
}

#[test]
fn a_refused_caller_is_told_the_time_that_the_waiting_work_takes() {
    let wait = |works: &[usize]| {
        let (queue, _waiting) = queue(&config("retry"), works);
        // Two workers, each with 10 pixels a second.
        queue.record(1000, Duration::from_secs(100), true);
        match push(&queue, 100) {
            Err(Error::Full { retry_after, .. }) => retry_after.as_secs_f64(),
            _ => panic!("{works:?} leave room for 100"),
        }
    };
    // As many rows, and 20 times the work.
    assert!((wait(&[1; 4]) - 0.2).abs() < 1e-6);
    assert!((wait(&[20; 4]) - 4.0).abs() < 1e-6);
    assert!((wait(&[97, 1, 1, 1]) - 5.0).abs() < 1e-6);
}
