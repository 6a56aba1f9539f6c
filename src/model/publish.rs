//! Publishing: a version appears under `models/<name>/` by one rename, complete, or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{GoldenSample, Manifest};
use crate::name::Version;
use crate::nn::Weights;
use crate::text::Tokenizer;

/// What is to become a version.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The manifest; its `files` are filled in by publishing.
    pub manifest: Manifest,
    /// The tensors, exactly those of the architecture.
    pub weights: Weights,
    /// The tokenizer, when the input is text.
    pub tokenizer: Option<Tokenizer>,
    /// At least one sample.
    pub golden: Vec<GoldenSample>,
    /// Further files (`metrics.json`, `report.html`, `LICENSE`), not read by loading.
    pub extras: BTreeMap<String, Vec<u8>>,
}

/// Why nothing was published. The staging directory is gone.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The draft would not load.
    #[error("not published, the model would not load: {}", .0.join("; "))]
    Unloadable(Vec<String>),
    /// The disk refused.
    #[error("{path}: {source}")]
    Io {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Publishes the draft as the next version under `models/<name>` (made when absent): staged beside it, every file
/// and directory synced, then renamed. Returns the version.
///
/// # Errors
/// The draft would not load, or the disk refused; nothing is left behind.
pub fn publish(_model_directory: &Path, _draft: &Draft) -> Result<Version, PublishError> {
    todo!()
}
