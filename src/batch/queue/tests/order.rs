//! The order of admission: priorities, arrivals, and what holds whatever comes and goes.

use proptest::prelude::*;

use super::*;
use crate::limits::{PRIORITY_LEAD_MS, PRIORITY_LEVELS};

fn level(level: u64) -> Priority {
    Priority::of_level(level).unwrap()
}

/// What is taken one by one of rows that came so: milliseconds, level. Named 1, 2, 3 …
fn taken(came: &[(u64, u64)]) -> Vec<usize> {
    let (queue, _) = queue(&Config { queue_work_max: usize::MAX, ..config("order") }, &[]);
    let begun = Instant::now();
    let mut waiting = Vec::new();
    for ((ms, of), name) in came.iter().zip(1..) {
        let (message, caller) = message(name, begun + Duration::from_millis(*ms));
        queue.push(level(*of), [message], None).unwrap();
        waiting.push(caller);
    }
    came.iter().flat_map(|_| take(&queue, 1, 0)).collect()
}

#[test]
fn urgent_rows_go_first_and_equals_in_the_order_of_their_arrival() {
    assert_eq!(taken(&[(0, 3), (1, 3), (2, 3)]), [1, 2, 3]);
    assert_eq!(taken(&[(0, 5), (1, 3), (2, 1), (3, 4), (4, 1), (5, 2)]), [3, 5, 6, 2, 4, 1]);
}

#[test]
fn a_row_is_overtaken_only_by_what_comes_within_its_levels_leads() {
    // A lead is a second: two levels below, a row waits for urgent ones of two seconds and of no later.
    assert_eq!(taken(&[(0, 3), (998, 2), (1001, 2), (1999, 1), (2002, 1)]), [2, 4, 1, 3, 5]);
    let urgent_for_a_minute: Vec<(u64, u64)> =
        std::iter::once((0, 5)).chain((1..8).map(|at| (at * 900, 1))).collect();
    let place = taken(&urgent_for_a_minute).iter().position(|row| *row == 1).unwrap();
    assert_eq!(place, 4, "after those that came in four seconds");
}

/// What happens to a queue.
#[derive(Clone, Debug)]
enum Happens {
    /// Rows of such work come together, after a pause in milliseconds; some have a deadline that has passed.
    Come { pause: u64, level: u64, works: Vec<(usize, bool)> },
    /// The caller of one of the rows goes away.
    Leave(usize),
    /// A worker takes.
    Take { room: usize },
}

fn happens() -> impl Strategy<Value = Happens> {
    let works = proptest::collection::vec((1_usize..12, proptest::bool::weighted(0.1)), 0..6);
    prop_oneof![
        4 => (0_u64..1500, 1..=PRIORITY_LEVELS as u64, works)
            .prop_map(|(pause, level, works)| Happens::Come { pause, level, works }),
        1 => (0_usize..100).prop_map(Happens::Leave),
        3 => (1_usize..6).prop_map(|room| Happens::Take { room }),
    ]
}

/// A row as the plain model of the queue has it: a sorted list.
#[derive(Clone, Debug)]
struct Row {
    /// When it counts as come, its level, and its place among all: what the order is by.
    order: (Instant, u64, usize),
    work: usize,
    in_vain: bool,
}

/// The queue, and what should be in it.
struct Both {
    queue: Queue<usize, ()>,
    model: Vec<Row>,
    callers: Vec<(usize, Waiting)>,
    begun: Instant,
    clock: Instant,
    names: usize,
    /// Callers that left since the queue last looked.
    gone: bool,
}

const ROWS_MAX: usize = 12;
const WORK_MAX: usize = 60;
const STEP_WORK_MAX: usize = 20;

impl Both {
    fn new() -> Self {
        let config = Config {
            queue_rows_max: ROWS_MAX,
            queue_work_max: WORK_MAX,
            step_work_max: Some(STEP_WORK_MAX),
            ..config("model")
        };
        let (queue, _) = queue(&config, &[]);
        let begun = Instant::now();
        let (model, callers) = (Vec::new(), Vec::new());
        Self { queue, model, callers, begun, clock: begun, names: 0, gone: false }
    }

