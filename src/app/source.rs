//! The models directory as the registry's source of versions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use crate::http::Repository;
use crate::model;
use crate::name::{ModelName, Version, nearest};
use crate::pipeline::{self, Changes, Pipeline};
use crate::registry::Source;

/// Reads versions from a models directory, and runs each as its model's settings say.
#[derive(Debug)]
pub(super) struct ModelSource {
    pub(super) models: PathBuf,
    /// What the model is called when that directory is one model's itself.
    pub(super) name: Option<ModelName>,
    pub(super) default: pipeline::Config,
    pub(super) by_model: BTreeMap<ModelName, pipeline::Config>,
    /// Models that the settings speak of.
    pub(super) mentioned: Vec<ModelName>,
    /// Whether those that are not there have been named.
    pub(super) strangers_named: Once,
    /// What requests have changed of how models are run.
    pub(super) changes: Mutex<BTreeMap<ModelName, Changes>>,
}

impl ModelSource {
    /// A panic under the lock leaves a map that is whole.
    fn changes(&self) -> MutexGuard<'_, BTreeMap<ModelName, Changes>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says once which settings are of no effect. A warning only: a model may come later.
    fn name_strangers(&self, found: &BTreeMap<ModelName, BTreeMap<Version, u64>>) {
        self.strangers_named.call_once(|| {
            for model in self.mentioned.iter().filter(|model| !found.contains_key(*model)) {
                let nearest = nearest(model.as_str(), found.keys().map(ModelName::as_str));
                tracing::warn!(
                    model = model.as_str(),
                    nearest,
                    "the settings speak of a model that is not there"
                );
            }
        });
    }
}

impl Source for ModelSource {
    type Handle = Pipeline;

    fn scan(&self) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
        let found = match &self.name {
            Some(name) => model::versions_named(&self.models, name)?,
            None => model::versions(&self.models)?,
        };
        self.name_strangers(&found);
        Ok(found)
    }

    fn load(&self, name: &ModelName, version: Version) -> Result<Pipeline, String> {
        let directory = model::place(&self.models, name, version);
        // Without the directory: reasons are shown to callers, whom the server's paths do not concern.
        let model = model::load(&directory).map_err(|error| error.findings.join("; "))?;
        let changes = self.changes().get(name).copied().unwrap_or_default();
        let config = changes.over(self.by_model.get(name).unwrap_or(&self.default));
        Pipeline::start(name.as_str(), model, &config).map_err(|error| error.to_string())
    }
}

impl Repository for ModelSource {
    fn run_with(&self, model: &ModelName, changes: Changes) -> Changes {
        self.changes().insert(model.clone(), changes).unwrap_or_default()
    }
}
