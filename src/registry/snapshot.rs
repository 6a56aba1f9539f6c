//! What a request reads: every model and version at one moment, never changed, only replaced.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::plan::{Facts, Known, Scan};
use super::{Entry, ModelStatus, Policies, Policy, State, Unresolved, VersionStatus};
use crate::name::{ModelName, Version, nearest};

/// All models. Its clone shares the models that do not change.
#[derive(Debug)]
pub(super) struct Snapshot<H> {
    pub(super) models: BTreeMap<ModelName, Arc<Model<H>>>,
    /// Models that were unloaded by request.
    pub(super) unloaded: BTreeSet<ModelName>,
    /// Whether the source was ever read.
    pub(super) scanned: bool,
    /// Why the source could not be read the last time.
    pub(super) scan_failure: Option<String>,
}

/// The versions of a model.
pub(super) type Model<H> = BTreeMap<Version, Slot<H>>;

/// A version.
#[derive(Debug)]
pub(super) struct Slot<H> {
    /// The stamp of what answers.
    pub(super) serving: Option<(u64, Arc<Entry<H>>)>,
    /// The stamp of what was refused, and why.
    pub(super) refused: Option<(u64, String)>,
    pub(super) loading: bool,
}

impl<H> Default for Snapshot<H> {
    fn default() -> Self {
        Self { models: BTreeMap::new(), unloaded: BTreeSet::new(), scanned: false, scan_failure: None }
    }
}

impl<H> Clone for Snapshot<H> {
    fn clone(&self) -> Self {
        let Self { models, unloaded, scanned, scan_failure } = self;
        Self {
            models: models.clone(),
            unloaded: unloaded.clone(),
            scanned: *scanned,
            scan_failure: scan_failure.clone(),
        }
    }
}

impl<H> Default for Slot<H> {
    fn default() -> Self {
        Self { serving: None, refused: None, loading: false }
    }
}

impl<H> Clone for Slot<H> {
    fn clone(&self) -> Self {
        Self { serving: self.serving.clone(), refused: self.refused.clone(), loading: self.loading }
    }
}

impl<H> Slot<H> {
    fn status(&self, version: Version) -> VersionStatus<H> {
        let reason = || self.refused.as_ref().map(|(_, reason)| reason.clone());
        let state = match (&self.serving, self.loading, reason()) {
            (Some((_, entry)), _, _) => State::Ready(Arc::clone(entry)),
            (None, true, _) => State::Loading,
            (None, false, Some(reason)) => State::Failed { reason },
            (None, false, None) => State::Idle,
        };
        let last_failure = reason().filter(|_| matches!(state, State::Ready(_)));
        VersionStatus { version, state, last_failure }
    }

    /// Why it does not answer.
    fn why_not(&self) -> String {
        match (self.loading, &self.refused) {
            (true, _) => "it is being loaded".to_owned(),
            (false, Some((_, reason))) => format!("it was refused: {reason}"),
            (false, None) => "the policy does not want it".to_owned(),
        }
    }
}

/// The versions that answer, latest first.
fn ready<H>(model: &Model<H>) -> impl Iterator<Item = &Arc<Entry<H>>> {
    model.values().rev().filter_map(|slot| slot.serving.as_ref()).map(|(_, entry)| entry)
}

impl<H> Snapshot<H> {
    /// The version that answers for `model`: the given one, or the latest ready.
    pub(super) fn resolve(&self, model: &str, version: Option<Version>) -> Result<Arc<Entry<H>>, Unresolved> {
        let (name, versions) = self.find(model)?;
        if self.unloaded.contains(name) {
            let reason = "it was unloaded by request".to_owned();
            return Err(Unresolved::NotReady { model: name.clone(), reason, soon: false });
        }
        let Some(wanted) = version else {
            return ready(versions).next().cloned().ok_or_else(|| {
                let newest = versions.iter().next_back();
                let reason = newest.map_or_else(
                    || "it has no versions".to_owned(),
                    |(version, slot)| format!("of its newest version, {version}: {}", slot.why_not()),
                );
                let soon = newest.is_some_and(|(_, slot)| slot.loading);
                Unresolved::NotReady { model: name.clone(), reason, soon }
            });
        };
        let slot = versions.get(&wanted).ok_or_else(|| Unresolved::UnknownVersion {
            model: name.clone(),
            wanted,
            ready: ready(versions).map(|entry| entry.version).collect(),
        })?;
        slot.serving.as_ref().map(|(_, entry)| Arc::clone(entry)).ok_or_else(|| {
            let reason = format!("of version {wanted}: {}", slot.why_not());
            Unresolved::NotReady { model: name.clone(), reason, soon: slot.loading }
        })
    }

