//! `sconce train`: from data and a recipe to a published version, and the command that serves it.

pub(super) mod sagemaker;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::{Failure, output};
use crate::train::session::{self, Options, Overrides, SessionError, Start, Stop};
use crate::train::{BadRows, Interrupt};
use crate::value::Task;

/// Trains a text or image classifier and publishes it as the next version of a model
///
/// Text: a .tsv or .csv with the columns text and label, a .jsonl of {"text", "label"}, or a folder of such files.
/// Pictures: a folder with a folder of pictures a class, or a .csv with the columns path and label. Without any argument
/// it runs the job that a training platform has put into /opt/ml (docs/training.md).
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What is classified
    #[arg(value_name = "text|image", value_enum, hide_possible_values = true)]
    kind: Kind,

    /// The data to train on
    #[arg(long, value_name = "PATH")]
    data: PathBuf,

    /// The data to validate on [default: a share of --data, held out]
    #[arg(long, value_name = "PATH")]
    valid: Option<PathBuf>,

    /// The model's directory; the new version appears in it
    #[arg(long, value_name = "models/NAME")]
    out: PathBuf,

    /// The recipe, a TOML file [default: one compiled in, config/train/text.toml or image.toml]
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,

    /// What every random number follows from [default: the recipe's, 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,

    /// Times that all rows are seen [default: the recipe's]
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,

    /// Rows a step [default: the recipe's]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,

    /// Step size of the optimizer [default: the recipe's]
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,

    /// Epochs without a better one after which training stops [default: the recipe's]
    #[arg(long, value_name = "N")]
    patience: Option<u64>,

    /// A tokenizer.json to use [default: one is trained from the data]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,

    /// Pass over bad rows and count them, instead of stopping at the first
    #[arg(long)]
    skip_bad_rows: bool,

    /// Go on with the unfinished run in --out
    #[arg(long, conflicts_with = "restart")]
    resume: bool,

    /// Throw away the unfinished run in --out
    #[arg(long)]
    restart: bool,

    /// Steps between two checkpoints; each epoch's end has one too
    #[arg(long, value_name = "STEPS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: u64,
}

/// What is classified.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    /// Texts.
    Text,
    /// Pictures.
    Image,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed(format!("signals: {error}")))?;
    let options = options(arguments);
    let finished = session::run(&options, &interrupt).map_err(failure)?;
    for line in &finished.summary {
        output::print(line)?;
    }
    output::print(&format!("sconce serve --models {}", quoted(&finished.models.to_string_lossy())))
}

fn options(arguments: Arguments) -> Options {
    Options {
        task: match arguments.kind {
            Kind::Text => Task::TextClassification,
            Kind::Image => Task::ImageClassification,
        },
        data: arguments.data,
        valid: arguments.valid,
        out: arguments.out,
        recipe: arguments.recipe,
        settings: BTreeMap::new(),
        overrides: Overrides {
            seed: arguments.seed,
            epochs: arguments.epochs,
            batch_size: arguments.batch_size,
            learning_rate: arguments.learning_rate,
            patience: arguments.patience,
            tokenizer: arguments.tokenizer,
        },
        bad_rows: if arguments.skip_bad_rows { BadRows::Skip } else { BadRows::Stop },
        start: match (arguments.resume, arguments.restart) {
            (true, _) => Start::Resume,
            (false, true) => Start::Restart,
            (false, false) => Start::Fresh,
        },
        checkpoint_steps: arguments.checkpoint_every,
        checkpoints: None,
        stop: Stop::Checkpoint,
        on_epoch: |_| (),
    }
}

fn failure(error: SessionError) -> Failure {
    match error {
        SessionError::Output { .. } => Failure::usage(error),
        SessionError::Recipe(..)
        | SessionError::Name { .. }
        | SessionError::Value { .. }
        | SessionError::Data(_) => Failure::data(error),
        SessionError::Another { .. } => {
            Failure::data(error).hint("give the same flags and data, or --restart to throw that run away")
        }
        SessionError::Interrupted(_) => {
            Failure::failed(error).hint(format!("it goes on with: {}", resuming(std::env::args_os())))
        }
        SessionError::Unfinished { .. }
        | SessionError::Busy(_)
        | SessionError::Publish(_)
        | SessionError::Failed(_) => Failure::failed(error),
    }
}

/// The command that was given, with `--resume`.
fn resuming(arguments: impl Iterator<Item = OsString>) -> String {
    let mut words: Vec<String> = arguments
        .map(|argument| argument.to_string_lossy().into_owned())
        .filter(|argument| argument != "--restart" && argument != "--resume")
        .collect();
    words.push("--resume".into());
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resuming_command_is_the_one_given() {
        let given = ["sconce", "train", "text", "--data", "my data.tsv", "--out", "models/a", "--restart"];
        assert_eq!(
            resuming(given.iter().map(OsString::from)),
            "sconce train text --data 'my data.tsv' --out models/a --resume"
        );
    }

    #[test]
    fn words_are_quoted_as_a_shell_needs() {
        assert_eq!(quoted("models"), "models");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("$HOME"), "'$HOME'");
    }
}
