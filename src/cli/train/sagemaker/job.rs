//! What the platform's files come to: the options of a training run.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::super::Failure;
use super::channels::{Channels, Purpose};
use super::hyperparameters::Hyperparameters;
use super::{json, outcome};
use crate::train::session::{Options, Overrides, Start, Stop};

/// A training job.
#[derive(Debug)]
pub(super) struct Job {
    /// The run.
    pub(super) options: Options,
    /// The data to test the model with afterwards.
    pub(super) test: Option<PathBuf>,
    /// The folder for everything that is no model.
    pub(super) output: PathBuf,
}

/// `resourceconfig.json`; there is more, of which nothing depends.
#[derive(Debug, Deserialize)]
struct Resources {
    #[serde(default)]
    hosts: Vec<String>,
}

impl Job {
    /// Reads the job that lies below `base`, and checks what can be checked without its data.
    pub(super) fn read(base: &Path) -> Result<Self, Failure> {
        let input = base.join("input");
        alone(&input.join("config/resourceconfig.json"))?;
        let said = Hyperparameters::read(&input.join("config/hyperparameters.json"))?;
        let channels = Channels::read(&input)?;
        let data = channels.data(Purpose::Train, said.task)?.ok_or_else(|| {
            Failure::data("there is no channel train: expected one with the data to train on")
        })?;
        let checkpoints = Some(base.join("checkpoints")).filter(|folder| folder.is_dir());
        let options = Options {
            task: said.task,
            data,
            valid: channels.data(Purpose::Validation, said.task)?,
            out: base.join("model").join(said.name.as_str()),
            recipe: channels.recipe(said.recipe.as_deref())?,
            settings: said.settings,
            overrides: Overrides::default(),
            bad_rows: said.bad_rows,
            // A job that was moved to another machine finds the checkpoints that it left on the first.
            start: Start::Resume,
            checkpoint_steps: said.checkpoint_steps,
            checkpoints,
            stop: Stop::Publish,
            on_epoch: outcome::tell_epoch,
        };
        let test = channels.data(Purpose::Test, said.task)?;
        Ok(Self { options, test, output: base.join("output/data") })
    }
}

/// Refuses a job on more than one host.
fn alone(path: &Path) -> Result<(), Failure> {
    let resources: Option<Resources> = json(path, "an object with the job's hosts")?;
    let hosts = resources.map(|resources| resources.hosts).unwrap_or_default();
    if hosts.len() <= 1 {
        return Ok(());
    }
    Err(Failure::data(format!("{} hosts ({}): sconce trains on one", hosts.len(), hosts.join(", ")))
        .hint("set ResourceConfig.InstanceCount to 1"))
}
