//! The rows that an engine is measured with: from a file, or made up from a seed.

use std::io::{self, BufRead};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::limits::{BENCH_ROWS_MAX, BODY_BYTES_MAX};
use crate::nn::Architecture;
use crate::pipeline::{PrepareError, Preparer};
use crate::value::{Features, Input};

/// Rows as a network sees them, and what they were made of where that is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// What the network sees, a row each.
    pub features: Vec<Features>,
    /// The texts or pictures among them, as they were given.
    pub inputs: Vec<Input>,
}

/// Why a file is no rows.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// A line is no row.
    #[error(
        "line {line}: expected a JSON string, {{\"tokens\": […]}}, {{\"pixels\": […]}} or {{\"path\": \"…\"}}: {reason}"
    )]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What reading it said.
        reason: String,
    },
    /// A text or a picture cannot be prepared.
    #[error("line {line}: {reason}")]
    Unprepared {
        /// Its number, from 1.
        line: usize,
        /// Why.
        reason: PrepareError,
    },
    /// A row does not fit the network.
    #[error("line {line}: {reason}")]
    Unfit {
        /// Its number, from 1.
        line: usize,
        /// What was found and what was expected.
        reason: String,
    },
    /// Too many rows.
    #[error("more than {BENCH_ROWS_MAX} rows")]
    TooMany,
    /// No rows.
    #[error("no row in it")]
    Empty,
}

/// A row as it is written.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Text(String),
    Named(Named),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Named {
    /// Token ids.
    Tokens(Vec<u32>),
    /// Normalised pixels, channel by channel, row by row.
    Pixels(Vec<f32>),
    /// The path of a picture.
    Path(String),
}

/// Reads JSON Lines and prepares what is a text or a picture; empty lines are passed over.
///
/// # Errors
/// The first line that is no row of this network.
pub fn read(
    reader: impl BufRead,
    preparer: &Preparer,
    architecture: &Architecture,
) -> Result<Rows, RowsError> {
    let mut rows = Rows::default();
    for (line, text) in (1..).zip(reader.lines()) {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        if rows.features.len() == BENCH_ROWS_MAX {
            return Err(RowsError::TooMany);
        }
        let wrong = |reason: String| RowsError::Line { line, reason };
        let input = match serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))? {
            Line::Text(text) => Input::Text(text),
            Line::Named(Named::Path(path)) => Input::Picture(picture(&path).map_err(wrong)?.into()),
            Line::Named(Named::Tokens(ids)) => {
                rows.add(architecture, Features::Tokens(ids.into()), line)?;
                continue;
            }
            Line::Named(Named::Pixels(values)) => {
                rows.add(architecture, Features::Pixels(values.into()), line)?;
                continue;
            }
        };
        let found = preparer.prepare(&input).map_err(|reason| RowsError::Unprepared { line, reason })?;
        rows.add(architecture, found.features, line)?;
        rows.inputs.push(input);
    }
    if rows.features.is_empty() { Err(RowsError::Empty) } else { Ok(rows) }
}

impl Rows {
    fn add(&mut self, architecture: &Architecture, row: Features, line: usize) -> Result<(), RowsError> {
        architecture.accepts(&row).map_err(|reason| RowsError::Unfit { line, reason })?;
        self.features.push(row);
        Ok(())
    }
}

fn picture(path: &str) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("{path}: {error}");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    io::Read::read_to_end(&mut io::Read::take(file, BODY_BYTES_MAX as u64 + 1), &mut bytes)
        .map_err(failed)?;
    if bytes.len() > BODY_BYTES_MAX {
        Err(format!("{path}: longer than {BODY_BYTES_MAX} bytes"))
    } else {
        Ok(bytes)
    }
}

/// What [`made_up`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeUp {
    /// Rows.
    pub count: usize,
    /// Tokens of each, of a text network.
    pub tokens: usize,
    /// What they follow from.
    pub seed: u64,
}

/// Rows that fit the network: token ids evenly from its vocabulary, pixels evenly from -1 to 1.
#[must_use]
pub fn made_up(architecture: &Architecture, wanted: MadeUp) -> Rows {
    let mut generator = ChaCha8Rng::seed_from_u64(wanted.seed);
    let mut row = || match architecture {
        Architecture::LstmClassifier(config) => {
            let ids = u32::try_from(config.vocabulary).unwrap_or(u32::MAX);
            Features::Tokens((0..wanted.tokens).map(|_| generator.random_range(0..ids)).collect())
        }
        Architecture::ConvClassifier(config) => {
            let values = config.channels * config.height * config.width;
            Features::Pixels((0..values).map(|_| generator.random_range(-1.0..1.0)).collect())
        }
    };
    Rows { features: (0..wanted.count).map(|_| row()).collect(), inputs: Vec::new() }
}
