//! `sconce check`: says what is wrong with a models directory, a model or a version.

use std::path::{Path, PathBuf};

use super::place::{self, Place};
use super::{Failure, output};
use crate::engine::{DeviceChoice, quiet_pools};
use crate::model::{self, Manifest};
use crate::nn::Architecture;
use crate::pipeline::{self, Pipeline};

/// Says what is wrong with a models directory, a model or a version
///
/// Reads every file with every check that serving makes: sizes, digests, exactly the expected tensors, finite values,
/// golden samples reproduced. Exit code 64 when anything is wrong.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A folder of models, models/NAME, or models/NAME/VERSION
    #[arg(value_name = "DIR", default_value = "models")]
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    quiet_pools();
    let directories = versions_under(&arguments.directory)?;
    if directories.is_empty() {
        return Err(Failure::data(format!("{}: no model in it", arguments.directory.display())).hint(
            "expected NAME/VERSION/model.toml below it; `sconce train` and `sconce import` make such folders",
        ));
    }
    let mut wrong = 0;
    for directory in &directories {
        match findings(directory) {
            Ok(manifest) => {
                output::print(&format!("ok     {}  {}", directory.display(), summary(&manifest)))?;
            }
            Err(problems) => {
                wrong += 1;
                let lines = problems.join("\n       ");
                output::print(&format!("wrong  {}\n       {lines}", directory.display()))?;
            }
        }
    }
    if wrong > 0 {
        return Err(Failure::data(format!("{wrong} of {} versions cannot be served", directories.len())));
    }
    Ok(())
}

/// The version directories that this one is or holds.
fn versions_under(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    if place::is_version(directory) {
        return Ok(vec![directory.to_owned()]);
    }
    let own = place::versions_in(directory)
        .map_err(|error| Failure::data(format!("{}: {error}", directory.display())))?;
    if !own.is_empty() {
        return Ok(own.iter().map(|version| directory.join(version.to_string())).collect());
    }
    let models = model::versions(directory).map_err(Failure::data)?;
    let paths = models.iter().flat_map(|(name, versions)| {
        versions.keys().map(|version| directory.join(name.as_str()).join(version.to_string()))
    });
    Ok(paths.collect())
}

/// Loads, warms and asks one version as serving does.
fn findings(directory: &Path) -> Result<Manifest, Vec<String>> {
    let model = model::load(directory).map_err(|error| error.findings)?;
    let manifest = model.manifest.clone();
    // A device of the machine that serves is not of interest here: what is on disk is.
    let config =
        pipeline::Config { device: DeviceChoice::Cpu, engine_rows: Some(1), ..pipeline::Config::default() };
    Pipeline::start(&Place::of(directory).name, model, &config).map_err(|error| vec![error.to_string()])?;
    Ok(manifest)
}

fn summary(manifest: &Manifest) -> String {
    let kind = match manifest.architecture {
        Architecture::LstmClassifier(_) => "lstm-classifier",
        Architecture::ConvClassifier(_) => "conv-classifier",
    };
    format!("{}, {kind}, {} labels", manifest.task, manifest.labels.len())
}