    fn find(&self, model: &str) -> Result<(&ModelName, &Model<H>), Unresolved> {
        if let Some((name, versions)) = self.models.get_key_value(model) {
            return Ok((name, versions));
        }
        // Before the first look nothing is known to be missing.
        if let (false, Ok(model)) = (self.scanned, model.parse()) {
            let reason =
                self.scan_failure.clone().unwrap_or_else(|| "models are still being looked for".into());
            return Err(Unresolved::NotReady { model, reason, soon: true });
        }
        let known: Vec<ModelName> = self.models.keys().cloned().collect();
        let near = nearest(model, known.iter().map(ModelName::as_str));
        let near = near.and_then(|near| known.iter().find(|name| name.as_str() == near).cloned());
        Err(Unresolved::UnknownModel { wanted: model.to_owned(), nearest: near, known })
    }

    pub(super) fn status(&self, model: &str, policies: &Policies) -> Result<ModelStatus<H>, Unresolved> {
        let (name, versions) = self.find(model)?;
        let mut statuses: Vec<_> = versions.iter().map(|(version, slot)| slot.status(*version)).collect();
        if let Policy::Versions(wanted) = policies.of(name) {
            let missing = wanted.iter().filter(|version| !versions.contains_key(*version));
            statuses.extend(missing.map(|version| VersionStatus {
                version: *version,
                state: State::Failed { reason: "the policy wants this version, and there is none".into() },
                last_failure: None,
            }));
        }
        statuses.sort_unstable_by_key(|status| Reverse(status.version));
        Ok(ModelStatus { name: name.clone(), versions: statuses, unloaded: self.unloaded.contains(name) })
    }

    /// Takes in what is there: new versions appear, versions that are neither there nor serving are forgotten, and
    /// so are refusals of contents that have changed.
    pub(super) fn take_in(&mut self, scan: &Scan) {
        self.scanned = true;
        self.scan_failure = None;
        for name in scan.keys() {
            self.models.entry(name.clone()).or_default();
        }
        let nothing = BTreeMap::new();
        for (name, model) in &mut self.models {
            let there = scan.get(name).unwrap_or(&nothing);
            let mut versions = Model::clone(model);
            for version in there.keys() {
                versions.entry(*version).or_default();
            }
            versions.retain(|version, slot| there.contains_key(version) || slot.serving.is_some());
            for (version, slot) in &mut versions {
                let stamp = there.get(version).copied();
                slot.refused = slot.refused.take().filter(|(refused, _)| Some(*refused) == stamp);
            }
            *model = Arc::new(versions);
        }
        self.models.retain(|_, versions| !versions.is_empty());
    }

    /// Forgets that a model was unloaded, and what of it was refused.
    pub(super) fn try_again(&mut self, model: &str) {
        self.unloaded.remove(model);
        if let Some(shared) = self.models.get_mut(model) {
            let mut versions = Model::clone(shared);
            for slot in versions.values_mut() {
                slot.refused = None;
            }
            *shared = Arc::new(versions);
        }
    }

    /// Has what answers taken for something else than what is there, so that it is loaded again.
    pub(super) fn make_stale(&mut self, model: &str) {
        if let Some(shared) = self.models.get_mut(model) {
            let mut versions = Model::clone(shared);
            for (stamp, _) in versions.values_mut().filter_map(|slot| slot.serving.as_mut()) {
                *stamp = !*stamp;
            }
            *shared = Arc::new(versions);
        }
    }

    /// What planning needs to know.
    pub(super) fn known(&self) -> Known {
        let facts = |slot: &Slot<H>| Facts {
            serving: slot.serving.as_ref().map(|(stamp, _)| *stamp),
            refused: slot.refused.as_ref().map(|(stamp, _)| *stamp),
        };
        let versions =
            |model: &Model<H>| model.iter().map(|(version, slot)| (*version, facts(slot))).collect();
        self.models.iter().map(|(name, model)| (name.clone(), versions(model))).collect()
    }

    /// Changes one version, which appears when it is new.
    pub(super) fn change<T>(
        &mut self,
        model: &ModelName,
        version: Version,
        change: impl FnOnce(&mut Slot<H>) -> T,
    ) -> T {
        let shared = self.models.entry(model.clone()).or_default();
        let mut versions = Model::clone(shared);
        let result = change(versions.entry(version).or_default());
        *shared = Arc::new(versions);
        result
    }

    /// Whether every model has a version that answers.
    pub(super) fn all_answer(&self) -> bool {
        let loaded = self.models.iter().filter(|(name, _)| !self.unloaded.contains(*name));
        loaded.map(|(_, model)| model).all(|model| ready(model).next().is_some())
    }
}
