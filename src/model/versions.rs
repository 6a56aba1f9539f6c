//! What is under a models directory: names, versions, and a stamp of each version that changes when its files do.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::MANIFEST;
use crate::limits::{MODELS_MAX, VERSION_FILES_MAX, VERSIONS_MAX};
use crate::name::{ModelName, Version};

/// The models and versions under a models directory, each with a stamp of its files (names, sizes, times), which
/// changes when they do. Folders whose names are no model name or version (staging, checkpoints) are passed over, and
/// so are models without a version.
///
/// # Errors
/// The directory cannot be read, or holds more models or versions than the limits allow.
pub fn versions(models: &Path) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
    let mut found = BTreeMap::new();
    let said =
        |error: io::Error| format!("the models directory {} cannot be read: {error}", models.display());
    for entry in fs::read_dir(models).map_err(said)? {
        let entry = entry.map_err(said)?;
        let Some(name) = parsed::<ModelName>(&entry) else { continue };
        if !entry.path().is_dir() {
            continue;
        }
        let of_model = versions_of(&entry.path())?;
        if !of_model.is_empty() {
            found.insert(name, of_model);
        }
        if found.len() > MODELS_MAX {
            return Err(format!("{} holds more than {MODELS_MAX} models", models.display()));
        }
    }
    Ok(found)
}

/// The same, of a directory that may also be one model's itself (it has versions in it) or one version's (it has a
/// manifest): that model is called `name`, and that version 1.
///
/// # Errors
/// The directory cannot be read, or holds more models or versions than the limits allow.
pub fn versions_named(
    models: &Path,
    name: &ModelName,
) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
    if is_version(models) {
        let only = BTreeMap::from([(Version::FIRST, stamp(models))]);
        return Ok(BTreeMap::from([(name.clone(), only)]));
    }
    let own = versions_of(models)?;
    if own.keys().any(|version| is_version(&models.join(version.to_string()))) {
        return Ok(BTreeMap::from([(name.clone(), own)]));
    }
    versions(models)
}

/// Where a version that was listed is.
#[must_use]
pub fn place(models: &Path, name: &ModelName, version: Version) -> PathBuf {
    let number = version.to_string();
    let under_a_name = models.join(name.as_str()).join(&number);
    if is_version(models) {
        models.to_owned()
    } else if !under_a_name.exists() && is_version(&models.join(&number)) {
        models.join(number)
    } else {
        under_a_name
    }
}

fn is_version(directory: &Path) -> bool {
    directory.join(MANIFEST).is_file()
}

fn versions_of(model: &Path) -> Result<BTreeMap<Version, u64>, String> {
    let mut found = BTreeMap::new();
    let said = |error: io::Error| format!("the model directory {} cannot be read: {error}", model.display());
    let entries = match fs::read_dir(model) {
        Ok(entries) => entries,
        // Removed while we looked.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(said(error)),
    };
    for entry in entries {
        let entry = entry.map_err(said)?;
        let Some(version) = parsed::<Version>(&entry) else { continue };
        if entry.path().is_dir() {
            found.insert(version, stamp(&entry.path()));
        }
        if found.len() > VERSIONS_MAX {
            return Err(format!("{} holds more than {VERSIONS_MAX} versions", model.display()));
        }
    }
    Ok(found)
}

fn parsed<T: std::str::FromStr>(entry: &fs::DirEntry) -> Option<T> {
    entry.file_name().to_str()?.parse().ok()
}

/// A sum, so that the order of a directory's entries does not matter. A file that cannot be looked at counts by name:
/// loading will say what is wrong with it.
fn stamp(version: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(version) else { return 0 };
    let stamps = entries.take(VERSION_FILES_MAX).filter_map(Result::ok).map(|entry| {
        let mut hasher = DefaultHasher::new();
        entry.file_name().hash(&mut hasher);
        if let Ok(metadata) = entry.metadata() {
            metadata.len().hash(&mut hasher);
            let modified =
                metadata.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
            modified.hash(&mut hasher);
        }
        hasher.finish()
    });
    stamps.fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(models: &Path) -> Vec<String> {
        let found = versions(models).unwrap();
        found
            .iter()
            .flat_map(|(name, of_model)| of_model.keys().map(move |version| format!("{name}/{version}")))
            .collect()
    }

    #[test]
    fn only_models_and_versions_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        for path in
            ["a/1", "a/12", "a/.staging-1-0", "a/checkpoints", "a/01", "b/2", ".git/3", "c d/1", "empty"]
        {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        fs::write(folder.path().join("a/3"), "a file").unwrap();
        fs::write(folder.path().join("README.md"), "a file").unwrap();
        assert_eq!(listed(folder.path()), ["a/1", "a/12", "b/2"]);
        let error = versions(&folder.path().join("none")).unwrap_err();
        assert!(error.contains("none cannot be read"), "{error}");
    }

    #[test]
    fn a_stamp_changes_with_name_size_and_time_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let version = folder.path().join("a/1");
        fs::create_dir_all(&version).unwrap();
        fs::write(version.join("x"), "12").unwrap();
        fs::write(version.join("y"), "34").unwrap();
        let first = stamp(&version);
        assert_eq!(stamp(&version), first);
        let file = fs::File::options().write(true).open(version.join("x")).unwrap();
        let past = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        file.set_modified(past).unwrap();
        let second = stamp(&version);
        assert_ne!(second, first);
        fs::write(version.join("x"), "123").unwrap();
        let file = fs::File::options().write(true).open(version.join("x")).unwrap();
        file.set_modified(past).unwrap();
        let third = stamp(&version);
        assert_ne!(third, second);
        fs::rename(version.join("x"), version.join("z")).unwrap();
        assert_ne!(stamp(&version), third);
    }

    #[test]
    fn more_versions_than_the_limit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for version in 1..=VERSIONS_MAX + 1 {
            fs::create_dir_all(folder.path().join(format!("a/{version}"))).unwrap();
        }
        assert!(versions(folder.path()).unwrap_err().contains("more than 1024 versions"));
    }

    #[test]
    fn a_directory_of_one_model_or_of_one_version_is_that_model() {
        let name: ModelName = "mine".parse().unwrap();
        let listed = |models: &Path| -> Vec<String> {
            let found = versions_named(models, &name).unwrap();
            let of = |(name, versions): (&ModelName, &BTreeMap<Version, u64>)| -> Vec<String> {
                let place = |version: &Version| {
                    place(models, name, *version).strip_prefix(models).unwrap().display().to_string()
                };
                versions.keys().map(|version| format!("{name}/{version} at {:?}", place(version))).collect()
            };
            found.iter().flat_map(of).collect()
        };
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            fs::create_dir_all(folder.path().join(path)).unwrap();
            fs::write(folder.path().join(path).join(MANIFEST), "").unwrap();
            folder.path().join(path)
        };
        at("many/a/1");
        at("many/2/7");
        assert_eq!(listed(&folder.path().join("many")), ["2/7 at \"2/7\"", "a/1 at \"a/1\""]);
        at("one/1");
        at("one/3");
        assert_eq!(listed(&folder.path().join("one")), ["mine/1 at \"1\"", "mine/3 at \"3\""]);
        assert_eq!(listed(&at("version")), ["mine/1 at \"\""]);
    }
}
