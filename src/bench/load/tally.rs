//! What became of the requests that count.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Window;
use super::report::{Errors, Kind};
use crate::bench::Latencies;

/// What went wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Answered, but not with success: the status, and how the body begins.
    Status(u16, String),
    /// Not connected, or cut off.
    Connection(String),
    /// Not answered in time.
    Timeout(String),
}

/// Counts of the requests that were due within the window.
#[derive(Debug)]
pub(super) struct Tally {
    window: Window,
    /// Of requests that succeeded, from when they were due.
    pub(super) latencies: Latencies,
    /// By how much the generator itself was late with each request that counts.
    pub(super) lateness: Latencies,
    /// Successful answers that ended within the window, whenever they were due.
    pub(super) answered_within: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    pub(super) errors: Errors,
}

impl Tally {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            latencies: Latencies::new(),
            lateness: Latencies::new(),
            answered_within: 0,
            bytes_sent: 0,
            bytes_received: 0,
            errors: Errors { status: BTreeMap::new(), connection: Kind::default(), timeout: Kind::default() },
        }
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    /// Counts what has just become of a request that was due then and had so many bytes.
    pub(super) fn record(&mut self, due: Instant, sent: usize, outcome: Result<usize, Fault>) {
        let now = Instant::now();
        if outcome.is_ok() && self.window.contains(now) {
            self.answered_within += 1;
        }
        if !self.window.contains(due) {
            return;
        }
        self.bytes_sent += sent as u64;
        match outcome {
            Ok(received) => {
                self.bytes_received += received as u64;
                self.latencies.record(now.saturating_duration_since(due));
            }
            Err(Fault::Status(status, example)) => {
                self.errors.status.entry(status).or_default().count(1, example);
            }
            Err(Fault::Connection(example)) => self.errors.connection.count(1, example),
            Err(Fault::Timeout(example)) => self.errors.timeout.count(1, example),
        }
    }

    /// Counts by how much the generator is late with a request that was due then.
    pub(super) fn late(&mut self, due: Instant) {
        if self.window.contains(due) {
            self.lateness.record(Instant::now().saturating_duration_since(due));
        }
    }

    /// Requests that were due and of which something became.
    pub(super) fn settled(&self) -> u64 {
        self.latencies.count() + self.errors.total()
    }
}
