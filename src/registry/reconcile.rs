//! The registry itself: lock-free resolution, and bringing what serves in line with what is wanted.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{Entry, ModelStatus, Policies, Unresolved};
use crate::name::{ModelName, Version};

/// Where versions come from.
pub trait Source: Send + Sync {
    /// What a loaded version is.
    type Handle: Send + Sync + 'static;

    /// Every version there is, with a stamp that changes when its contents do.
    ///
    /// # Errors
    /// The source cannot be read; what serves goes on serving.
    fn scan(&self) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String>;

    /// Reads, checks and warms one version.
    ///
    /// # Errors
    /// Why the version is refused.
    fn load(&self, model: &ModelName, version: Version) -> Result<Self::Handle, String>;
}

/// The models that serve. Shared by `Arc`; resolution takes no lock.
#[derive(Debug)]
pub struct Registry<H> {
    handle: PhantomData<H>,
}

impl<H: Send + Sync + 'static> Registry<H> {
    /// An empty registry.
    #[must_use]
    pub fn new(_policies: Policies) -> Self {
        todo!()
    }

    /// Scans the source, loads what is wanted and missing, swaps it in, retires what is no longer wanted.
    ///
    /// Blocking and slow: one loader thread calls it. The old version serves until the new one is loaded; a version
    /// that fails is refused with its reason and tried again when its stamp changes.
    pub fn reconcile<S: Source<Handle = H>>(&self, _source: &S) {
        todo!()
    }

    /// The version that answers for `model`: the given one, or the latest ready.
    ///
    /// # Errors
    /// No such model or version, or it is not ready.
    pub fn resolve(&self, _model: &str, _version: Option<Version>) -> Result<Arc<Entry<H>>, Unresolved> {
        todo!()
    }

    /// Every model, by name.
    #[must_use]
    pub fn models(&self) -> Vec<ModelStatus<H>> {
        todo!()
    }

    /// One model.
    ///
    /// # Errors
    /// [`Unresolved::UnknownModel`], with the nearest name.
    pub fn model(&self, _name: &str) -> Result<ModelStatus<H>, Unresolved> {
        todo!()
    }

    /// Whether a first reconciliation is over and every model on disk has a version that answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        todo!()
    }
}
