//! What the registry says of its models.

use std::sync::Arc;

use crate::name::{ModelName, Version};

/// A version that answers. Holding one keeps the version alive past its replacement.
#[derive(Debug)]
pub struct Entry<H> {
    /// The model's name.
    pub model: ModelName,
    /// The version's number.
    pub version: Version,
    /// What answers.
    pub handle: H,
}

/// Where a version is in its life.
#[derive(Debug)]
pub enum State<H> {
    /// Being read, checked and warmed.
    Loading,
    /// Answering.
    Ready(Arc<Entry<H>>),
    /// Refused, and why; tried again when its directory changes.
    Failed {
        /// What the loader said.
        reason: String,
    },
    /// On disk, not wanted by the policy.
    Idle,
}

/// One version of a model.
#[derive(Debug)]
pub struct VersionStatus<H> {
    /// The version's number.
    pub version: Version,
    /// Where it is in its life.
    pub state: State<H>,
    /// Why its present contents were refused while it goes on answering with the ones before.
    pub last_failure: Option<String>,
}

/// One model and all its versions on disk or in memory, latest first.
#[derive(Debug)]
pub struct ModelStatus<H> {
    /// The model's name.
    pub name: ModelName,
    /// Its versions, latest first.
    pub versions: Vec<VersionStatus<H>>,
    /// Whether it was unloaded by request: none of its versions serves until it is loaded by request.
    pub unloaded: bool,
}

/// Why a name and version resolve to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// No such model.
    #[error("there is no model {wanted:?}")]
    UnknownModel {
        /// The name asked for.
        wanted: String,
        /// The known name nearest to it.
        nearest: Option<ModelName>,
        /// The names that are known.
        known: Vec<ModelName>,
    },
    /// The model has no such version.
    #[error("model {model} has no version {wanted}")]
    UnknownVersion {
        /// The model.
        model: ModelName,
        /// The version asked for.
        wanted: Version,
        /// The versions that answer.
        ready: Vec<Version>,
    },
    /// The model or version exists and does not answer.
    #[error("model {model} is not ready: {reason}")]
    NotReady {
        /// The model.
        model: ModelName,
        /// Why: loading, idle by policy, or what the loader said.
        reason: String,
        /// Whether it may answer soon: it is being loaded, or models are still being looked for.
        soon: bool,
    },
}
