//! What `sconce import` is told besides the weights: labels, tokenizer, and how inputs and outputs are meant.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::cli::Failure;
use crate::image::{Fit, Preparation};
use crate::limits;
use crate::model::{InputPreparation, TextInput};
use crate::nn::Architecture;
use crate::text::Tokenizer;
use crate::value::Objective;

/// Settings that are no part of an architecture.
pub(super) const SETTINGS: [(&str, &str); 5] = [
    ("objective", "binary (default with one output), multi-class (default with more) or multi-label"),
    ("tokens_max", "texts: tokens that are read, the rest is cut; 512 when absent"),
    (
        "mean",
        "pictures: subtracted from values of 0 to 1, one number or one a channel, comma separated; 0 when absent",
    ),
    ("std", "pictures: then divided by; 1 when absent"),
    ("fit", "pictures of another shape: stretch (default), cover or contain"),
];

/// Tokens of a text that are read when nothing is said.
const TOKENS_DEFAULT: usize = 512;

/// What was said of inputs and outputs.
#[derive(Debug, Default)]
pub(super) struct Preparing {
    objective: Option<Objective>,
    tokens_max: Option<usize>,
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
    fit: Option<Fit>,
}

impl Preparing {
    /// Takes one of [`SETTINGS`].
    ///
    /// # Errors
    /// The value is not what the key takes.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), Failure> {
        let wrong = |expected: &str| Failure::usage(format!("--set {key}={value}: expected {expected}"));
        match key {
            "objective" => {
                let parsed = named(value).ok_or_else(|| wrong("binary, multi-class or multi-label"))?;
                self.objective = Some(parsed);
            }
            "fit" => self.fit = Some(named(value).ok_or_else(|| wrong("stretch, cover or contain"))?),
            "tokens_max" => {
                let most = limits::TEXT_TOKENS_MAX;
                let tokens = value.parse().ok().filter(|tokens| (1..=most).contains(tokens));
                self.tokens_max = Some(tokens.ok_or_else(|| wrong(&format!("a number from 1 to {most}")))?);
            }
            _ => {
                let said =
                    numbers(value).ok_or_else(|| wrong("a number, or one a channel, comma separated"))?;
                *(if key == "mean" { &mut self.mean } else { &mut self.std }) = Some(said);
            }
        }
        Ok(())
    }

    /// How outputs become scores: as it was said, else as outputs and labels tell.
    ///
    /// # Errors
    /// Labels and outputs do not fit.
    pub(super) fn objective(
        &self,
        architecture: &Architecture,
        labels: usize,
        file: &Path,
    ) -> Result<Objective, Failure> {
        let outputs = architecture.outputs();
        let objective =
            self.objective.unwrap_or(if outputs == 1 { Objective::Binary } else { Objective::MultiClass });
        let expected = if objective == Objective::Binary { 2 } else { outputs };
        if labels != expected || objective.outputs(labels) != outputs {
            let needs = match objective {
                Objective::Binary => {
                    "binary: one output and two labels, the second is the one that the output speaks for"
                }
                Objective::MultiClass | Objective::MultiLabel => "a label an output",
            };
            let message =
                format!("{}: {labels} labels for {outputs} outputs; expected {needs}", file.display());
            return Err(Failure::data(message)
                .hint("--set objective=binary, multi-class or multi-label changes how outputs are read"));
        }
        Ok(objective)
    }

    /// How an input becomes what the network sees.
    ///
    /// # Errors
    /// A setting is of the other kind of input, or has not one value a channel.
    pub(super) fn preparation(&self, architecture: &Architecture) -> Result<InputPreparation, Failure> {
        match architecture {
            Architecture::LstmClassifier(_) => {
                let of_pictures =
                    [("mean", self.mean.is_some()), ("std", self.std.is_some()), ("fit", self.fit.is_some())];
                if let Some((key, _)) = of_pictures.iter().find(|(_, said)| *said) {
                    return Err(Failure::usage(format!(
                        "--set {key}: the weights are a text model's; it has no pictures"
                    )));
                }
                Ok(InputPreparation::Text(TextInput {
                    tokens_max: self.tokens_max.unwrap_or(TOKENS_DEFAULT),
                }))
            }
            Architecture::ConvClassifier(config) => {
                if self.tokens_max.is_some() {
                    return Err(Failure::usage(
                        "--set tokens_max: the weights are an image model's; it has no tokens",
                    ));
                }
                let each = |said: &Option<Vec<f32>>, default: f32| match said.as_deref() {
                    Some([one]) => vec![*one; config.channels],
                    Some(several) => several.to_vec(),
                    None => vec![default; config.channels],
                };
                let preparation = Preparation {
                    channels: config.channels,
                    height: config.height,
                    width: config.width,
                    fit: self.fit.unwrap_or_default(),
                    mean: each(&self.mean, 0.0),
                    std: each(&self.std, 1.0),
                };
                preparation.validate().map_err(Failure::usage)?;
                Ok(InputPreparation::Picture(preparation))
            }
        }
    }
}

