//! `sconce bench`: measures a server over HTTP, or a model's engine without one.

mod engine;
mod http;

use super::Failure;

/// Measures a server over HTTP, or a model's engine without one
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

/// What is measured.
#[derive(Debug, clap::Subcommand)]
enum What {
    Http(http::Arguments),
    Engine(engine::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Http(arguments) => http::run(arguments),
        What::Engine(arguments) => engine::run(arguments),
    }
}

/// Seconds, fractions too, from `least` to `most`.
fn seconds(text: &str, least: f64, most: f64) -> Result<std::time::Duration, String> {
    number(text, least, most).map(std::time::Duration::from_secs_f64)
}

/// A number from `least` to `most`.
fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let expected = || format!("expected a number from {least} to {most}");
    let number: f64 = text.trim().parse().map_err(|_| expected())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(expected()) }
}
