//! Which version directory a path on the command line means: `models/NAME/VERSION` itself, or the latest of
//! `models/NAME`.

use std::fs;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::model::{self, Model};
use crate::name::{ModelName, Version, nearest};

/// A version directory, and what it is called.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    /// The folder's name above it; a version directory may lie anywhere.
    pub(super) name: String,
}

impl Place {
    /// The version directory that `path` means.
    ///
    /// # Errors
    /// There is none (64), with the folder beside it that may be meant.
    pub(super) fn find(path: &Path) -> Result<Self, Failure> {
        if is_version(path) {
            return Ok(Self::of(path));
        }
        let latest = versions_in(path).map_err(|error| missing(path, &error))?.into_iter().next_back();
        let version = latest.ok_or_else(|| {
            Failure::data(format!("{}: no model version in it", path.display()))
                .hint("expected models/NAME with folders 1, 2, …, or models/NAME/VERSION with a model.toml")
        })?;
        Ok(Self::of(&path.join(version.to_string())))
    }

    /// The model in it.
    ///
    /// # Errors
    /// What is wrong with it (64).
    pub(super) fn load(&self) -> Result<Model, Failure> {
        model::load(&self.directory).map_err(|error| {
            Failure::data(error)
                .hint(format!("`sconce check {}` lists what is wrong", self.directory.display()))
        })
    }

    /// A version directory by its path.
    pub(super) fn of(directory: &Path) -> Self {
        // `.` and `..` have names only once they are resolved.
        let whole = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        let above = whole.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        Self { directory: directory.to_owned(), name: above.unwrap_or_else(|| "model".to_owned()) }
    }
}

/// Whether the directory is a version's: it has a manifest, or is called like one inside of a model's.
pub(super) fn is_version(path: &Path) -> bool {
    let named =
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<Version>().is_ok());
    path.join("model.toml").is_file() || (named && path.is_dir())
}

/// The versions in a model's directory, oldest first.
pub(super) fn versions_in(path: &Path) -> std::io::Result<Vec<Version>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.path().is_dir()
            && let Some(version) = entry.file_name().to_str().and_then(|name| name.parse().ok())
        {
            found.push(version);
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn missing(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::data(format!("{}: {error}", path.display()));
    let wanted = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside: Vec<String> = fs::read_dir(parent)
        .map(|entries| entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    let names = beside.iter().map(String::as_str).filter(|name| name.parse::<ModelName>().is_ok());
    match nearest(&wanted, names) {
        Some(name) if name != wanted => {
            failure.hint(format!("did you mean {}?", parent.join(name).display()))
        }
        _ => failure.hint("expected models/NAME or models/NAME/VERSION"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_means_its_latest_version() {
        let models = tempfile::tempdir().unwrap();
        for version in ["sentiment/2", "sentiment/10", "sentiment/.staging", "empty"] {
            fs::create_dir_all(models.path().join(version)).unwrap();
        }
        let find = |name: &str| Place::find(&models.path().join(name));
        let latest = find("sentiment").unwrap();
        assert_eq!(latest.directory, models.path().join("sentiment/10"));
        assert_eq!(latest.name, "sentiment");
        assert_eq!(find("sentiment/2").unwrap().directory, models.path().join("sentiment/2"));
        let empty = find("empty").unwrap_err();
        assert!(empty.message.contains("no model version"), "{empty}");
        let misspelt = find("sentimnt").unwrap_err();
        assert!(misspelt.hint.unwrap().ends_with("sentiment?"));
    }
}
