//! Settings: what was said (file, environment, flags) becomes what is meant (each part's own `Config`).
//!
//! Later wins: the compiled-in `config/sconce.toml`, a file, the platform, the environment, flags. Every value remembers where it
//! came from, and every mistake is reported, all at once.

mod environment;
mod file;
mod key;
mod machine;
mod origins;
mod platform;
mod problem;
mod reader;
mod settings;
mod value;

pub use key::Key;
pub use machine::{Machine, Scheduling};
pub use problem::{ConfigError, Origin, Problem};
pub use reader::Effective;
pub use settings::{Http, Log, Models, Pipelines, Settings};

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use value::{Said, Value};

/// The defaults, and the description of every key.
pub const DEFAULTS: &str = include_str!("../config/sconce.toml");

/// The variable that names a configuration file.
pub const FILE_VARIABLE: &str = "SCONCE_CONFIG";

/// The file that is read when neither a flag nor [`FILE_VARIABLE`] names one, if it exists.
pub const FILE_HERE: &str = "sconce.toml";

/// The folder in which `SageMaker` mounts a model.
pub const MOUNTED: &str = "/opt/ml/model";

/// Everything that was said, before it is understood.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file to read over the defaults.
    pub file: Option<PathBuf>,
    /// The process's environment; only names that begin with `SCONCE_`, and those of platforms, are looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// A folder that a platform has mounted models in.
    pub mounted: Option<PathBuf>,
    /// Flags, later ones over earlier ones.
    pub flags: Vec<Flag>,
    /// `SCONCE_…` variables that are no keys but mean something to a verb.
    pub other_variables: BTreeSet<String>,
}

/// A flag that says what a key should be.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag as it was typed: `--port`, `--set`.
    pub name: String,
    /// The key it speaks of.
    pub key: Key,
    /// The value, unread.
    pub value: String,
}

/// What is meant, and what each value in effect is and where it came from.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What is meant.
    pub settings: Settings,
    /// Every value in effect, in the order of `config/sconce.toml`.
    pub effective: Vec<Effective>,
    /// What the platform asks for and is not done, a sentence each.
    pub unheeded: Vec<String>,
}

/// Merges the sources and reads them.
///
/// # Errors
/// Every mistake in every source.
pub fn read(sources: &Sources) -> Result<Configuration, ConfigError> {
    let mut problems = Vec::new();
    let mut said: BTreeMap<Key, Said> = file::defaults();
    if let Some(path) = &sources.file {
        match file::read(path) {
            Ok(found) => said.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    said.extend(platform::read(&sources.environment, sources.mounted.as_deref()));
    let (found, refused) = environment::read(&sources.environment, &sources.other_variables);
    said.extend(found);
    problems.extend(refused);
    for flag in &sources.flags {
        let origin = Origin::Flag { flag: flag.name.clone() };
        said.insert(flag.key.clone(), Said { value: Value::Text(flag.value.clone()), origin });
    }
    let mut reader = reader::Reader::new(said, problems);
    let settings = settings::read(&mut reader);
    let unheeded = platform::unheeded(&sources.environment);
    reader.finish().map(|effective| Configuration { settings, effective, unheeded })
}

#[cfg(test)]
mod tests;
