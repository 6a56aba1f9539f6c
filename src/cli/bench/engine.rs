//! `sconce bench engine`: what a model's engine computes without a server.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::{http::json, seconds};
use crate::bench::engine::{
    EngineError, MadeUp, Parts, Report, Rows, Settings, Subject, answers, made_up, measure, measure_parts,
    read,
};
use crate::cli::place::Place;
use crate::cli::{Failure, output};
use crate::engine::{Plan, quiet_pools};
use crate::limits::{
    BENCH_ROWS_MADE_UP, BENCH_SECONDS_MAX, BENCH_TOKENS_DEFAULT, ENGINE_ROWS_MAX, TEXT_TOKENS_MAX,
    WORKERS_MAX,
};
use crate::model::Model;
use crate::nn::Architecture;
use crate::pipeline::{PrepareError, Preparer, Presenter};
use crate::text::Tokenizer;
use crate::value::{Input, Logits};

/// Measures what a model's engine computes, without HTTP and without a queue
///
/// Rows stream through: a slot whose row is finished takes the next row at once, for as long as the measurement takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The model: models/NAME (its latest version) or models/NAME/VERSION
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Rows held at once, by all engines together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count::<{ ENGINE_ROWS_MAX * WORKERS_MAX }>)]
    batch: usize,

    /// Threads, of all engines together
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = count::<WORKERS_MAX>)]
    threads: usize,

    /// Engines, each with its share of rows and threads [default: as many as threads from 8 rows a thread, else 1]
    #[arg(long, value_name = "E", value_parser = count::<WORKERS_MAX>)]
    engines: Option<usize>,

    /// Seconds that count
    #[arg(long, value_name = "S", default_value = "1", value_parser = time)]
    seconds: Duration,

    /// Rows as JSON Lines: "a text", {"tokens": [1, 2]}, {"pixels": [0.1, …]} (channel by channel, normalised) or
    /// {"path": "picture.png"} [default: made up]
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,

    /// Tokens of a row that is made up
    #[arg(long, value_name = "N", default_value_t = BENCH_TOKENS_DEFAULT, value_parser = count::<TEXT_TOKENS_MAX>)]
    tokens: usize,

    /// What made up rows follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Prints the logits of every row as JSON, {"answers": [[…], …]}, and measures nothing
    #[arg(long, conflicts_with = "parts")]
    answers: bool,

    /// Also measures, alone, what a request takes outside of the engine: preparing its input, presenting its answer
    #[arg(long)]
    parts: bool,

    /// Prints a JSON object
    #[arg(long)]
    json: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    seconds(text, 0.001, BENCH_SECONDS_MAX)
}

/// A whole number from 1 to `MOST`.
fn count<const MOST: usize>(text: &str) -> Result<usize, String> {
    let number = text.trim().parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("expected a whole number from 1 to {MOST}"))
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    quiet_pools();
    let place = Place::find(&arguments.model)?;
    let loaded = place.load()?;
    let architecture = &loaded.manifest.architecture;
    let precision = loaded.manifest.precision;
    let plan = Plan::new(architecture, &loaded.weights, precision, &candle_core::Device::Cpu)
        .map_err(Failure::data)?;
    let rows = rows(arguments, &loaded)?;
    if arguments.answers {
        let batch = arguments.batch.min(ENGINE_ROWS_MAX);
        return print_answers(&answers(&plan, &rows.features, batch).map_err(failure)?);
    }
    let settings = Settings {
        batch: arguments.batch,
        threads: arguments.threads,
        engines: arguments.engines,
        time: arguments.seconds,
    };
    let measured = measure(&plan, &rows.features, &settings).map_err(failure)?;
    let name = place.directory.display().to_string();
    let subject = Subject { model: &name, architecture, precision, plan: &plan, rows: &rows.features };
    let mut report = Report::new(subject, &settings, &measured);
    if arguments.parts {
        report.parts = Some(parts(&loaded, &plan, rows.inputs, arguments.seconds)?);
    }
    output::print(&if arguments.json { json(&report)? } else { report.to_string() })
}

/// The rows of the file that was given, or rows that are made up: some more than are held at once, so that each joins
/// others than the last time, and enough for the words of a table to come from memory as they do in earnest.
fn rows(arguments: &Arguments, loaded: &Model) -> Result<Rows, Failure> {
    let architecture = &loaded.manifest.architecture;
    let Some(path) = &arguments.inputs else {
        let count = (2 * arguments.batch + 1).max(BENCH_ROWS_MADE_UP);
        return Ok(made_up(architecture, MadeUp { count, tokens: arguments.tokens, seed: arguments.seed }));
    };
    read_rows(path, &preparer(loaded), architecture)
}

fn read_rows(path: &Path, preparer: &Preparer, architecture: &Architecture) -> Result<Rows, Failure> {
    let failed = |reason: String| Failure::data(format!("{}: {reason}", path.display()));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    read(BufReader::new(file), preparer, architecture).map_err(|error| failed(error.to_string()))
}

fn preparer(loaded: &Model) -> Preparer {
    Preparer::new(loaded.manifest.input.clone(), loaded.tokenizer.clone())
}

/// The parts with the inputs that were given, or else with the model's own golden samples.
fn parts(loaded: &Model, plan: &Plan, given: Vec<Input>, time: Duration) -> Result<Parts, Failure> {
    let golden = || loaded.golden.iter().map(|sample| Input::from(&sample.input)).collect();
    let inputs: Vec<Input> = if given.is_empty() { golden() } else { given };
    let presenter = Presenter::new(loaded.manifest.objective, &loaded.manifest.labels);
    let known = preparer(loaded);
    let rows: Result<Vec<_>, _> = inputs.iter().map(|input| Ok(known.prepare(input)?.features)).collect();
    let rows = rows.map_err(|error: PrepareError| Failure::data(error))?;
    let answers = answers(plan, &rows, rows.len().clamp(1, ENGINE_ROWS_MAX)).map_err(failure)?;
    // A tokenizer that has seen no text: clones of the model's own share the words they know.
    let fresh = |tokenizer: &Tokenizer| Tokenizer::from_json(&tokenizer.to_json()?);
    let tokenizer = loaded.tokenizer.as_ref().map(fresh).transpose().map_err(Failure::data)?;
    let unknown = Preparer::new(loaded.manifest.input.clone(), tokenizer);
    measure_parts((&unknown, &inputs), (&presenter, &answers), time).map_err(Failure::data)
}

fn print_answers(answers: &[Logits]) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Answers<'a> {
        answers: Vec<&'a [f32]>,
    }
    output::print(&json(&Answers { answers: answers.iter().map(Logits::values).collect() })?)
}

fn failure(error: EngineError) -> Failure {
    match error {
        EngineError::Share { .. }
        | EngineError::Uneven { .. }
        | EngineError::Together { .. }
        | EngineError::Rows { .. } => Failure::usage(error).hint("--engines, --threads and --batch decide"),
        EngineError::NoRow | EngineError::Row { .. } => Failure::data(error),
        EngineError::Thread(_) => Failure::failed(error),
    }
}
