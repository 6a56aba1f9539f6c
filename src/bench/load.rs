//! A load generator for any HTTP/1.1 server: closed loop, or open loop with Poisson arrivals.
//!
//! One thread does everything (a second one tells it the time), so that as little as possible is taken from a server on the same machine. In the closed
//! loop every connection sends its next request when it has its answer: it measures throughput, and hides queueing,
//! because a slow server is asked less. In the open loop requests are due at times drawn beforehand, whatever the
//! server does; latency counts from the time a request was *due*, so waiting for a free connection is part of it.

mod answer;
mod arrivals;
mod client;
mod closed;
mod cpu;
mod open;
mod report;
mod requests;
mod sweep;
mod tally;
mod target;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use client::Link;
use tally::{Fault, Tally};

pub use report::{Errors, Generator, Kind, Mode, Report};
pub use requests::{Payload, RequestError, Requests};
pub use sweep::{Highest, Rates, Sweep, sweep};
pub use target::{Target, TargetError};

/// What is asked of whom, how often and how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who is asked.
    pub target: Target,
    /// What is sent.
    pub requests: Requests,
    /// When requests are sent.
    pub pace: Pace,
    /// Connections: all of them from the start in the closed loop, at most so many in the open one.
    pub connections: usize,
    /// Of arrivals and of the order of requests.
    pub seed: u64,
    /// How long.
    pub span: Span,
    /// What the reported rows/s are a multiple of.
    pub rows_per_request: u64,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each connection's next one when it has its answer.
    Closed,
    /// Poisson arrivals of so many requests a second on average.
    Open(f64),
}

/// How long a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Before anything counts.
    pub warmup: Duration,
    /// What counts.
    pub measured: Duration,
    /// How long a request, and in the open loop the wait for a connection, may take.
    pub timeout: Duration,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nobody listens there.
    #[error("{url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// What connecting failed with.
        reason: String,
    },
    /// The system refused a thread or the event loop.
    #[error("starting the load generator: {0}")]
    System(#[from] std::io::Error),
}

/// Asks for as long as the settings say, on this thread, and reports.
///
/// # Errors
/// Nobody listens, or the system refuses a thread. What a server that listens does wrong is in the report.
pub fn run(settings: &Settings) -> Result<Report, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let unreachable = |reason| LoadError::Unreachable { url: settings.target.url().to_owned(), reason };
        let address = settings.target.reach(settings.span.timeout).await.map_err(unreachable)?;
        let begun = Instant::now();
        let window = Window {
            from: begun + settings.span.warmup,
            to: begun + settings.span.warmup + settings.span.measured,
        };
        let run = Arc::new(Run {
            address,
            requests: settings.requests.ordered(settings.seed),
            timeout: settings.span.timeout,
            begun,
            window,
            tally: Mutex::new(Tally::new(window)),
        });
        let clock = tokio::spawn(cpu_seconds(window));
        let connections = match settings.pace {
            Pace::Closed => closed::run(&run, settings.connections).await,
            Pace::Open(rate) => {
                let schedule =
                    open::Schedule { rate, seed: settings.seed, connections: settings.connections };
                open::run(&run, &schedule).await?
            }
        };
        let cpu = clock.await.ok().flatten();
        Ok(Report::new(settings, connections, &run.tally(), cpu))
    })
}

/// What counts: requests that were due in `from..to`.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Instant,
    to: Instant,
}

impl Window {
    fn contains(&self, time: Instant) -> bool {
        (self.from..self.to).contains(&time)
    }

    fn length(&self) -> Duration {
        self.to - self.from
    }
}

/// What the connections of one run share.
struct Run {
    address: std::net::SocketAddr,
    requests: requests::Ordered,
    timeout: Duration,
    begun: Instant,
    window: Window,
    tally: Mutex<Tally>,
}

impl Run {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the next request over the link, and counts what becomes of it from the time it was due. False when the
    /// connection failed, and the next one had better not follow at once.
    async fn ask(&self, link: &mut Link, due: Instant) -> bool {
        let message = self.requests.next();
        // A connection that is not waited for any longer is given up: its answer may still come, and must not be taken for
        // the next request's.
        let asked = tokio::time::timeout(self.timeout, link.ask(self.address, message)).await;
        let outcome = asked.unwrap_or_else(|_| {
            Err(Fault::Timeout(format!("no answer within {} s", self.timeout.as_secs_f64())))
        });
        let connected = !matches!(outcome, Err(Fault::Connection(_)));
        self.tally().record(due, message.body, outcome);
        connected
    }
}

/// What this process computes within the window, in seconds; `None` where the system does not tell.
async fn cpu_seconds(window: Window) -> Option<f64> {
    tokio::time::sleep_until(window.from.into()).await;
    let before = cpu::process_seconds()?;
    tokio::time::sleep_until(window.to.into()).await;
    Some(cpu::process_seconds()? - before)
}

#[cfg(test)]
mod tests;
