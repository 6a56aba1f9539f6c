//! `model.toml`: everything a prediction depends on, but for the weights and the tokenizer it names the digests of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::Preparation;
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

impl Manifest {
    /// Reads `model.toml` and checks every field against its limit and the fields against each other.
    ///
    /// # Errors
    /// One line a problem, each naming its key, what was found and what was expected.
    pub fn parse(_text: &str) -> Result<Self, Vec<String>> {
        todo!()
    }

    /// Checks the fields against their limits and each other (task, architecture, labels, input).
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        todo!()
    }
}
