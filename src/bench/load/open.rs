//! The open loop: requests are due at times drawn beforehand, and wait for a connection where none is free.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::Run;
use super::arrivals::Arrivals;
use super::client::Link;

/// Requests that are due and that the event loop has not taken in yet; more make the clock late, which is reported.
const DUE_AT_ONCE: usize = 1024;

/// When requests are due, and over how many connections they go at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) rate: f64,
    pub(super) seed: u64,
    pub(super) connections: usize,
}

/// Requests that are due, and the connections that take them.
#[derive(Default)]
struct Counter {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    due: VecDeque<Instant>,
    /// Connections that wait for a request.
    free: usize,
    closed: bool,
}

impl Counter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a request; true when no connection is free for it.
    fn put(&self, due: Instant) -> bool {
        let mut state = self.state();
        state.due.push_back(due);
        let Some(free) = state.free.checked_sub(1) else { return true };
        state.free = free;
        self.news.notify_one();
        false
    }

    /// The request that waits longest; `None` when there will be no more.
    async fn take(&self) -> Option<Instant> {
        loop {
            {
                let mut state = self.state();
                if let Some(due) = state.due.pop_front() {
                    return Some(due);
                }
                if state.closed {
                    return None;
                }
                state.free += 1;
            }
            self.news.notified().await;
        }
    }

    fn close(&self) {
        self.state().closed = true;
        self.news.notify_waiters();
    }
}

/// Asks on schedule until the window is over and every request has its end; the connections that it took.
pub(super) async fn run(run: &Arc<Run>, schedule: &Schedule) -> io::Result<usize> {
    let mut clock = clock(run, schedule)?;
    let counter = Arc::new(Counter::default());
    let mut callers = JoinSet::new();
    let mut due_within = 0;
    while let Some(due) = clock.recv().await {
        run.tally().late(due);
        due_within += u64::from(run.window.contains(due));
        if counter.put(due) && callers.len() < schedule.connections {
            callers.spawn(call(Arc::clone(run), Arc::clone(&counter)));
        }
    }
    counter.close();
    let connections = callers.len();
    let all = async { while callers.join_next().await.is_some() {} };
    // What is still waiting when nothing would be waited for any longer is not forgotten.
    if tokio::time::timeout_at((run.window.to + run.timeout).into(), all).await.is_err() {
        let mut tally = run.tally();
        let lost = due_within - tally.settled();
        let reason = format!("no free connection or no answer {} s after the end", run.timeout.as_secs_f64());
        tally.errors.timeout.count(lost, reason);
    }
    Ok(connections)
}

/// Tells the times at which requests are due when they are there, on a thread of its own: tokio's timers wake up to a
/// millisecond late, which is longer than many an answer.
fn clock(run: &Run, schedule: &Schedule) -> io::Result<mpsc::Receiver<Instant>> {
    let (sender, receiver) = mpsc::channel(DUE_AT_ONCE);
    let (begun, end) = (run.begun, run.window.to);
    let arrivals = Arrivals::new(schedule.rate, schedule.seed);
    // Linux lets sleepers oversleep by 50 microseconds, to wake several at once; a new thread inherits the better
    // measure. Where this is refused, requests are that much later, and reported as late.
    fs::write("/proc/self/timerslack_ns", "1").ok();
    thread::Builder::new().name("clock".to_owned()).spawn(move || {
        let due = arrivals.map_while(|after| begun.checked_add(after)).take_while(|due| *due < end);
        for due in due {
            sleep_until(due);
            if sender.blocking_send(due).is_err() {
                break;
            }
        }
    })?;
    Ok(receiver)
}

fn sleep_until(then: Instant) {
    loop {
        match then.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return,
            left => thread::sleep(left),
        }
    }
}

async fn call(run: Arc<Run>, counter: Arc<Counter>) {
    let mut link = Link::default();
    while let Some(due) = counter.take().await {
        run.ask(&mut link, due).await;
    }
}
