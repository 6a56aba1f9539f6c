//! The promises of the registry, on handles that are text and a source in memory.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::{Policies, Policy, Registry, Source, State, Unresolved};
use crate::name::{ModelName, Version};

/// What a version of the source holds.
#[derive(Clone, Copy, Debug)]
enum Contents {
    Good(&'static str),
    Bad(&'static str),
    Panics,
}

/// What is loaded; counts the drops of its kind.
#[derive(Debug)]
struct Handle {
    text: &'static str,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// A model's versions, each with its stamp.
type Versions = BTreeMap<Version, (u64, Contents)>;

#[derive(Default)]
struct Memory {
    versions: Mutex<BTreeMap<ModelName, Versions>>,
    unreadable: AtomicBool,
    loads: AtomicUsize,
    dropped: Arc<AtomicUsize>,
}

impl Memory {
    fn put(&self, model: &str, (number, stamp): (u32, u64), contents: Contents) {
        let mut versions = self.versions.lock().unwrap();
        versions.entry(model.parse().unwrap()).or_default().insert(version(number), (stamp, contents));
    }

    fn remove(&self, model: &str, number: u32) {
        self.versions.lock().unwrap().get_mut(model).unwrap().remove(&version(number));
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

impl Source for Memory {
    type Handle = Handle;

    fn scan(&self) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
        if self.unreadable.load(Ordering::SeqCst) {
            return Err("the disk is gone".into());
        }
        let versions = self.versions.lock().unwrap();
        let stamps =
            |model: &Versions| model.iter().map(|(version, (stamp, _))| (*version, *stamp)).collect();
        Ok(versions.iter().map(|(name, model)| (name.clone(), stamps(model))).collect())
    }

    fn load(&self, model: &ModelName, version: Version) -> Result<Handle, String> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let (_, contents) = self.versions.lock().unwrap()[model][&version];
        match contents {
            Contents::Good(text) => Ok(Handle { text, dropped: Arc::clone(&self.dropped) }),
            Contents::Bad(reason) => Err(reason.into()),
            Contents::Panics => panic!("of a sudden"),
        }
    }
}

fn version(number: u32) -> Version {
    number.to_string().parse().unwrap()
}

fn latest(count: usize) -> Policies {
    let default = Policy::Latest(NonZeroUsize::new(count).unwrap());
    Policies { default, models: BTreeMap::new() }
}

fn answer(registry: &Registry<Handle>, model: &str, number: Option<u32>) -> Result<&'static str, Unresolved> {
    registry.resolve(model, number.map(version)).map(|entry| entry.handle.text)
}

/// The model's versions as `3 ready`, `2 failed: why`, …
fn shown(registry: &Registry<Handle>, model: &str) -> Vec<String> {
    let status = registry.model(model).unwrap();
    let line = |status: &super::VersionStatus<Handle>| {
        let state = match &status.state {
            State::Loading => "loading".to_owned(),
            State::Ready(entry) => format!("ready: {}", entry.handle.text),
            State::Failed { reason } => format!("failed: {reason}"),
            State::Idle => "idle".to_owned(),
        };
        let failure = status.last_failure.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
        format!("{} {state}{failure}", status.version)
    };
    status.versions.iter().map(line).collect()
}

#[test]
fn an_unloaded_model_is_silent_until_it_is_loaded_again() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.put("m", (1, 7), Contents::Good("one"));
    source.put("other", (1, 7), Contents::Good("other"));
    registry.reconcile(&source);
    registry.unload_model("m").unwrap();
    assert_eq!(source.dropped(), 1, "nothing holds what was unloaded");
    source.put("m", (2, 7), Contents::Good("two"));
    registry.reconcile(&source);
    let silent = answer(&registry, "m", None).unwrap_err();
    assert!(
        matches!(&silent, Unresolved::NotReady { reason, .. } if reason.contains("unloaded")),
        "{silent}"
    );
    assert_eq!((registry.model("m").unwrap().unloaded, source.loads()), (true, 2));
    assert_eq!(answer(&registry, "other", None), Ok("other"));
    let loaded = registry.load_model("m", &source).unwrap();
    assert_eq!((loaded.handle.text, registry.model("m").unwrap().unloaded), ("two", false));
    source.put("m", (2, 8), Contents::Bad("damaged"));
    registry.unload_model("m").unwrap();
    source.remove("m", 1);
    let refused = registry.load_model("m", &source).unwrap_err();
    assert!(
        matches!(&refused, Unresolved::NotReady { reason, .. } if reason.contains("damaged")),
        "{refused}"
    );
    assert!(matches!(registry.unload_model("nobody"), Err(Unresolved::UnknownModel { .. })));
    assert!(matches!(registry.load_model("nobody", &source), Err(Unresolved::UnknownModel { .. })));
}

#[test]
fn the_latest_version_that_loads_answers_and_a_failing_one_says_why() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.put("m", (1, 7), Contents::Good("one"));
    source.put("m", (2, 7), Contents::Good("two"));
    source.put("m", (3, 7), Contents::Bad("digest differs"));
    source.put("m", (4, 7), Contents::Panics);
    registry.reconcile(&source);
    assert_eq!(answer(&registry, "m", None), Ok("two"));
    assert_eq!(
        shown(&registry, "m"),
        ["4 failed: loading panicked: of a sudden", "3 failed: digest differs", "2 ready: two", "1 idle"]
    );
    assert!(registry.is_ready());
    let not_ready = answer(&registry, "m", Some(3)).unwrap_err();
    assert!(matches!(&not_ready, Unresolved::NotReady { reason, .. } if reason.contains("digest differs")));
    assert!(matches!(answer(&registry, "m", Some(1)), Err(Unresolved::NotReady { .. })));
    let unknown = answer(&registry, "m", Some(9)).unwrap_err();
    assert!(matches!(unknown, Unresolved::UnknownVersion { ready, .. } if ready == [version(2)]));
}