    fn fits(&self, works: &[(usize, bool)]) -> bool {
        let work = |rows: &mut dyn Iterator<Item = usize>| rows.sum::<usize>();
        let waiting = work(&mut self.model.iter().map(|row| row.work));
        let come = work(&mut works.iter().map(|(work, _)| *work));
        (self.model.is_empty() && works.len() == 1)
            || (self.model.len() + works.len() <= ROWS_MAX && waiting + come <= WORK_MAX)
    }

    fn come(&mut self, pause: u64, of: u64, works: &[(usize, bool)]) {
        self.clock += Duration::from_millis(pause);
        let counts_as = self.clock + Duration::from_millis(PRIORITY_LEAD_MS * (of - 1));
        let mut rows = Vec::new();
        let (mut messages, mut callers) = (Vec::new(), Vec::new());
        for (work, late) in works {
            let (mut message, caller) = message(*work, self.clock);
            message.row = self.names;
            message.ticket.deadline = late.then_some(self.begun);
            rows.push(Row { order: (counts_as, of, self.names), work: *work, in_vain: *late });
            callers.push((self.names, caller));
            messages.push(message);
            self.names += 1;
        }
        if !self.fits(works) && std::mem::take(&mut self.gone) {
            self.model.retain(|row| !row.in_vain);
        }
        let fits = self.fits(works);
        assert_eq!(
            self.queue.push(level(of), messages, None).is_ok(),
            fits,
            "{:?} and {works:?}",
            self.model
        );
        if fits {
            self.model.extend(rows);
            self.model.sort_by_key(|row| row.order);
            self.callers.extend(callers);
        }
    }

    fn leave(&mut self, which: usize) {
        if self.callers.is_empty() {
            return;
        }
        let (name, caller) = self.callers.swap_remove(which % self.callers.len());
        drop(caller);
        self.queue.gone().fetch_add(1, Ordering::Relaxed);
        self.gone = true;
        self.model.iter_mut().filter(|row| row.order.2 == name).for_each(|row| row.in_vain = true);
    }

    fn take(&mut self, room: usize) {
        // A worker that holds a row and has no idle neighbour takes what there is, and does not sleep.
        let found = take(&self.queue, room, 1);
        let (mut expected, mut work) = (Vec::new(), 0);
        while expected.len() < room && !self.model.is_empty() {
            let next = &self.model[0];
            if !next.in_vain {
                if !expected.is_empty() && work + next.work > STEP_WORK_MAX {
                    break;
                }
                work += next.work;
                expected.push(next.order.2);
            }
            self.model.remove(0);
        }
        assert_eq!(found, expected);
    }

    fn check(&self) {
        let state = self.queue.lock();
        assert_eq!(state.waiting.len(), self.model.len());
        assert_eq!(state.waiting.is_empty(), self.model.is_empty());
        assert_eq!(state.work, self.model.iter().map(|row| row.work).sum::<usize>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Order, bounds, callers that leave one of several rows, deadlines that pass, and in the end nothing is left behind.
    #[test]
    fn the_queue_is_a_sorted_list_with_bounds(all in proptest::collection::vec(happens(), 1..60)) {
        let mut both = Both::new();
        for happens in all {
            match happens {
                Happens::Come { pause, level, works } => both.come(pause, level, &works),
                Happens::Leave(which) => both.leave(which),
                Happens::Take { room } => both.take(room),
            }
            both.check();
        }
        both.queue.close();
        let (closed, _caller) = message(1, both.clock);
        prop_assert_eq!(both.queue.push(level(1), [closed], None).unwrap_err(), Error::Closed);
        while !both.model.is_empty() {
            both.take(3);
            both.check();
        }
        prop_assert!(matches!(both.queue.take(1, 0, Instant::now()), Taken::Closed));
    }
}
