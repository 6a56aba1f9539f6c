//! What a run found, for machines (JSON) and people.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::tally::Tally;
use super::{Pace, Settings};
use crate::bench::Quantiles;

/// By how much the generator may be late with one request in a hundred, before it counts as having fallen behind.
const LATE_MS_MAX: f64 = 1.0;
/// The share of a core that the generator may need before it counts as having fallen behind.
const CPU_SHARE_MAX: f64 = 0.9;

/// How requests were paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Each connection sends its next request when it has its answer.
    Closed,
    /// Poisson arrivals.
    Open,
}

/// What a run found. Requests count that were due within the measured seconds, wherever their answers fell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Who was asked.
    pub url: String,
    /// How requests were paced.
    pub mode: Mode,
    /// Of arrivals and of the order of requests.
    pub seed: u64,
    /// Connections that were opened at once at most.
    pub connections: usize,
    /// Seconds that count.
    pub seconds: f64,
    /// Seconds before them.
    pub warmup_seconds: f64,
    /// Requests/s that were asked for; none in a closed loop.
    pub offered_rate: Option<f64>,
    /// Successful answers/s that ended within the measured seconds.
    pub achieved_rate: f64,
    /// The same: what a closed loop is run for.
    pub requests_per_second: f64,
    /// Rows/s of these.
    pub rows_per_second: f64,
    /// Rows that a request was said to have.
    pub rows_per_request: u64,
    /// Requests that were due.
    pub requests: u64,
    /// Those that were answered with success.
    pub succeeded: u64,
    /// The others.
    pub errors: Errors,
    /// Bytes of bodies sent.
    pub bytes_sent: u64,
    /// Bytes of bodies received with success.
    pub bytes_received: u64,
    /// Of successful requests: from when one was due (closed: sent) until its whole answer was there.
    pub latency_ms: Quantiles,
    /// The generator itself.
    pub generator: Generator,
}

/// Requests that failed, by kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Errors {
    /// Answered, but not with success (2xx): by status.
    pub status: BTreeMap<u16, Kind>,
    /// Not connected, or cut off.
    pub connection: Kind,
    /// Not answered in time.
    pub timeout: Kind,
}

/// How often something went wrong, and its first example.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// How often.
    pub count: u64,
    /// How it was said the first time.
    pub example: Option<String>,
}

/// What the generator took, and whether it kept up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Generator {
    /// What it computed within the measured seconds; none where the system does not tell.
    pub cpu_seconds: Option<f64>,
    /// By how much it was itself late with 99 % of the requests at most; 0 in a closed loop.
    pub late_ms_p99: f64,
    /// By how much at most.
    pub late_ms_max: f64,
    /// Whether its own delays are in the latencies: it was late by more than a millisecond with one request in a
    /// hundred, or computed for more than 90 % of the time.
    pub fell_behind: bool,
}

impl Kind {
    pub(super) fn count(&mut self, times: u64, example: String) {
        if times > 0 {
            self.count += times;
            self.example.get_or_insert(example);
        }
    }
}

impl Errors {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.status.values().map(|kind| kind.count).sum::<u64>() + self.connection.count + self.timeout.count
    }

    /// Every kind that there is, by its name.
    fn kinds(&self) -> impl Iterator<Item = (String, &Kind)> {
        let status = self.status.iter().map(|(status, kind)| (format!("status {status}"), kind));
        let others = [("connection".to_owned(), &self.connection), ("timeout".to_owned(), &self.timeout)];
        status.chain(others).filter(|(_, kind)| kind.count > 0)
    }
}

