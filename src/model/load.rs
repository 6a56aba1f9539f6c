//! Loading a version directory with every check that can be made without running the network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{GoldenSample, Manifest};
use crate::name::{ModelName, Version};
use crate::nn::Weights;
use crate::text::Tokenizer;

/// A model version, read and checked: sizes within limits, digests right, exactly the expected tensors, all finite.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it is.
    pub manifest: Manifest,
    /// Its tensors, f32, on the CPU.
    pub weights: Weights,
    /// Its tokenizer, when its input is text.
    pub tokenizer: Option<Tokenizer>,
    /// What it must reproduce.
    pub golden: Vec<GoldenSample>,
}

/// What is wrong with a version directory: every finding, not only the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", directory.display(), findings.join("; "))]
pub struct LoadError {
    /// The directory.
    pub directory: PathBuf,
    /// One line each: file, tensor or key; found; expected.
    pub findings: Vec<String>,
}

/// Reads and checks the version directory `models/<name>/<version>`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(_directory: &Path) -> Result<Model, LoadError> {
    todo!()
}

/// The models and versions under a models directory, each with a stamp of its files (names, sizes, times), which
/// changes when they do. Folders whose names are no model name or version (staging, checkpoints) are passed over.
///
/// # Errors
/// The directory cannot be read, or holds more models or versions than the limits allow.
pub fn versions(_models: &Path) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
    todo!()
}
