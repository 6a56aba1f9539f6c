//! The bare engine: rows a second without HTTP, without a queue, without preparation.
//!
//! Rows stream through: a slot whose row is finished takes the next row before the next step, as in a server that is
//! never idle. With rows of one length that is batch after batch.

mod answers;
mod parts;
mod report;
mod rows;
mod stream;
mod work;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::batch::{Engine as _, RowError};
use crate::bench::Latencies;
use crate::engine::{Plan, PlannedEngine};
use crate::kernels::cpu::Level;
use crate::kernels::peak;
use crate::limits::{CREW_THREADS_MAX, ENGINE_ROWS_MAX};
use crate::value::Features;

use stream::Stream;

pub use answers::answers;
pub use parts::{Part, Parts, PartsError, measure_parts};
pub use report::{Report, Share, Subject};
pub use rows::{MadeUp, Rows, RowsError, made_up, read};
pub use work::{Folded, Work};

/// Rows a thread from which engines of their own are faster than one engine over several threads.
const ROWS_A_THREAD: usize = 8;
/// The share of the measured time that goes before it, uncounted.
const WARMUP_SHARE: u32 = 10;

/// How an engine is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rows held at once, by all engines together.
    pub batch: usize,
    /// Threads of all engines together.
    pub threads: usize,
    /// Engines, each with its share of rows and threads; see [`Settings::engines`] for the default.
    pub engines: Option<usize>,
    /// How long.
    pub time: Duration,
}

/// Why settings make no measurement, or a measurement no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A share of nothing.
    #[error(
        "{threads} threads and {batch} rows for {engines} engines: each needs a thread and a row at least"
    )]
    Share {
        /// Engines.
        engines: usize,
        /// Threads.
        threads: usize,
        /// Rows.
        batch: usize,
    },
    /// Threads that cannot be shared out evenly.
    #[error("{threads} threads for {engines} engines: expected a multiple")]
    Uneven {
        /// Engines.
        engines: usize,
        /// Threads.
        threads: usize,
    },
    /// More threads than compute together.
    #[error("{threads} threads for one engine, at most {CREW_THREADS_MAX} compute together")]
    Together {
        /// Threads of each engine.
        threads: usize,
    },
    /// More rows than an engine holds.
    #[error("{rows} rows for one engine, at most {ENGINE_ROWS_MAX} are held at once")]
    Rows {
        /// Rows of the largest share.
        rows: usize,
    },
    /// Nothing to compute.
    #[error("there is no row")]
    NoRow,
    /// The engine refused or failed a row.
    #[error("row {row}: {reason}")]
    Row {
        /// Its number, from 1.
        row: usize,
        /// Why.
        reason: RowError,
    },
    /// The system has no thread.
    #[error("no thread: {0}")]
    Thread(String),
}

/// What a measurement found.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Engines that ran, each with its share of the threads.
    pub engines: usize,
    /// Rows finished a second, by all engines together.
    pub rows_per_second: f64,
    /// Tokens, or pixel values of all channels, of these rows.
    pub units_per_second: f64,
    /// From one time that an engine had finished as many rows as it holds to the next.
    pub batches: Latencies,
    /// Multiply-adds a second of one thread at most, measured before.
    pub peak: f64,
}

impl Settings {
    /// The engines that run: as many as threads from 8 rows a thread, 1 below.
    #[must_use]
    pub fn engines(&self) -> usize {
        let apart = self.batch >= ROWS_A_THREAD * self.threads;
        self.engines.unwrap_or(if apart { self.threads } else { 1 })
    }

    /// The rows that each engine holds.
    ///
    /// # Errors
    /// They or the threads cannot be shared out, or a share is larger than an engine takes.
    pub fn shares(&self) -> Result<Vec<usize>, EngineError> {
        let (engines, threads, batch) = (self.engines(), self.threads, self.batch);
        if engines == 0 || threads < engines || batch < engines {
            return Err(EngineError::Share { engines, threads, batch });
        }
        if !threads.is_multiple_of(engines) {
            return Err(EngineError::Uneven { engines, threads });
        }
        if threads / engines > CREW_THREADS_MAX {
            return Err(EngineError::Together { threads: threads / engines });
        }
        let rows = batch.div_ceil(engines);
        if rows > ENGINE_ROWS_MAX {
            return Err(EngineError::Rows { rows });
        }
        Ok((0..engines).map(|engine| batch / engines + usize::from(engine < batch % engines)).collect())
    }
}

/// Streams the rows, round and round, through engines of this plan.
///
/// # Errors
/// The settings cannot be, or a row fails.
pub fn measure(plan: &Plan, rows: &[Features], settings: &Settings) -> Result<Measured, EngineError> {
    if rows.is_empty() {
        return Err(EngineError::NoRow);
    }
    let shares = settings.shares()?;
    let peak = peak::multiply_adds_a_second(Level::detect());
    let threads = settings.threads / shares.len();
    let start = Barrier::new(shares.len());
    let runs: Result<Vec<Run>, EngineError> = thread::scope(|scope| {
        let begin = |(engine, share): (usize, &usize)| {
            // Each engine begins somewhere else in the rows.
            let first = engine * rows.len() / shares.len();
            let stream = Stream::new(helped(plan, *share, threads), rows, first);
            let start = &start;
            thread::Builder::new()
                .name(format!("engine-{engine}"))
                .spawn_scoped(scope, move || run(stream, start, settings.time))
                .map_err(|error| EngineError::Thread(error.to_string()))
        };
        let handles: Vec<_> = shares.iter().enumerate().map(begin).collect();
        let joined = handles.into_iter().map(|handle| {
            handle?.join().unwrap_or_else(|_| Err(EngineError::Thread("the engine panicked".to_owned())))
        });
        joined.collect()
    });
    let mut measured = Measured {
        engines: shares.len(),
        rows_per_second: 0.0,
        units_per_second: 0.0,
        batches: Latencies::new(),
        peak,
    };
    for run in runs? {
        let seconds = run.time.as_secs_f64();
        measured.rows_per_second += run.rows as f64 / seconds;
        measured.units_per_second += run.units as f64 / seconds;
        measured.batches.add(&run.batches);
    }
    Ok(measured)
}

/// An engine for so many rows that computes on so many threads, its own included.
fn helped(plan: &Plan, rows: usize, threads: usize) -> PlannedEngine {
    let mut engine = plan.clone().for_threads(threads).engine(rows);
    engine.lend(threads - 1);
    engine
}

/// What one engine did.
struct Run {
    rows: usize,
    units: usize,
    time: Duration,
    batches: Latencies,
}

fn run(mut stream: Stream<'_>, start: &Barrier, time: Duration) -> Result<Run, EngineError> {
    start.wait();
    let warm = Instant::now();
    // Once at least, so that every page is there and every length is under way.
    stream.batch()?;
    while warm.elapsed() < time / WARMUP_SHARE {
        stream.batch()?;
    }
    let mut run = Run { rows: 0, units: 0, time: Duration::ZERO, batches: Latencies::new() };
    let begun = Instant::now();
    let mut before = begun;
    while run.time < time {
        let done = stream.batch()?;
        run.rows += done.rows;
        run.units += done.units;
        let now = Instant::now();
        run.batches.record(now - before);
        run.time = now - begun;
        before = now;
    }
    Ok(run)
}

#[cfg(test)]
mod tests;
