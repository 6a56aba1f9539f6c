//! The command line: verbs, flags, exit codes.
//!
//! Results go to standard output, everything else to standard error. 0: well, 1: it failed, 2: wrong usage, 64: wrong
//! configuration or data.

mod bench;
mod check;
mod config;
mod evaluate;
mod failure;
mod health;
mod import;
mod openapi;
mod output;
mod place;
mod predict;
mod serve;
mod settings;
mod train;
mod variables;
mod version;

pub use failure::{Exit, Failure};
pub use variables::command;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{FromArgMatches as _, Parser, Subcommand};

/// Serves and trains text and image models, from one binary.
#[derive(Debug, Parser)]
#[command(
    name = "sconce",
    version,
    before_help = START,
    after_help = "Exit codes: 0 well, 1 it failed, 2 wrong usage, 64 wrong configuration or data.",
    max_term_width = 100
)]
struct Line {
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What a bare `sconce` says first.
const START: &str = "\
Start here:
  sconce serve                       serves the models in ./models on http://127.0.0.1:8080
  sconce predict models/NAME \"text\"  answers here, without a server
  sconce serve --help                every flag, its default, its environment variable";

/// What there is to do.
#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Arguments),
    Train(train::Arguments),
    Evaluate(evaluate::Arguments),
    Import(import::Arguments),
    Predict(predict::Arguments),
    Check(check::Arguments),
    Bench(bench::Arguments),
    Config(config::Arguments),
    Openapi(openapi::Arguments),
    Version(version::Arguments),
    Health(health::Arguments),
}

/// Runs the program with these arguments, the first being its own name.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    if let Some(base) = train::sagemaker::called(&arguments) {
        return ended(train::sagemaker::run(&base));
    }
    let parsed =
        command().try_get_matches_from(arguments).and_then(|matches| Line::from_arg_matches(&matches));
    match parsed {
        Ok(Line { verb: Some(verb) }) => ended(act(verb)),
        Ok(Line { verb: None }) => ended(output::print(&command().render_help().to_string())),
        Err(said) => answered_by_clap(&said),
    }
}

/// The exit code; why it is not 0 goes to standard error.
fn ended(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure.exit != Exit::Unread {
                output::complain(&failure.to_string());
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Help and versions were asked for and go to standard output; wrong usage goes to standard error.
fn answered_by_clap(said: &clap::Error) -> ExitCode {
    // A reader that is gone wants neither.
    said.print().ok();
    if said.use_stderr() { ExitCode::from(Exit::Usage as u8) } else { ExitCode::SUCCESS }
}

fn act(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Serve(arguments) => serve::run(&arguments),
        Verb::Train(arguments) => train::run(arguments),
        Verb::Evaluate(arguments) => evaluate::run(&arguments),
        Verb::Import(arguments) => import::run(&arguments),
        Verb::Predict(arguments) => predict::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Config(arguments) => config::run(&arguments),
        Verb::Openapi(arguments) => openapi::run(&arguments),
        Verb::Version(arguments) => version::run(&arguments),
        Verb::Health(arguments) => health::run(&arguments),
    }
}
