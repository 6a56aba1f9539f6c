//! The loader thread: it reconciles the registry with its source at the start, and again whenever the system tells of
//! a change, at every poll, and when it is asked to.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::name::{ModelName, Version};
use crate::registry::{Registry, Source};

/// A directory is looked at when it has been quiet for so long: files that are copied into it come one by one.
const QUIET: Duration = Duration::from_millis(200);
/// And after so long even when it is never quiet.
const UNQUIET_MAX: Duration = Duration::from_secs(2);
/// Time between two looks at retired versions that requests still hold.
const REAP_PERIOD: Duration = Duration::from_secs(1);

/// When to look besides the first time and whenever the bell rings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks<'a> {
    /// A directory of which the system is to tell changes.
    pub(super) watched: Option<&'a Path>,
    /// Time between two looks.
    pub(super) poll: Option<Duration>,
}

/// The loader thread, from outside.
#[derive(Debug)]
pub(super) struct Loader {
    bell: Arc<Bell>,
    thread: JoinHandle<()>,
    /// Rings while it exists.
    _watcher: Option<RecommendedWatcher>,
}

impl Loader {
    /// Starts the thread, which reconciles at once. Where the system cannot tell of changes, that is logged.
    pub(super) fn start<S: Source + 'static>(
        registry: Arc<Registry<S::Handle>>,
        source: S,
        looks: Looks<'_>,
    ) -> io::Result<Self> {
        let bell = Arc::new(Bell::default());
        // Watched before the first look, so that no change falls between the two.
        let watcher = looks.watched.and_then(|directory| watch(directory, &bell));
        let looker = Looker { registry, source, bell: Arc::clone(&bell), poll: looks.poll };
        let thread = thread::Builder::new().name("loader".into()).spawn(move || looker.run())?;
        Ok(Self { bell, thread, _watcher: watcher })
    }

    /// What has the loader look again, once it is quiet.
    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Ends the thread and waits for it: for the version that it is loading, not for those after it.
    pub(super) fn stop(self) {
        self.bell.end();
        if self.thread.join().is_err() {
            tracing::error!("the loader had panicked: versions were not reloaded any more");
        }
    }
}

fn watch(directory: &Path, bell: &Arc<Bell>) -> Option<RecommendedWatcher> {
    let ringing = Arc::clone(bell);
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.as_ref().map_or(true, tells_of_change) {
            ringing.ring();
        }
    });
    let watching = watcher.and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    watching
        .inspect_err(
            |error| tracing::warn!(%error, "the system does not tell of changes to models: polling only"),
        )
        .ok()
}

/// Reading is no change: the loader's own reading would have it read again for ever.
fn tells_of_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => event.need_rescan(),
        _ => true,
    }
}

/// What wakes the loader.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<BellState>,
    heard: Condvar,
}

#[derive(Debug, Default)]
struct BellState {
    rung: bool,
    ended: bool,
}

/// What woke the loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Bell,
    Nothing,
    End,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, BellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the loader look again.
    pub(super) fn ring(&self) {
        self.lock().rung = true;
        self.heard.notify_all();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.heard.notify_all();
    }

    fn is_over(&self) -> bool {
        self.lock().ended
    }

    /// Waits for the bell, at most so long.
    fn wait(&self, time_max: Option<Duration>) -> Heard {
        let silent = |state: &mut BellState| !state.rung && !state.ended;
        let state = self.lock();
        let mut state = match time_max {
            Some(time_max) => {
                self.heard
                    .wait_timeout_while(state, time_max, silent)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
            None => self.heard.wait_while(state, silent).unwrap_or_else(PoisonError::into_inner),
        };
        match (state.ended, std::mem::take(&mut state.rung)) {
            (true, _) => Heard::End,
            (false, true) => Heard::Bell,
            (false, false) => Heard::Nothing,
        }
    }
}

/// The loader thread, from inside.
struct Looker<S: Source> {
    registry: Arc<Registry<S::Handle>>,
    source: S,
    bell: Arc<Bell>,
    poll: Option<Duration>,
}

impl<S: Source> Looker<S> {
    fn run(&self) {
        let source = UntilTheEnd { source: &self.source, bell: &self.bell };
        loop {
            self.registry.reconcile(&source);
            if self.wait() == Heard::End {
                return;
            }
        }
    }

    /// Waits until it is time to look again, and drops retired versions meanwhile.
    fn wait(&self) -> Heard {
        let looked = Instant::now();
        loop {
            let rest = self.poll.map(|period| period.saturating_sub(looked.elapsed()));
            let reap = (self.registry.reap() > 0).then_some(REAP_PERIOD);
            match self.bell.wait(rest.into_iter().chain(reap).min()) {
                Heard::Bell => return self.settle(),
                Heard::End => return Heard::End,
                Heard::Nothing if self.poll.is_some_and(|period| looked.elapsed() >= period) => {
                    return Heard::Nothing;
                }
                Heard::Nothing => {}
            }
        }
    }

    /// Waits until the bell is quiet.
    fn settle(&self) -> Heard {
        let rung = Instant::now();
        while rung.elapsed() < UNQUIET_MAX {
            match self.bell.wait(Some(QUIET)) {
                Heard::Bell => {}
                Heard::Nothing => break,
                Heard::End => return Heard::End,
            }
        }
        Heard::Bell
    }
}

