//! Several rates, one after the other, and the highest one at which the server still answers soon.

use std::fmt;

use serde::Serialize;

use super::{LoadError, Pace, Report, Settings, run};

/// The p99, in milliseconds, below which the highest rate is looked for.
const GOALS_MS: [f64; 3] = [5.0, 20.0, 50.0];
/// Shares of the capacity that are tried.
const SHARES: [f64; 9] = [0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 1.0];
/// The share of the offered rate that must be answered, for a rate to be sustained.
const SUSTAINED: f64 = 0.95;

/// Which rates are tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Rates {
    /// These requests/s.
    These(Vec<f64>),
    /// Shares, from 10 % to 100 %, of the capacity that a closed loop finds first.
    OfCapacity,
}

/// What a sweep found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// The closed loop that found the capacity, where there was one.
    pub capacity: Option<Report>,
    /// One a rate.
    pub runs: Vec<Report>,
    /// By the goal.
    pub highest: Vec<Highest>,
}

/// The highest rate tried that reaches a goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Highest {
    /// The goal: p99 is at most so long, nothing fails, and 95 % of the offered rate is answered.
    pub p99_ms_max: f64,
    /// Requests/s; none of those tried reached it.
    pub rate: Option<f64>,
}

/// Runs the rates one after the other; `told` hears of each report when it is there.
///
/// # Errors
/// As [`run`].
pub fn sweep(settings: &Settings, rates: &Rates, mut told: impl FnMut(&Report)) -> Result<Sweep, LoadError> {
    let (capacity, rates) = match rates {
        Rates::These(rates) => (None, rates.clone()),
        Rates::OfCapacity => {
            let found = run(&Settings { pace: Pace::Closed, ..settings.clone() })?;
            told(&found);
            let rates =
                SHARES.iter().map(|share| share * found.achieved_rate).filter(|rate| *rate > 0.0).collect();
            (Some(found), rates)
        }
    };
    let mut runs = Vec::with_capacity(rates.len());
    for rate in rates {
        let report = run(&Settings { pace: Pace::Open(rate), ..settings.clone() })?;
        told(&report);
        runs.push(report);
    }
    let highest = GOALS_MS.map(|p99_ms_max| highest(&runs, p99_ms_max)).to_vec();
    Ok(Sweep { capacity, runs, highest })
}

fn highest(runs: &[Report], p99_ms_max: f64) -> Highest {
    let rates =
        runs.iter().filter(|report| reaches(report, p99_ms_max)).filter_map(|report| report.offered_rate);
    Highest { p99_ms_max, rate: rates.reduce(f64::max) }
}

fn reaches(report: &Report, p99_ms_max: f64) -> bool {
    let sustained = report.offered_rate.is_some_and(|offered| report.achieved_rate >= SUSTAINED * offered);
    report.succeeded > 0 && report.errors.total() == 0 && sustained && report.latency_ms.p99 <= p99_ms_max
}

impl Sweep {
    /// Whether any request of any run succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.capacity.iter().chain(&self.runs).any(|report| report.succeeded > 0)
    }

    /// The line above those of [`line`](Self::line).
    #[must_use]
    pub fn heading() -> String {
        format!(
            "{:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}",
            "offered/s", "achieved/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "errors"
        )
    }

    /// A report as one line.
    #[must_use]
    pub fn line(report: &Report) -> String {
        let offered = report.offered_rate.map_or_else(|| "closed".to_owned(), |rate| format!("{rate:.1}"));
        let latency = report.latency_ms;
        format!(
            "{offered:>10} {:>10.1} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>8}{}",
            report.achieved_rate,
            latency.p50,
            latency.p90,
            latency.p99,
            latency.p99_9,
            latency.max,
            report.errors.total(),
            if report.generator.fell_behind { "  generator fell behind" } else { "" }
        )
    }
}

/// A line a goal.
impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Highest { p99_ms_max, rate }) in self.highest.iter().enumerate() {
            let ending = if index == 0 { "" } else { "\n" };
            let rate = rate.map_or_else(|| "none of these".to_owned(), |rate| format!("{rate:.1}/s"));
            write!(f, "{ending}highest rate with p99 <= {p99_ms_max:>2} ms: {rate}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::{Errors, Generator, Kind, Mode};
    use super::*;
    use crate::bench::Quantiles;

    fn report(offered: f64, achieved: f64, p99: f64) -> Report {
        Report {
            url: String::new(),
            mode: Mode::Open,
            seed: 1,
            connections: 1,
            seconds: 1.0,
            warmup_seconds: 0.0,
            offered_rate: Some(offered),
            achieved_rate: achieved,
            requests_per_second: achieved,
            rows_per_second: achieved,
            rows_per_request: 1,
            requests: 1,
            succeeded: 1,
            errors: Errors::default(),
            bytes_sent: 0,
            bytes_received: 0,
            latency_ms: Quantiles { p99, ..Quantiles::default() },
            generator: Generator {
                cpu_seconds: None,
                late_ms_p99: 0.0,
                late_ms_max: 0.0,
                fell_behind: false,
            },
        }
    }

    #[test]
    fn the_highest_rate_is_answered_in_time_whole_and_without_errors() {
        let mut failing = report(500.0, 500.0, 1.0);
        failing.errors.connection = Kind { count: 1, example: None };
        let runs =
            [report(100.0, 101.0, 2.0), report(300.0, 299.0, 19.0), report(400.0, 350.0, 3.0), failing];
        assert_eq!(highest(&runs, 5.0).rate, Some(100.0));
        assert_eq!(highest(&runs, 20.0).rate, Some(300.0));
        assert_eq!(highest(&runs, 1.0).rate, None);
        let found = Sweep {
            capacity: None,
            highest: vec![highest(&runs, 5.0), highest(&runs, 1.0)],
            runs: runs.to_vec(),
        };
        assert_eq!(
            found.to_string(),
            "highest rate with p99 <=  5 ms: 100.0/s\nhighest rate with p99 <=  1 ms: none of these"
        );
        let widths = |text: String| text.chars().count();
        assert_eq!(widths(Sweep::line(&runs[0])), widths(Sweep::heading()));
    }
}