#[test]
fn a_refused_version_is_tried_again_when_its_contents_change_and_not_before() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.put("m", (1, 7), Contents::Bad("torn"));
    registry.reconcile(&source);
    registry.reconcile(&source);
    assert_eq!((source.loads(), registry.is_ready()), (1, false));
    assert!(
        matches!(answer(&registry, "m", None), Err(Unresolved::NotReady { reason, .. }) if reason.contains("torn"))
    );
    source.put("m", (1, 8), Contents::Good("mended"));
    registry.reconcile(&source);
    assert_eq!((source.loads(), answer(&registry, "m", None)), (2, Ok("mended")));
    assert_eq!(shown(&registry, "m"), ["1 ready: mended"]);
    assert!(registry.is_ready());
}

#[test]
fn changed_contents_replace_what_serves_only_when_they_load() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.put("m", (1, 7), Contents::Good("before"));
    registry.reconcile(&source);
    source.put("m", (1, 8), Contents::Bad("a tensor is missing"));
    registry.reconcile(&source);
    registry.reconcile(&source);
    assert_eq!((source.loads(), answer(&registry, "m", Some(1))), (2, Ok("before")));
    assert_eq!(shown(&registry, "m"), ["1 ready: before, a tensor is missing"]);
    source.put("m", (1, 9), Contents::Good("after"));
    registry.reconcile(&source);
    assert_eq!(shown(&registry, "m"), ["1 ready: after"]);
    assert_eq!(source.dropped(), 1);
}

#[test]
fn a_retired_version_answers_those_who_hold_it_and_is_dropped_by_the_loader() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.put("m", (1, 7), Contents::Good("old"));
    registry.reconcile(&source);
    let held = registry.resolve("m", None).unwrap();
    source.put("m", (2, 7), Contents::Good("new"));
    registry.reconcile(&source);
    assert_eq!((answer(&registry, "m", None), held.handle.text), (Ok("new"), "old"));
    assert_eq!((registry.reap(), source.dropped()), (1, 0));
    drop(held);
    assert_eq!(source.dropped(), 0, "the last request dropped the version");
    assert_eq!((registry.reap(), source.dropped()), (0, 1));
}

#[test]
fn what_is_removed_ends_and_is_forgotten() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.put("m", (1, 7), Contents::Good("one"));
    source.put("m", (2, 7), Contents::Good("two"));
    registry.reconcile(&source);
    source.remove("m", 2);
    registry.reconcile(&source);
    assert_eq!(shown(&registry, "m"), ["1 ready: one"]);
    source.remove("m", 1);
    source.versions.lock().unwrap().clear();
    registry.reconcile(&source);
    assert!(matches!(registry.model("m"), Err(Unresolved::UnknownModel { .. })));
    assert_eq!((registry.models().len(), source.dropped()), (0, 2));
}

