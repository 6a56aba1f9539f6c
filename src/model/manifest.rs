//! `model.toml`: everything a prediction depends on, but for the weights and the tokenizer it names the digests of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::files;
use crate::engine::Precision;
use crate::image::Preparation;
use crate::limits::{LABEL_BYTES_MAX, LABELS_MAX, TEXT_TOKENS_MAX};
use crate::nn::Architecture;
use crate::value::{Objective, Task};

/// The contents of `model.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format: 1.
    pub format: u32,
    /// What the model does.
    pub task: Task,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Licence of the model and of the data behind it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
    /// How outputs become scores.
    pub objective: Objective,
    /// The numbers that the network computes in on a CPU.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
    /// The labels, in the order of the outputs.
    pub labels: Vec<String>,
    /// The network.
    pub architecture: Architecture,
    /// How an input becomes what the network sees.
    pub input: InputPreparation,
    /// Every other file of the directory that loading reads, with its size and digest.
    pub files: BTreeMap<String, FileDigest>,
    /// What decided the result of training: recipe, data, seed, figures. Shown, never read back.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub training: toml::Table,
}

/// How an input becomes what the network sees: `[input.text]` or `[input.picture]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputPreparation {
    /// Tokenized.
    Text(TextInput),
    /// Decoded, resized, normalised.
    Picture(Preparation),
}

/// How a text becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextInput {
    /// Tokens read; a longer text is cut after them.
    pub tokens_max: usize,
}

/// Size and digest of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

/// The version of the format that this binary reads and writes.
const FORMAT: u32 = 1;

