//! `sconce bench http`: a load generator for any HTTP/1.1 server.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::{number, seconds};
use crate::bench::load::{
    self, LoadError, Pace, Payload, Rates, Report, Requests, Settings, Span, Sweep, Target, sweep,
};
use crate::cli::{Failure, output};
use crate::limits::{
    BENCH_BODIES_BYTES_MAX, BENCH_CONNECTIONS_DEFAULT, BENCH_RATE_MAX, BENCH_RATES_MAX, BENCH_ROWS_MAX,
    BENCH_SECONDS_MAX, CONNECTIONS_MAX,
};

/// Loads any HTTP/1.1 server and reports throughput and latency
///
/// Without --rate a closed loop: every connection sends its next request when it has its answer. With --rate an open
/// loop: Poisson arrivals at that rate, whatever the server does, and latency counts from when a request was due.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Whom to ask
    #[arg(value_name = "http://HOST[:PORT]/PATH")]
    url: String,

    /// A file that is a request's body; may be given many times, and they take turns
    #[arg(long, value_name = "FILE")]
    body: Vec<PathBuf>,

    /// A file of which each line is a request's body
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,

    /// The type of the bodies
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,

    /// The method [default: POST with a body, GET without]
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,

    /// A further header, "Name: value"; may be given many times
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,

    /// Connections: all at once in a closed loop, at most so many in an open one
    #[arg(long, value_name = "N", default_value_t = BENCH_CONNECTIONS_DEFAULT,
        value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX as u64))]
    connections: u64,

    /// Requests a second on average, as Poisson arrivals
    #[arg(long, value_name = "R", value_parser = rate, conflicts_with_all = ["rates", "sweep"])]
    rate: Option<f64>,

    /// Several rates, one after the other, and the highest one with p99 <= 5, 20 and 50 ms
    #[arg(long, value_name = "R,R,…", value_parser = rate, value_delimiter = ',', conflicts_with = "sweep")]
    rates: Vec<f64>,

    /// The same with shares of the capacity that a closed loop finds first
    #[arg(long)]
    sweep: bool,

    /// What arrivals and the order of the bodies follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Seconds that count, of each rate
    #[arg(long, value_name = "S", default_value = "10", value_parser = measured)]
    seconds: Duration,

    /// Seconds before them
    #[arg(long, value_name = "S", default_value = "1", value_parser = warmup)]
    warmup: Duration,

    /// Seconds that a request may take
    #[arg(long, value_name = "S", default_value = "10", value_parser = measured)]
    timeout: Duration,

    /// Rows in a request: rows/s is so many times requests/s
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=BENCH_ROWS_MAX as u64))]
    rows_per_request: u64,

    /// Prints a JSON object
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, 0.01, BENCH_RATE_MAX)
}

fn measured(text: &str) -> Result<Duration, String> {
    seconds(text, 0.001, BENCH_SECONDS_MAX)
}

fn warmup(text: &str) -> Result<Duration, String> {
    seconds(text, 0.0, BENCH_SECONDS_MAX)
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = settings(arguments)?;
    if arguments.sweep || !arguments.rates.is_empty() {
        return sweep_rates(arguments, &settings);
    }
    output::complain(&format!(
        "asking {} for {} s",
        settings.target.url(),
        (settings.span.warmup + settings.span.measured).as_secs_f64()
    ));
    let report = load::run(&settings).map_err(|error| failure(&error))?;
    output::print(&if arguments.json { json(&report)? } else { report.to_string() })?;
    succeeded(report.succeeded > 0)
}

fn sweep_rates(arguments: &Arguments, settings: &Settings) -> Result<(), Failure> {
    if arguments.rates.len() > BENCH_RATES_MAX {
        return Err(Failure::usage(format!("{} rates, at most {BENCH_RATES_MAX}", arguments.rates.len())));
    }
    let rates = if arguments.sweep { Rates::OfCapacity } else { Rates::These(arguments.rates.clone()) };
    let mut unwritten = None;
    let mut tell = |text: &str| {
        if arguments.json {
            output::complain(text);
        } else if let Err(failure) = output::print(text) {
            unwritten.get_or_insert(failure);
        }
    };
    tell(&Sweep::heading());
    let found = sweep(settings, &rates, |report: &Report| tell(&Sweep::line(report)))
        .map_err(|error| failure(&error))?;
    if let Some(failure) = unwritten {
        return Err(failure);
    }
    output::print(&if arguments.json { json(&found)? } else { found.to_string() })?;
    succeeded(found.succeeded())
}

fn settings(arguments: &Arguments) -> Result<Settings, Failure> {
    let target = Target::parse(&arguments.url).map_err(Failure::usage)?;
    let bodies = bodies(arguments)?;
    let method = if bodies.is_empty() { "GET" } else { "POST" };
    let payload = Payload {
        method: arguments.method.clone().unwrap_or_else(|| method.to_owned()),
        content_type: arguments.content_type.clone(),
        headers: arguments.header.clone(),
        bodies,
    };
    let connections = usize::try_from(arguments.connections).unwrap_or(CONNECTIONS_MAX);
    Ok(Settings {
        requests: Requests::new(&target, payload).map_err(Failure::usage)?,
        target,
        pace: arguments.rate.map_or(Pace::Closed, Pace::Open),
        connections,
        seed: arguments.seed,
        span: Span { warmup: arguments.warmup, measured: arguments.seconds, timeout: arguments.timeout },
        rows_per_request: arguments.rows_per_request,
    })
}

/// The bodies of the files and lines that were given.
fn bodies(arguments: &Arguments) -> Result<Vec<Bytes>, Failure> {
    let mut bodies = Vec::new();
    for path in &arguments.body {
        bodies.push(read(path)?);
    }
    if let Some(path) = &arguments.lines {
        let whole = read(path)?;
        let lines = whole.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let before = bodies.len();
        bodies.extend(lines.filter(|line| !line.is_empty()).map(|line| whole.slice_ref(line)));
        if bodies.len() == before {
            return Err(Failure::data(format!("{}: no line in it", path.display()))
                .hint("expected a request's body a line"));
        }
    }
    Ok(bodies)
}

fn read(path: &Path) -> Result<Bytes, Failure> {
    let failed = |reason: String| Failure::data(format!("{}: {reason}", path.display()));
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(BENCH_BODIES_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > BENCH_BODIES_BYTES_MAX {
        return Err(failed(format!("longer than {BENCH_BODIES_BYTES_MAX} bytes")));
    }
    Ok(bytes.into())
}

pub(super) fn json(found: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(found).map_err(Failure::failed)
}

fn succeeded(any: bool) -> Result<(), Failure> {
    if any { Ok(()) } else { Err(Failure::failed("no request succeeded")) }
}

fn failure(error: &LoadError) -> Failure {
    let failure = Failure::failed(error);
    match error {
        LoadError::Unreachable { .. } => failure.hint("is the server running? `sconce serve` starts one"),
        LoadError::System(_) => failure,
    }
}