#[test]
fn a_policy_may_list_versions_and_differ_by_model() {
    let source = Memory::default();
    for model in ["listed", "two"] {
        source.put(model, (1, 7), Contents::Good("one"));
        source.put(model, (2, 7), Contents::Good("two"));
        source.put(model, (3, 7), Contents::Good("three"));
    }
    let mut policies = latest(2);
    policies.models.insert("listed".parse().unwrap(), Policy::Versions([version(1), version(8)].into()));
    let registry = Registry::new(policies);
    registry.reconcile(&source);
    assert_eq!(shown(&registry, "two"), ["3 ready: three", "2 ready: two", "1 idle"]);
    assert_eq!(answer(&registry, "listed", None), Ok("one"));
    let listed = shown(&registry, "listed");
    assert_eq!(listed[1..], ["3 idle", "2 idle", "1 ready: one"]);
    assert!(listed[0].starts_with("8 failed: the policy wants this version"), "{listed:?}");
    assert_eq!(registry.models().len(), 2);
}

#[test]
fn an_unreadable_source_leaves_everything_as_it_is() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.unreadable.store(true, Ordering::SeqCst);
    registry.reconcile(&source);
    assert_eq!(registry.scan_failure().as_deref(), Some("the disk is gone"));
    assert!(!registry.is_ready());
    assert!(matches!(answer(&registry, "m", None), Err(Unresolved::NotReady { .. })));
    source.unreadable.store(false, Ordering::SeqCst);
    source.put("m", (1, 7), Contents::Good("one"));
    registry.reconcile(&source);
    assert_eq!((registry.scan_failure(), answer(&registry, "m", None)), (None, Ok("one")));
    source.unreadable.store(true, Ordering::SeqCst);
    registry.reconcile(&source);
    assert_eq!(answer(&registry, "m", None), Ok("one"));
    assert!(registry.scan_failure().is_some() && registry.is_ready());
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.put("sentiment", (1, 7), Contents::Good("one"));
    source.put("intents", (1, 7), Contents::Good("one"));
    registry.reconcile(&source);
    let Err(Unresolved::UnknownModel { wanted, nearest, known }) = answer(&registry, "sentimnt", None) else {
        panic!("it is known");
    };
    assert_eq!((wanted.as_str(), nearest.unwrap().as_str(), known.len()), ("sentimnt", "sentiment", 2));
    assert!(matches!(registry.model("../x"), Err(Unresolved::UnknownModel { nearest: None, .. })));
}

#[test]
fn a_broken_newcomer_does_not_take_readiness_from_the_others() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.put("m", (1, 7), Contents::Good("one"));
    registry.reconcile(&source);
    source.put("new", (1, 7), Contents::Bad("broken"));
    registry.reconcile(&source);
    assert!(registry.is_ready());
}

#[test]
fn resolving_never_fails_while_versions_are_swapped() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.put("m", (1, 7), Contents::Good("text"));
    registry.reconcile(&source);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut newest = version(1);
                while !over.load(Ordering::Acquire) {
                    let entry = registry.resolve("m", None).expect("a version answers at any moment");
                    assert!(entry.version >= newest, "an older version came back");
                    newest = entry.version;
                }
            });
        }
        for number in 2..300 {
            source.put("m", (number, 7), Contents::Good("text"));
            registry.reconcile(&source);
            source.remove("m", number - 1);
        }
        over.store(true, Ordering::Release);
    });
    registry.reconcile(&source);
    assert_eq!(registry.reap(), 0);
    assert_eq!(source.dropped(), 298);
}

#[test]
fn what_answers_is_loaded_anew_by_request_and_goes_on_when_that_fails() {
    let (source, registry) = (Memory::default(), Registry::new(latest(1)));
    source.put("m", (1, 7), Contents::Good("one"));
    registry.reconcile(&source);
    source.put("m", (1, 7), Contents::Good("another"));
    assert_eq!(registry.load_model("m", &source).unwrap().handle.text, "one", "its stamp is the same");
    assert_eq!(registry.reload_model("m", &source).unwrap().handle.text, "another");
    source.put("m", (1, 7), Contents::Bad("damaged"));
    let refused = registry.reload_model("m", &source).unwrap_err();
    assert!(matches!(&refused, Unresolved::NotReady { reason, .. } if reason == "damaged"), "{refused}");
    source.unreadable.store(true, Ordering::SeqCst);
    let refused = registry.reload_model("m", &source).unwrap_err();
    assert!(
        matches!(&refused, Unresolved::NotReady { reason, .. } if reason == "the disk is gone"),
        "{refused}"
    );
    assert_eq!(answer(&registry, "m", None), Ok("another"));
    assert!(matches!(registry.reload_model("n", &source), Err(Unresolved::UnknownModel { .. })));
}
