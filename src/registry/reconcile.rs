//! The registry itself: lock-free resolution, and bringing what serves in line with what is wanted.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;

use super::plan::{Load, Wish, plan};
use super::snapshot::Snapshot;
use super::{Entry, ModelStatus, Policies, State, Unresolved, VersionStatus};
use crate::limits::REFUSAL_BYTES_MAX;
use crate::name::{ModelName, Version};
use crate::telemetry::metrics::record_load;

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

impl<S: Source + ?Sized> Source for Arc<S> {
    type Handle = S::Handle;

    fn scan(&self) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
        S::scan(self)
    }

    fn load(&self, model: &ModelName, version: Version) -> Result<S::Handle, String> {
        S::load(self, model, version)
    }
}

/// The models that serve. Shared by `Arc`; resolution takes no lock.
#[derive(Debug)]
pub struct Registry<H> {
    policies: Policies,
    snapshot: ArcSwap<Snapshot<H>>,
    /// Versions that no longer serve and whose last requests may not be over. Whoever holds the lock is the loader.
    retired: Mutex<Retired<H>>,
    ready: AtomicBool,
}

/// Held until nobody else holds them, so that they are dropped by the loader and never by a request.
type Retired<H> = Vec<Arc<Entry<H>>>;

impl<H: Send + Sync + 'static> Registry<H> {
    /// An empty registry.
    #[must_use]
    pub fn new(policies: Policies) -> Self {
        Self {
            policies,
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            retired: Mutex::new(Vec::new()),
            ready: AtomicBool::new(false),
        }
    }

    /// Scans the source, loads what is wanted and missing, swaps it in, retires what is no longer wanted.
    ///
    /// Blocking and slow: one loader thread calls it. The old version serves until the new one is loaded; a version
    /// that fails is refused with its reason and tried again when its stamp changes.
    pub fn reconcile<S: Source<Handle = H> + ?Sized>(&self, source: &S) {
        let mut retired = self.loader();
        match caught(|| source.scan()) {
            Err(reason) => self.note_scan_failure(reason),
            Ok(scan) => {
                self.update(|snapshot| snapshot.take_in(&scan));
                loop {
                    let snapshot = self.snapshot.load();
                    let wish = Wish { policies: &self.policies, unloaded: &snapshot.unloaded };
                    let plan = plan(&snapshot.known(), &scan, wish);
                    drop(snapshot);
                    for (model, version) in plan.retire {
                        tracing::info!(model = model.as_str(), version = version.get(), "version retired");
                        retired.extend(self.swap(&model, version, None));
                    }
                    let Some(load) = plan.load else { break };
                    retired.extend(self.load(source, &load));
                }
                // What was retired because it is gone is forgotten as well.
                self.update(|snapshot| snapshot.take_in(&scan));
                if self.snapshot.load().all_answer() {
                    self.ready.store(true, Ordering::Release);
                }
            }
        }
        reap(&mut retired);
    }

    /// Takes a model out of service at once: none of its versions answers, and none is loaded again, until
    /// [`load_model`](Self::load_model). Requests that hold one are answered. Waits for a load under way.
    ///
    /// # Errors
    /// There is no such model.
    pub fn unload_model(&self, model: &str) -> Result<(), Unresolved> {
        let mut retired = self.loader();
        let ModelStatus { name, versions, .. } = self.model(model)?;
        let serving = |version: VersionStatus<H>| match version.state {
            State::Ready(_) => Some(version.version),
            _ => None,
        };
        let serving: Vec<Version> = versions.into_iter().filter_map(serving).collect();
        self.update(|snapshot| snapshot.unloaded.insert(name.clone()));
        tracing::info!(model, "model unloaded by request");
        retired.extend(serving.into_iter().filter_map(|version| self.swap(&name, version, None)));
        reap(&mut retired);
        Ok(())
    }

    /// Puts a model into service that was unloaded, or whose contents were refused or are new: reconciles, and returns
    /// the version that answers. Blocking and slow.
    ///
    /// # Errors
    /// There is no such model, or it does not answer: the reason says why.
    pub fn load_model<S>(&self, model: &str, source: &S) -> Result<Arc<Entry<H>>, Unresolved>
    where
        S: Source<Handle = H> + ?Sized,
    {
        let retired = self.loader();
        self.update(|snapshot| snapshot.try_again(model));
        drop(retired);
        self.reconcile(source);
        self.resolve(model, None)
    }

    /// The same, and what answers already is loaded anew: it answers until then. The reason is told too when it is
    /// refused and what answered before goes on.
    ///
    /// # Errors
    /// There is no such model, or it was refused.
    pub fn reload_model<S>(&self, model: &str, source: &S) -> Result<Arc<Entry<H>>, Unresolved>
    where
        S: Source<Handle = H> + ?Sized,
    {
        let retired = self.loader();
        let before = self.resolve(model, None).ok();
        self.update(|snapshot| snapshot.make_stale(model));
        drop(retired);
        let entry = self.load_model(model, source)?;
        if before.is_none_or(|before| !Arc::ptr_eq(&before, &entry)) {
            return Ok(entry);
        }
        let status = self.model(model)?;
        let refused = status.versions.into_iter().find_map(|version| version.last_failure);
        let reason =
            refused.or_else(|| self.scan_failure()).unwrap_or_else(|| "it is not there any more".to_owned());
        Err(Unresolved::NotReady { model: status.name, reason, soon: false })
    }

    /// The version that answers for `model`: the given one, or the latest ready.
    ///
    /// # Errors
    /// No such model or version, or it is not ready.
    pub fn resolve(&self, model: &str, version: Option<Version>) -> Result<Arc<Entry<H>>, Unresolved> {
        self.snapshot.load().resolve(model, version)
    }

    /// Every model, by name.
    #[must_use]
    pub fn models(&self) -> Vec<ModelStatus<H>> {
        let snapshot = self.snapshot.load();
        snapshot
            .models
            .keys()
            .filter_map(|name| snapshot.status(name.as_str(), &self.policies).ok())
            .collect()
    }

    /// One model.
    ///
    /// # Errors
    /// [`Unresolved::UnknownModel`], with the nearest name.
    pub fn model(&self, name: &str) -> Result<ModelStatus<H>, Unresolved> {
        self.snapshot.load().status(name, &self.policies)
    }

    /// Whether a reconciliation has ended with a version that answers for every model there is. Once it has, it stays
    /// so: a broken model that is added later takes nothing away from those that work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Why the source could not be read the last time; `None` when it could.
    #[must_use]
    pub fn scan_failure(&self) -> Option<String> {
        self.snapshot.load().scan_failure.clone()
    }

    /// Drops retired versions whose last requests are over, and returns how many are still held by one. The loader
    /// calls it now and then; it waits for a reconciliation under way.
    pub fn reap(&self) -> usize {
        let mut retired = self.loader();
        reap(&mut retired);
        retired.len()
    }

    /// A panic under the lock leaves a list that is whole.
    fn loader(&self) -> MutexGuard<'_, Retired<H>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the snapshot. Only the loader does, so nothing is lost between reading and storing.
    fn update<T>(&self, change: impl FnOnce(&mut Snapshot<H>) -> T) -> T {
        let mut snapshot = Snapshot::clone(&self.snapshot.load());
        let result = change(&mut snapshot);
        self.snapshot.store(Arc::new(snapshot));
        result
    }

    /// Puts `serving` in the version's place and returns what was there.
    fn swap(
        &self,
        model: &ModelName,
        version: Version,
        serving: Option<(u64, Arc<Entry<H>>)>,
    ) -> Option<Arc<Entry<H>>> {
        let before = self.update(|snapshot| {
            snapshot.change(model, version, |slot| {
                slot.loading = false;
                if serving.is_some() {
                    slot.refused = None;
                }
                std::mem::replace(&mut slot.serving, serving)
            })
        });
        before.map(|(_, entry)| entry)
    }

    /// Loads one version and swaps it in, or notes why not. Returns the version that it replaces.
    fn load<S: Source<Handle = H> + ?Sized>(&self, source: &S, load: &Load) -> Option<Arc<Entry<H>>> {
        let Load { model, version, stamp } = load;
        let (name, number) = (model.as_str(), version.get());
        tracing::info!(model = name, version = number, "loading version");
        self.update(|snapshot| snapshot.change(model, *version, |slot| slot.loading = true));
        let started = Instant::now();
        let loaded = caught(|| source.load(model, *version));
        let took = started.elapsed();
        record_load(name, loaded.is_ok(), took);
        let seconds = took.as_secs_f64();
        match loaded {
            Ok(handle) => {
                let entry = Arc::new(Entry { model: model.clone(), version: *version, handle });
                let before = self.swap(model, *version, Some((*stamp, entry)));
                tracing::info!(model = name, version = number, seconds, "version ready");
                before
            }
            Err(reason) => {
                tracing::error!(model = name, version = number, seconds, reason, "version refused");
                self.update(|snapshot| {
                    snapshot.change(model, *version, |slot| {
                        slot.loading = false;
                        slot.refused = Some((*stamp, reason));
                    });
                });
                None
            }
        }
    }

    /// Logged when it is news: a source that stays unreadable is looked at again and again.
    fn note_scan_failure(&self, reason: String) {
        if self.snapshot.load().scan_failure.as_ref() != Some(&reason) {
            tracing::error!(reason, "the models cannot be looked through; what serves goes on serving");
            self.update(|snapshot| snapshot.scan_failure = Some(reason));
        }
    }
}

/// Drops what nobody else holds.
fn reap<H>(retired: &mut Retired<H>) {
    retired.retain(|entry| Arc::strong_count(entry) > 1);
}

/// Runs the source's code: its panic is its failure. Reasons are cut where they are too long to keep.
fn caught<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let result =
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Err(panic_reason(payload.as_ref())));
    result.map_err(|mut reason| {
        if reason.len() > REFUSAL_BYTES_MAX {
            reason.truncate(reason.floor_char_boundary(REFUSAL_BYTES_MAX));
            reason.push('…');
        }
        reason
    })
}

fn panic_reason(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    format!("loading panicked: {}", text.unwrap_or("it said nothing"))
}
