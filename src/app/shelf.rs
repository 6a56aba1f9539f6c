//! Models that a platform brings one by one: each from a directory of its own, as long as there is memory for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::{LoadRefusal, Shelf};
use crate::limits::{LOAD_MEMORY_TIMES, MODELS_MAX, VERSION_FILES_MAX};
use crate::model;
use crate::name::{ModelName, Version};
use crate::pipeline::{self, Pipeline};
use crate::registry::{Registry, Source};

/// The models that were brought. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Brought {
    places: Arc<Mutex<BTreeMap<ModelName, PathBuf>>>,
    default: pipeline::Config,
    by_model: BTreeMap<ModelName, pipeline::Config>,
}

impl Brought {
    /// None yet; each will be run as its model's settings say.
    pub(super) fn new(default: pipeline::Config, by_model: BTreeMap<ModelName, pipeline::Config>) -> Self {
        Self { places: Arc::default(), default, by_model }
    }

    /// Nothing panics while it holds the lock, so a poisoned state is a sound one.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ModelName, PathBuf>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one model in a directory, by the name that it has there, and its versions.
fn only_model(directory: &Path, name: &ModelName) -> Result<(ModelName, BTreeMap<Version, u64>), String> {
    let mut found = model::versions_named(directory, name)?.into_iter();
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err("the directory has no model in it: expected model.toml, VERSION/model.toml or \
                          NAME/VERSION/model.toml"
            .to_owned()),
        (Some((first, _)), Some((second, _))) => {
            Err(format!("the directory has several models in it ({first}, {second}): expected one"))
        }
    }
}

impl Source for Brought {
    type Handle = Pipeline;

    fn scan(&self) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
        let places = self.lock().clone();
        // One that has gone bad since is nothing to the others.
        let of = |(name, directory): (ModelName, PathBuf)| {
            let (_, versions) = only_model(&directory, &name).ok()?;
            Some((name, versions))
        };
        Ok(places.into_iter().filter_map(of).collect())
    }

    fn load(&self, name: &ModelName, version: Version) -> Result<Pipeline, String> {
        let directory = self.lock().get(name).cloned().ok_or("it was taken away")?;
        let (inside, _) = only_model(&directory, name)?;
        let directory = model::place(&directory, &inside, version);
        let model = model::load(&directory).map_err(|error| error.findings.join("; "))?;
        let config = self.by_model.get(name).unwrap_or(&self.default);
        Pipeline::start(name.as_str(), model, config).map_err(|error| error.to_string())
    }
}

/// The shelf over a registry whose source it is.
#[derive(Debug)]
pub(super) struct ModelShelf {
    pub(super) registry: Arc<Registry<Pipeline>>,
    pub(super) brought: Brought,
    /// Bytes of memory that may still be taken; `None` where the system does not tell.
    pub(super) free: fn() -> Option<u64>,
}

impl Shelf for ModelShelf {
    fn load(&self, name: &ModelName, directory: &Path) -> Result<(), LoadRefusal> {
        let count = {
            let places = self.brought.lock();
            if places.contains_key(name) {
                return Err(LoadRefusal::There);
            }
            places.len()
        };
        if count >= MODELS_MAX {
            return Err(LoadRefusal::NoRoom(format!(
                "{count} models are loaded, at most {MODELS_MAX} may be"
            )));
        }
        let (inside, versions) = only_model(directory, name).map_err(LoadRefusal::Bad)?;
        let bytes: u64 =
            versions.keys().map(|version| bytes_in(&model::place(directory, &inside, *version))).sum();
        let needed = bytes.saturating_mul(LOAD_MEMORY_TIMES);
        if let Some(free) = (self.free)().filter(|free| *free < needed) {
            let detail = format!("the model needs {needed} bytes of memory to be loaded, {free} are free");
            return Err(LoadRefusal::NoRoom(detail));
        }
        if self.brought.lock().insert(name.clone(), directory.to_owned()).is_some() {
            return Err(LoadRefusal::There);
        }
        self.registry.reconcile(&self.brought);
        self.registry.resolve(name.as_str(), None).map(drop).map_err(|unresolved| {
            self.unload(name);
            LoadRefusal::Bad(unresolved.to_string())
        })
    }

    fn unload(&self, name: &ModelName) -> bool {
        let was_there = self.brought.lock().remove(name).is_some();
        self.registry.reconcile(&self.brought);
        was_there
    }

    fn models(&self) -> Vec<(ModelName, PathBuf)> {
        self.brought.lock().clone().into_iter().collect()
    }
}

/// Bytes of the files of a version.
fn bytes_in(version: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(version) else { return 0 };
    let sizes =
        entries.take(VERSION_FILES_MAX).filter_map(Result::ok).filter_map(|entry| entry.metadata().ok());
    sizes.map(|metadata| metadata.len()).sum()
}

/// Bytes of memory that this process may still take: what the machine has, within what its control group may have.
pub(super) fn free_memory() -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(max, current)| max.saturating_sub(current));
    let machine = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(available);
    match (group, machine) {
        (Some(group), Some(machine)) => Some(group.min(machine)),
        (group, machine) => group.or(machine),
    }
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Policies, Policy};

    fn shelf(free: fn() -> Option<u64>) -> ModelShelf {
        let default = Policy::Latest(std::num::NonZeroUsize::MIN);
        let policies = Policies { default, models: BTreeMap::new() };
        ModelShelf { registry: Arc::new(Registry::new(policies)), brought: Brought::default(), free }
    }

    #[test]
    fn what_is_no_model_is_refused_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(|| None);
        let name: ModelName = "a".parse().unwrap();
        let Err(LoadRefusal::Bad(why)) = shelf.load(&name, folder.path()) else { panic!("it is empty") };
        assert!(why.contains("no model in it"), "{why}");
        fs::write(folder.path().join("model.toml"), "format = 7").unwrap();
        let Err(LoadRefusal::Bad(why)) = shelf.load(&name, folder.path()) else { panic!("it is damaged") };
        assert!(why.contains("format is 7"), "{why}");
        assert!(shelf.models().is_empty() && !shelf.unload(&name));
    }

    #[test]
    fn a_model_that_does_not_fit_is_not_tried() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.toml"), "x".repeat(100)).unwrap();
        let refused = shelf(|| Some(100)).load(&"a".parse().unwrap(), folder.path());
        assert!(matches!(refused, Err(LoadRefusal::NoRoom(_))), "{refused:?}");
    }

    #[test]
    fn free_memory_is_read_as_the_kernel_writes_it() {
        let text = "MemTotal:       100 kB\nMemFree:          10 kB\nMemAvailable:     42 kB\n";
        assert_eq!(available(text), Some(42 * 1024));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert!(free_memory().is_some_and(|bytes| bytes > 0));
    }
}