/// A value of a closed list, by the name it has in `model.toml`.
fn named<T: serde::de::DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

fn numbers(text: &str) -> Option<Vec<f32>> {
    let parsed: Option<Vec<f32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    parsed.filter(|numbers| numbers.iter().all(|number| number.is_finite()))
}

/// The tokenizer that a text model needs, and an image model does not.
///
/// # Errors
/// It is missing, superfluous or wrong, or has tokens that the network does not know.
pub(super) fn tokenizer(
    path: Option<&Path>,
    architecture: &Architecture,
) -> Result<Option<Tokenizer>, Failure> {
    let config = match (architecture, path) {
        (Architecture::ConvClassifier(_), None) => return Ok(None),
        (Architecture::ConvClassifier(_), Some(_)) => {
            return Err(Failure::usage("--tokenizer: the weights are an image model's; leave it out"));
        }
        (Architecture::LstmClassifier(config), _) => config,
    };
    let Some(path) = path else {
        let message = "the weights are a text model's, which needs the tokenizer it was trained with";
        return Err(Failure::usage(message).hint(
            "give --tokenizer tokenizer.json, in the format of Hugging Face; in Python: tokenizer.save(\"tokenizer.json\")",
        ));
    };
    let bytes = read(path, limits::TOKENIZER_BYTES_MAX)?;
    let tokenizer = Tokenizer::from_json(&bytes)
        .map_err(|error| Failure::data(format!("{}: {error}", path.display())))?;
    let (tokens, rows) = (tokenizer.vocabulary(), config.vocabulary);
    if tokens > rows {
        let message = format!("{}: {tokens} token ids, but embedding.weight has {rows} rows", path.display());
        return Err(Failure::data(message).hint("give the tokenizer that the network was trained with"));
    }
    Ok(Some(tokenizer))
}

/// The labels of a file: one a line, or a JSON array.
///
/// # Errors
/// It cannot be read, or a label is empty, too long or there twice.
pub(super) fn labels(path: &Path) -> Result<Vec<String>, Failure> {
    let wrong = |problem: String| Failure::data(format!("{}: {problem}", path.display()));
    let text = String::from_utf8(read(path, limits::LABELS_FILE_BYTES_MAX)?)
        .map_err(|error| wrong(format!("not UTF-8: {error}")))?;
    let labels: Vec<String> = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text)
            .map_err(|error| wrong(format!("expected a JSON array of texts: {error}")))?
    } else {
        text.trim_end().lines().map(|line| line.trim().to_owned()).collect()
    };
    if !(2..=limits::LABELS_MAX).contains(&labels.len()) {
        return Err(wrong(format!("{} labels, expected 2 to {}", labels.len(), limits::LABELS_MAX)));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (number, label) in (1..).zip(&labels) {
        if label.is_empty() || label.len() > limits::LABEL_BYTES_MAX {
            let most = limits::LABEL_BYTES_MAX;
            return Err(wrong(format!("label {number} has {} bytes, expected 1 to {most}", label.len())));
        }
        if !seen.insert(label) {
            return Err(wrong(format!("label {number}, {label:?}, is there twice")));
        }
    }
    Ok(labels)
}

/// The whole file, within its limit.
///
/// # Errors
/// It cannot be read, or is longer.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::data(format!("{}: {error}", path.display())))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::data(format!("{}: longer than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
