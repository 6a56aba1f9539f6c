//! What a version has answered since it was loaded, request by request, and what its engines computed for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Pipeline, Timing};
use crate::batch::Executions;

/// What a version has done since it was loaded.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// The requests, whose rows may be one or many.
    pub requests: Requests,
    /// What the engines computed for them.
    pub executions: Executions,
}

/// The requests that were answered, and where their time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// When the last one was answered; `None` when none was.
    pub last: Option<SystemTime>,
    /// Those of which every row was answered, from asking to answering.
    pub succeeded: Phase,
    /// Those of which a row was not.
    pub failed: Phase,
    /// Preparing, of those that succeeded; the longest of each request's rows, here and below.
    pub prepare: Phase,
    /// Waiting for a worker.
    pub queue: Phase,
    /// In an engine.
    pub compute: Phase,
    /// Making scores of what the network answered.
    pub present: Phase,
}

impl Requests {
    /// A request was answered now, all of whose time was computing.
    pub fn count(&mut self, now: SystemTime, took: Duration) {
        self.last = Some(now);
        for phase in [&mut self.succeeded, &mut self.compute] {
            phase.add(took);
        }
        for phase in [&mut self.queue, &mut self.prepare, &mut self.present] {
            phase.add(Duration::ZERO);
        }
    }
}

/// A part of requests' lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phase {
    /// How many went through it.
    pub count: u64,
    /// How long, all of them together.
    pub took: Duration,
}

impl Phase {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.took = self.took.saturating_add(took);
    }
}

impl Pipeline {
    /// A request, of whatever protocol and of one row or many, was answered whole; `timing` is the longest of its rows.
    pub fn count_success(&self, took: Duration, timing: &Timing) {
        self.shared.counts.succeeded(took, timing);
    }

    /// A request was not answered whole.
    pub fn count_failure(&self, took: Duration) {
        self.shared.counts.failed(took);
    }

    /// What the version has done since it was loaded.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics { requests: self.shared.counts.requests(), executions: self.shared.batch.executions() }
    }
}

/// The counts of a version's requests.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<Requests>);

impl Counts {
    /// Nothing panics while it holds the lock, so a poisoned state is a sound one.
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request of which every row was answered.
    pub(super) fn succeeded(&self, took: Duration, timing: &Timing) {
        let mut requests = self.lock();
        requests.last = Some(SystemTime::now());
        requests.succeeded.add(took);
        requests.prepare.add(timing.prepare);
        requests.queue.add(timing.queue);
        requests.compute.add(timing.compute);
        requests.present.add(timing.present);
    }

    /// A request of which a row was not.
    pub(super) fn failed(&self, took: Duration) {
        self.lock().failed.add(took);
    }

    /// What was counted until now.
    pub(super) fn requests(&self) -> Requests {
        *self.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_succeeds_and_what_fails_is_counted_apart() {
        let counts = Counts::default();
        let ms = Duration::from_millis;
        let timing = Timing { prepare: ms(1), queue: ms(2), compute: ms(3), present: ms(4) };
        counts.succeeded(ms(11), &timing);
        counts.succeeded(ms(11), &timing);
        counts.failed(ms(5));
        let requests = counts.requests();
        let twice = |ms| Phase { count: 2, took: Duration::from_millis(ms) };
        assert_eq!(requests.succeeded, twice(22));
        assert_eq!(requests.failed, Phase { count: 1, took: ms(5) });
        assert_eq!((requests.prepare, requests.queue), (twice(2), twice(4)));
        assert_eq!((requests.compute, requests.present), (twice(6), twice(8)));
        assert!(requests.last.is_some());
    }
}