/// The source, whose versions are no longer loaded once the loader is told to end.
struct UntilTheEnd<'a, S> {
    source: &'a S,
    bell: &'a Bell,
}

impl<S: Source> Source for UntilTheEnd<'_, S> {
    type Handle = S::Handle;

    fn scan(&self) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
        self.source.scan()
    }

    fn load(&self, model: &ModelName, version: Version) -> Result<S::Handle, String> {
        if self.bell.is_over() {
            return Err("the server is ending".into());
        }
        self.source.load(model, version)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZeroUsize;
    use std::path::PathBuf;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;
    use crate::registry::{Policies, Policy};

    const HANGING: Duration = Duration::from_mins(1);

    /// A directory of files, each a version of the one model; tells of every scan and load.
    struct Files {
        directory: PathBuf,
        scans: SyncSender<()>,
        loads: SyncSender<u32>,
    }

    impl Source for Files {
        type Handle = String;

        fn scan(&self) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
            let entries = fs::read_dir(&self.directory).map_err(|error| error.to_string())?;
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let versions = names.filter_map(|name| Some((name.parse().ok()?, 0))).collect();
            let _unheard = self.scans.try_send(());
            Ok(BTreeMap::from([("m".parse().unwrap(), versions)]))
        }

        fn load(&self, _model: &ModelName, version: Version) -> Result<String, String> {
            let text = fs::read_to_string(self.directory.join(version.to_string()));
            let _unheard = self.loads.try_send(version.get());
            text.map_err(|error| error.to_string())
        }
    }

    struct Stage {
        directory: tempfile::TempDir,
        registry: Arc<Registry<String>>,
        loader: Loader,
        scans: Receiver<()>,
        loads: Receiver<u32>,
    }

    fn stage(watched: bool, poll: Option<Duration>) -> Stage {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("1"), "one").unwrap();
        let ((scan_told, scans), (load_told, loads)) = (sync_channel(1000), sync_channel(1000));
        let source = Files { directory: directory.path().to_owned(), scans: scan_told, loads: load_told };
        let policies = Policies { default: Policy::Latest(NonZeroUsize::MIN), models: BTreeMap::new() };
        let registry = Arc::new(Registry::new(policies));
        let looks = Looks { watched: watched.then_some(directory.path()), poll };
        let loader = Loader::start(Arc::clone(&registry), source, looks).unwrap();
        let stage = Stage { directory, registry, loader, scans, loads };
        assert_eq!(stage.loads.recv_timeout(HANGING), Ok(1));
        stage
    }

    impl Stage {
        fn publish(&self, number: u32) {
            let staged = self.directory.path().join("staged");
            fs::write(&staged, "text").unwrap();
            fs::rename(staged, self.directory.path().join(number.to_string())).unwrap();
        }

        fn answering(&self) -> u32 {
            self.registry.resolve("m", None).unwrap().version.get()
        }
    }

    #[test]
    fn a_version_that_appears_is_loaded_when_the_system_tells_of_it() {
        let stage = stage(true, None);
        stage.publish(2);
        assert_eq!(stage.loads.recv_timeout(HANGING), Ok(2));
        // Reading it is no change: the loader is quiet again.
        let looks = std::iter::from_fn(|| stage.scans.recv_timeout(3 * QUIET).ok()).take(20).count();
        assert!(looks < 20, "it looks for ever");
        let (registry, loads) = (Arc::clone(&stage.registry), &stage.loads);
        assert_eq!((stage.answering(), loads.try_recv().ok()), (2, None));
        stage.loader.stop();
        assert!(registry.is_ready());
    }

    #[test]
    fn a_version_that_appears_is_found_by_polling() {
        let stage = stage(false, Some(Duration::from_millis(10)));
        stage.publish(2);
        assert_eq!(stage.loads.recv_timeout(HANGING), Ok(2));
        stage.loader.stop();
        assert_eq!(stage.registry.resolve("m", None).unwrap().version.get(), 2);
    }

    #[test]
    fn a_bell_has_it_look_again() {
        let stage = stage(false, None);
        stage.publish(2);
        stage.loader.bell().ring();
        assert_eq!(stage.loads.recv_timeout(HANGING), Ok(2));
        stage.loader.stop();
    }

    #[test]
    fn once_it_is_told_to_end_nothing_more_is_loaded() {
        let stage = stage(false, None);
        stage.publish(2);
        let bell = stage.loader.bell();
        bell.end();
        bell.ring();
        stage.loader.stop();
        assert_eq!((stage.loads.try_recv().ok(), stage.registry.is_ready()), (None, true));
    }

    #[test]
    fn reading_is_no_change_and_writing_is() {
        let event = |kind| Event::new(kind);
        for kind in [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read), AccessKind::Read]
        {
            assert!(!tells_of_change(&event(EventKind::Access(kind))));
        }
        assert!(tells_of_change(&event(EventKind::Access(AccessKind::Close(AccessMode::Write)))));
        assert!(tells_of_change(&event(EventKind::Any)));
    }
}