impl Report {
    pub(super) fn new(settings: &Settings, connections: usize, tally: &Tally, cpu: Option<f64>) -> Self {
        let seconds = tally.window().length().as_secs_f64();
        let rate = tally.answered_within as f64 / seconds;
        let late_ms_p99 = tally.lateness.quantile_ms(0.99);
        let busy = cpu.is_some_and(|cpu| cpu > CPU_SHARE_MAX * seconds);
        let (mode, offered_rate) = match settings.pace {
            Pace::Closed => (Mode::Closed, None),
            Pace::Open(rate) => (Mode::Open, Some(rate)),
        };
        Self {
            url: settings.target.url().to_owned(),
            mode,
            seed: settings.seed,
            connections,
            seconds,
            warmup_seconds: settings.span.warmup.as_secs_f64(),
            offered_rate,
            achieved_rate: rate,
            requests_per_second: rate,
            rows_per_second: rate * settings.rows_per_request as f64,
            rows_per_request: settings.rows_per_request,
            requests: tally.settled(),
            succeeded: tally.latencies.count(),
            errors: tally.errors.clone(),
            bytes_sent: tally.bytes_sent,
            bytes_received: tally.bytes_received,
            latency_ms: tally.latencies.quantiles(),
            generator: Generator {
                cpu_seconds: cpu,
                late_ms_p99,
                late_ms_max: tally.lateness.quantiles().max,
                fell_behind: busy || late_ms_p99 > LATE_MS_MAX,
            },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loop_of = |word| format!("{word} loop, {} connections, {} s", self.connections, self.seconds);
        match self.offered_rate {
            None => writeln!(f, "{}  {}", self.url, loop_of("closed"))?,
            Some(rate) => {
                writeln!(f, "{}  {}, seed {}, offered {rate:.1}/s", self.url, loop_of("open"), self.seed)?;
            }
        }
        let errors = self.errors.total();
        writeln!(f, "requests    {} ({} succeeded, {errors} failed)", self.requests, self.succeeded)?;
        for (name, kind) in self.errors.kinds() {
            let example = kind.example.as_deref().unwrap_or_default().replace('\n', " ");
            writeln!(f, "  {:<10}{} × {}", name, kind.count, example)?;
        }
        writeln!(
            f,
            "achieved    {:.1} requests/s, {:.1} rows/s",
            self.requests_per_second, self.rows_per_second
        )?;
        writeln!(f, "bytes       {} sent, {} received", self.bytes_sent, self.bytes_received)?;
        let Quantiles { min, mean, p50, p90, p99, p99_9, max } = self.latency_ms;
        writeln!(
            f,
            "latency ms  min {min:.3}  mean {mean:.3}  p50 {p50:.3}  p90 {p90:.3}  p99 {p99:.3}  p99.9 {p99_9:.3}  max {max:.3}"
        )?;
        let Generator { cpu_seconds, late_ms_p99, late_ms_max, fell_behind } = self.generator;
        let cpu = cpu_seconds.map_or_else(|| "unknown".to_owned(), |seconds| format!("{seconds:.2} s"));
        write!(f, "generator   CPU {cpu}, late p99 {late_ms_p99:.3} ms, max {late_ms_max:.3} ms")?;
        if fell_behind { write!(f, "; it FELL BEHIND: its own delays are in the latencies") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_is_counted_and_shows_its_first_example() {
        let mut errors = Errors::default();
        assert_eq!((errors.total(), errors.kinds().count()), (0, 0));
        errors.status.entry(429).or_default().count(2, "full".into());
        errors.status.entry(429).or_default().count(1, "later".into());
        errors.timeout.count(4, "too slow".into());
        errors.connection.count(0, "never".into());
        let found: Vec<_> =
            errors.kinds().map(|(name, kind)| (name, kind.count, kind.example.clone())).collect();
        assert_eq!(errors.total(), 7);
        let expected = [("status 429", 3, "full"), ("timeout", 4, "too slow")];
        assert_eq!(
            found,
            expected.map(|(name, count, example)| (name.to_owned(), count, Some(example.to_owned())))
        );
        let json = serde_json::to_value(&errors).unwrap();
        assert_eq!(json["status"]["429"]["count"], 3);
    }
}
