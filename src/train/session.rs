//! A training run from its options to a published version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;

use super::checkpoint::{Checkpoint, Found, Store};
use super::conclude::{self, Concluded, Ending};
use super::data::{BadRows, DataError};
use super::evaluate::Figures;
use super::fit::{Fit, Keeping};
use super::interrupt::Interrupt;
use super::lock::{Lock, LockError};
use super::position::EpochFigures;
use super::progress::Progress;
use super::setup::Plan;
use crate::model::PublishError;
use crate::name::{ModelName, Version};
use crate::value::Task;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Texts or pictures.
    pub task: Task,
    /// The data to train on.
    pub data: PathBuf,
    /// The data to validate on; a split of `data` when absent.
    pub valid: Option<PathBuf>,
    /// The model's directory, `models/<name>`.
    pub out: PathBuf,
    /// The recipe; the one compiled in when absent.
    pub recipe: Option<PathBuf>,
    /// Keys of the recipe said one by one over it, by dotted name or its last part; values as text or as JSON.
    pub settings: BTreeMap<String, String>,
    /// What flags say over the recipe.
    pub overrides: Overrides,
    /// What becomes of a bad row.
    pub bad_rows: BadRows,
    /// What becomes of an unfinished run.
    pub start: Start,
    /// Steps between two checkpoints within an epoch.
    pub checkpoint_steps: u64,
    /// The folder of checkpoints, which stays with the last of them; when absent, `.checkpoint` in `out`, which goes
    /// with the run's end.
    pub checkpoints: Option<PathBuf>,
    /// What a run that is asked to end leaves.
    pub stop: Stop,
    /// Told of each epoch that ends.
    pub on_epoch: fn(&EpochFigures),
}

/// What a run that is asked to end leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A checkpoint.
    Checkpoint,
    /// A checkpoint, and the best weights so far as a version.
    Publish,
}

/// Keys of a recipe that flags may override.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `seed`
    pub seed: Option<u64>,
    /// `epochs`
    pub epochs: Option<u64>,
    /// `batch_size`
    pub batch_size: Option<usize>,
    /// `optimizer.learning_rate`
    pub learning_rate: Option<f64>,
    /// `patience`
    pub patience: Option<u64>,
    /// `text.tokenizer_file`
    pub tokenizer: Option<PathBuf>,
}

/// What becomes of an unfinished run in the model's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// There must be none.
    Fresh,
    /// It goes on.
    Resume,
    /// It is thrown away.
    Restart,
}

/// A run that left a version.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The version published.
    pub version: Version,
    /// Where it is.
    pub directory: PathBuf,
    /// The folder of models that serves it.
    pub models: PathBuf,
    /// What it came to, a line each.
    pub summary: Vec<String>,
    /// How the version answers the validation rows.
    pub figures: Figures,
    /// Where it was asked to end, if it was.
    pub stopped: Option<Stopped>,
}

/// Where a run was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The epoch under way, from 1.
    pub epoch: u64,
    /// Epochs in all.
    pub epochs: u64,
}

/// Why a run ended without a version.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The name of the output is no model's.
    #[error("--out {}: {problem}", out.display())]
    Output {
        /// What was given.
        out: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The recipe: where it is from, and what is wrong.
    #[error("{0}: {1}")]
    Recipe(String, String),
    /// One of the keys said over the recipe is none.
    #[error("{name}: {problem}")]
    Name {
        /// What was said.
        name: String,
        /// What is wrong with it.
        problem: String,
        /// The known name that is meant, maybe.
        meant: Option<String>,
    },
    /// The value of one of the keys said over the recipe.
    #[error("{name} = {value:?}: {problem}")]
    Value {
        /// The key, as it was said.
        name: String,
        /// What was said of it.
        value: String,
        /// What was expected.
        problem: String,
    },
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An unfinished run is there, and nothing was said about it.
    #[error(
        "an unfinished run is at {} (step {step}): --resume goes on with it, --restart throws it away",
        folder.display()
    )]
    Unfinished {
        /// Its checkpoints.
        folder: PathBuf,
        /// How far it is.
        step: u64,
    },
    /// The unfinished run was another: one line a difference.
    #[error("the unfinished run at {} was of other inputs:\n  {}", folder.display(), differences.join("\n  "))]
    Another {
        /// Its checkpoints.
        folder: PathBuf,
        /// `key: the checkpoint has …, now …`
        differences: Vec<String>,
    },
    /// Another process trains this model.
    #[error("{0}")]
    Busy(String),
    /// The user or the system asked the run to end; a checkpoint is written.
    #[error("interrupted in epoch {} of {}; a checkpoint is written", .0.epoch, .0.epochs)]
    Interrupted(Stopped),
    /// Publishing.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Anything else: the disk, the network.
    #[error("{0}")]
    Failed(String),
}

