//! Which versions of a model are to serve.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use crate::name::{ModelName, Version};

/// Which versions of a model are to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The latest so many that load.
    Latest(NonZeroUsize),
    /// Exactly these.
    Versions(BTreeSet<Version>),
}

/// The policy of each model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// For models without one of their own.
    pub default: Policy,
    /// By model.
    pub models: BTreeMap<ModelName, Policy>,
}

impl Policies {
    /// The policy of `model`.
    pub(super) fn of(&self, model: &ModelName) -> &Policy {
        self.models.get(model).unwrap_or(&self.default)
    }
}

impl Policy {
    /// Whether `version` may be one that it wants.
    pub(super) fn considers(&self, version: Version) -> bool {
        match self {
            Self::Latest(_) => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }

    /// Versions wanted at most.
    pub(super) fn count_max(&self) -> usize {
        match self {
            Self::Latest(count) => count.get(),
            Self::Versions(versions) => versions.len(),
        }
    }
}