impl Manifest {
    /// Reads `model.toml` and checks every field against its limit and the fields against each other.
    ///
    /// # Errors
    /// One line a problem, each naming its key, what was found and what was expected.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let table: toml::Table = toml::from_str(text).map_err(|error| vec![located(text, "", &error)])?;
        // A later format may have other keys: say so before complaining of them.
        match table.get("format").map(toml::Value::as_integer) {
            Some(Some(format)) if format == i64::from(FORMAT) => {}
            Some(Some(format)) => {
                return Err(vec![format!("format is {format}: this binary reads format {FORMAT}")]);
            }
            Some(None) => return Err(vec![format!("format is no whole number, expected {FORMAT}")]),
            None => return Err(vec![format!("format is missing, expected {FORMAT}")]),
        }
        let source = toml::Deserializer::parse(text).map_err(|error| vec![located(text, "", &error)])?;
        let manifest: Self = serde_path_to_error::deserialize(source).map_err(|error| {
            let key = error.path().to_string();
            vec![located(text, if key == "." { "" } else { &key }, error.inner())]
        })?;
        let problems = manifest.problems();
        if problems.is_empty() { Ok(manifest) } else { Err(problems) }
    }

    /// Checks the fields against their limits and each other (task, architecture, labels, input, files).
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.format != FORMAT {
            problems.push(format!("format is {}: this binary reads format {FORMAT}", self.format));
        }
        problems.extend(self.label_problems());
        match self.architecture.validate() {
            Ok(()) => problems.extend(self.output_problem()),
            Err(error) => problems.push(error.to_string()),
        }
        problems.extend(self.precision_problem());
        problems.extend(self.input_problems());
        problems.extend(self.file_problems());
        problems
    }

    fn label_problems(&self) -> Vec<String> {
        let count = self.labels.len();
        let mut problems = Vec::new();
        match self.objective {
            Objective::Binary if count != 2 => {
                problems.push(format!("labels has {count} entries, expected 2 for objective binary"));
            }
            Objective::MultiClass if !(2..=LABELS_MAX).contains(&count) => {
                problems.push(format!("labels has {count} entries, expected 2 to {LABELS_MAX}"));
            }
            Objective::MultiLabel if !(1..=LABELS_MAX).contains(&count) => {
                problems.push(format!("labels has {count} entries, expected 1 to {LABELS_MAX}"));
            }
            _ => {}
        }
        let mut seen = BTreeMap::new();
        for (place, label) in self.labels.iter().enumerate() {
            if label.trim().is_empty() {
                problems.push(format!("labels[{place}] is empty"));
            } else if label.len() > LABEL_BYTES_MAX {
                let bytes = label.len();
                problems
                    .push(format!("labels[{place}] has {bytes} bytes, expected at most {LABEL_BYTES_MAX}"));
            } else if let Some(first) = seen.insert(label, place) {
                problems.push(format!("labels[{place}] is {label:?}, as labels[{first}] is already"));
            }
        }
        problems
    }

    fn output_problem(&self) -> Option<String> {
        let (found, labels) = (self.architecture.outputs(), self.labels.len());
        let expected = self.objective.outputs(labels);
        (found != expected).then(|| {
            let objective = match self.objective {
                Objective::Binary => "binary",
                Objective::MultiClass => "multi-class",
                Objective::MultiLabel => "multi-label",
            };
            format!("architecture.outputs is {found}, expected {expected} for objective {objective} and {labels} labels")
        })
    }

    fn precision_problem(&self) -> Option<String> {
        match (self.precision, &self.architecture) {
            (Precision::F32, _) | (_, Architecture::LstmClassifier(_)) => None,
            (precision, Architecture::ConvClassifier(_)) => Some(format!(
                "precision is {precision}, expected f32 for architecture conv-classifier: only an LSTM has 16-bit kernels"
            )),
        }
    }

    fn input_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let (kind, task) = match &self.architecture {
            Architecture::LstmClassifier(_) => ("lstm-classifier", Task::TextClassification),
            Architecture::ConvClassifier(_) => ("conv-classifier", Task::ImageClassification),
        };
        if self.task != task {
            problems.push(format!("task is {}, expected {task} for architecture {kind}", self.task));
        }
        match (&self.input, &self.architecture) {
            (InputPreparation::Text(text), Architecture::LstmClassifier(_)) => {
                if !(1..=TEXT_TOKENS_MAX).contains(&text.tokens_max) {
                    let found = text.tokens_max;
                    problems
                        .push(format!("input.text.tokens_max is {found}, expected 1 to {TEXT_TOKENS_MAX}"));
                }
            }
            (InputPreparation::Picture(picture), Architecture::ConvClassifier(network)) => {
                problems.extend(picture.validate().err().map(|problem| format!("input.picture.{problem}")));
                let sides = [
                    ("channels", picture.channels, network.channels),
                    ("height", picture.height, network.height),
                    ("width", picture.width, network.width),
                ];
                for (key, found, expected) in
                    sides.into_iter().filter(|(_, found, expected)| found != expected)
                {
                    problems.push(format!(
                        "input.picture.{key} is {found}, expected {expected} as architecture.{key}"
                    ));
                }
            }
            (InputPreparation::Text(_), _) => {
                problems.push(format!("input is of text, expected [input.picture] for architecture {kind}"));
            }
            (InputPreparation::Picture(_), _) => {
                problems.push(format!("input is of pictures, expected [input.text] for architecture {kind}"));
            }
        }
        problems
    }

    fn file_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for name in self.expected_files() {
            if !self.files.contains_key(name) {
                problems.push(format!("files has no entry for {name}"));
            }
        }
        for (name, digest) in &self.files {
            let key = format!("files.{name:?}");
            match files::bytes_max(name).filter(|_| self.expected_files().any(|expected| expected == name)) {
                None => problems.push(format!("{key} is no file that loading reads")),
                Some(bytes_max) if digest.bytes > bytes_max => {
                    let found = digest.bytes;
                    problems.push(format!("{key}.bytes is {found}, expected at most {bytes_max}"));
                }
                Some(_) => {}
            }
            let plain = digest.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if digest.sha256.len() != 64 || !plain {
                problems.push(format!("{key}.sha256 is not 64 lower-case hexadecimal digits"));
            }
        }
        problems
    }

    /// The files that loading reads beside the manifest.
    pub(super) fn expected_files(&self) -> impl Iterator<Item = &'static str> {
        let tokenizer = matches!(self.input, InputPreparation::Text(_)).then_some(files::TOKENIZER);
        [files::WEIGHTS, files::GOLDEN].into_iter().chain(tokenizer)
    }
}

/// A message with its line and key, on one line.
fn located(text: &str, key: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', ", ");
    let line =
        error.span().map(|span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
    match (line, key) {
        (Some(line), "") => format!("line {line}: {message}"),
        (Some(line), key) => format!("line {line}: {key}: {message}"),
        (None, "") => message,
        (None, key) => format!("{key}: {message}"),
    }
}

#[cfg(test)]
mod tests;