impl From<LockError> for SessionError {
    fn from(error: LockError) -> Self {
        Self::Busy(error.to_string())
    }
}

/// Trains and publishes.
///
/// # Errors
/// Why there is no version; a checkpoint stays where one was written.
pub fn run(options: &Options, interrupt: &Interrupt) -> Result<Finished, SessionError> {
    let models = models_folder(&options.out)?;
    let mut progress = Progress::new(options.on_epoch);
    let store = match &options.checkpoints {
        Some(folder) => Store::at(folder),
        None => Store::new(&options.out),
    };
    // Before anything is written: a recipe or data that cannot be used leave no trace.
    let plan = Plan::new(options, &progress)?;
    let lock = Lock::take(store.folder())?;
    let from = checkpoint(options, &plan, &store, &progress)?;
    let keeping = Keeping { store: &store, steps: options.checkpoint_steps };
    let mut fit = Fit::new(&plan, from, &keeping, Device::Cpu)?;
    let stopped = match (fit.run(interrupt, &mut progress), options.stop) {
        (Err(SessionError::Interrupted(stopped)), Stop::Publish) => Some(stopped),
        (ran, _) => ran.map(|()| None)?,
    };
    let Concluded { version, summary, figures } =
        conclude::conclude(options, &plan, &fit, Ending { interrupt, stopped })?;
    if options.checkpoints.is_none()
        && let Err(error) = lock.remove_folder()
    {
        progress.say(&format!("{} is left behind: {error}", store.folder().display()));
    }
    let directory = options.out.join(version.to_string());
    Ok(Finished { version, directory, models, summary, figures, stopped })
}

/// The folder of models that `models/<name>` is in.
fn models_folder(out: &Path) -> Result<PathBuf, SessionError> {
    let wrong = |problem: String| SessionError::Output { out: out.to_owned(), problem };
    let name = out.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| wrong("expected a folder such as models/NAME".into()))?;
    name.parse::<ModelName>().map_err(|error| wrong(error.to_string()))?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(parent.unwrap_or(Path::new(".")).to_owned())
}

/// The checkpoint to go on from, if one is there and asked for.
fn checkpoint(
    options: &Options,
    plan: &Plan,
    store: &Store,
    progress: &Progress,
) -> Result<Option<Checkpoint>, SessionError> {
    if options.start == Start::Restart {
        store.clear().map_err(SessionError::Failed)?;
        return Ok(None);
    }
    let Found { checkpoint, damaged } = store.newest();
    for path in damaged {
        progress.say(&format!("{} is damaged and is passed over", path.display()));
    }
    let folder = store.folder().to_owned();
    match (checkpoint, options.start) {
        (Some(checkpoint), Start::Resume) => {
            let differences = differences(&checkpoint, plan);
            if !differences.is_empty() {
                return Err(SessionError::Another { folder, differences });
            }
            let position = &checkpoint.position;
            progress.say(&format!("resuming at step {} (epoch {})", position.step, position.epoch + 1));
            Ok(Some(checkpoint))
        }
        (Some(checkpoint), _) => Err(SessionError::Unfinished { folder, step: checkpoint.position.step }),
        (None, Start::Resume) => {
            progress.say("there is no checkpoint to resume from: starting anew");
            Ok(None)
        }
        (None, _) => Ok(None),
    }
}

fn differences(checkpoint: &Checkpoint, plan: &Plan) -> Vec<String> {
    let keys = checkpoint.inputs.keys().chain(plan.inputs.keys());
    let mut keys: Vec<&String> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    let shown = |value: Option<&String>| value.map_or("nothing", String::as_str).to_owned();
    keys.into_iter()
        .map(|key| (key, checkpoint.inputs.get(key), plan.inputs.get(key)))
        .filter(|(_, before, now)| before != now)
        .map(|(key, before, now)| format!("{key}: the checkpoint has {}, now {}", shown(before), shown(now)))
        .collect()
}
