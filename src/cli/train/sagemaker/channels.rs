//! `inputdataconfig.json` and the folders of the channels that it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::super::Failure;
use super::json;
use crate::name::nearest;
use crate::value::Task;

/// The channels by what they are for, and every name that each may have: the SDK calls a lone channel `training`.
const NAMES: [(Purpose, &str); 6] = [
    (Purpose::Train, "train"),
    (Purpose::Train, "training"),
    (Purpose::Validation, "validation"),
    (Purpose::Test, "test"),
    (Purpose::Test, "testing"),
    (Purpose::Config, "config"),
];

/// What a channel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// To train on.
    Train,
    /// To validate on.
    Validation,
    /// To test the model with that training has left.
    Test,
    /// A recipe, and what it names.
    Config,
}

/// What the platform says of a channel; there is more, of which nothing depends.
#[derive(Debug, Deserialize)]
struct Channel {
    #[serde(rename = "TrainingInputMode")]
    mode: Option<String>,
    #[serde(rename = "RecordWrapperType")]
    wrapper: Option<String>,
}

/// The folders of the channels.
#[derive(Debug)]
pub(super) struct Channels(BTreeMap<Purpose, PathBuf>);

impl Channels {
    /// Reads which channels there are, below the platform's `input` folder.
    pub(super) fn read(input: &Path) -> Result<Self, Failure> {
        let path = input.join("config/inputdataconfig.json");
        let said: Option<BTreeMap<String, Channel>> = json(&path, "an object of channels")?;
        let said = said.ok_or_else(|| {
            Failure::data(format!("{}: not found, expected the job's channels", path.display()))
        })?;
        let mut folders: BTreeMap<Purpose, PathBuf> = BTreeMap::new();
        for (name, channel) in said {
            let Some((purpose, _)) = NAMES.iter().find(|(_, known)| *known == name) else {
                return Err(unknown(&name));
            };
            channel.is_readable(&name)?;
            let folder = input.join("data").join(&name);
            if !folder.is_dir() {
                let problem = format!("channel {name}: there is no folder {}", folder.display());
                return Err(Failure::data(problem));
            }
            if let Some(other) = folders.insert(*purpose, folder) {
                let other = other.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(Failure::data(format!(
                    "the channels {other} and {name} are for the same: give one"
                )));
            }
        }
        Ok(Self(folders))
    }

    /// The folder of a channel.
    pub(super) fn folder(&self, purpose: Purpose) -> Option<&Path> {
        self.0.get(&purpose).map(PathBuf::as_path)
    }

    /// The data in a channel, as training reads them: a folder of tables or of pictures, or the table of pictures in it.
    pub(super) fn data(&self, purpose: Purpose, task: Task) -> Result<Option<PathBuf>, Failure> {
        let Some(folder) = self.folder(purpose) else { return Ok(None) };
        if task == Task::TextClassification {
            return Ok(Some(folder.to_owned()));
        }
        let mut tables = files(folder, "csv")?;
        match (tables.pop(), tables.pop()) {
            (None, _) => Ok(Some(folder.to_owned())),
            (Some(table), None) => Ok(Some(table)),
            (Some(_), Some(_)) => Err(Failure::data(format!(
                "{}: several .csv files, expected one of path,label or a folder of pictures a class",
                folder.display()
            ))),
        }
    }

    /// The recipe in the channel `config`: the file of this name, or else the only `.toml` there, if there is one.
    pub(super) fn recipe(&self, name: Option<&str>) -> Result<Option<PathBuf>, Failure> {
        let found = match self.folder(Purpose::Config) {
            Some(folder) => files(folder, "toml")?,
            None => Vec::new(),
        };
        let names: Vec<_> = found.iter().filter_map(|file| file.file_name()?.to_str()).collect();
        let there = if names.is_empty() { "no .toml there".to_owned() } else { names.join(", ") };
        match name {
            Some(name) => match found.iter().zip(&names).find(|(_, found)| **found == name) {
                Some((file, _)) => Ok(Some(file.clone())),
                None => Err(Failure::data(format!(
                    "hyperparameter recipe = {name:?}: expected a file of the channel config (found: {there})"
                ))),
            },
            None if found.len() > 1 => {
                Err(Failure::data(format!("channel config: several recipes ({there})"))
                    .hint("the hyperparameter recipe says which"))
            }
            None => Ok(found.into_iter().next()),
        }
    }
}

impl Channel {
    /// Whether the channel comes as files.
    fn is_readable(&self, name: &str) -> Result<(), Failure> {
        let is_unless = |value: &Option<String>, usual: &[&str]| {
            value.clone().filter(|value| !usual.iter().any(|usual| usual.eq_ignore_ascii_case(value)))
        };
        if let Some(mode) = is_unless(&self.mode, &["File", "FastFile"]) {
            let problem =
                format!("channel {name}: TrainingInputMode is {mode:?}, expected \"File\" or \"FastFile\"");
            return Err(
                Failure::data(problem).hint("rows are seen more than once: they are not read from a pipe")
            );
        }
        if let Some(wrapper) = is_unless(&self.wrapper, &["None"]) {
            let problem = format!("channel {name}: RecordWrapperType is {wrapper:?}, expected \"None\"");
            return Err(Failure::data(problem));
        }
        Ok(())
    }
}

fn unknown(name: &str) -> Failure {
    let meant = nearest(name, NAMES.iter().map(|(_, known)| *known));
    let meant = meant.map(|known| format!("; is {known} meant?")).unwrap_or_default();
    Failure::data(format!("channel {name}: expected train, validation, test or config{meant}"))
}

/// The files of this extension in a folder, in the order of their names.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| Failure::data(format!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension)) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
