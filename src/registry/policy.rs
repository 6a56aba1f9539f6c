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
