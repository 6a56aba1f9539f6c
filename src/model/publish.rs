//! Publishing: a version appears under `models/<name>/` by one rename, complete, or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{GoldenSample, Manifest, files, golden, load, tensors};
use crate::limits::STAGING_SECONDS_MAX;
use crate::name::Version;
use crate::nn::Weights;
use crate::text::Tokenizer;

const STAGING: &str = ".staging-";

/// What is to become a version.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The manifest; its `files` are filled in by publishing.
    pub manifest: Manifest,
    /// The tensors, exactly those of the architecture.
    pub weights: Weights,
    /// The tokenizer, when the input is text.
    pub tokenizer: Option<Tokenizer>,
    /// At least one sample.
    pub golden: Vec<GoldenSample>,
    /// Further files (`metrics.json`, `report.html`, `LICENSE`), not read by loading.
    pub extras: BTreeMap<String, Vec<u8>>,
}

/// Why nothing was published. The staging directory is gone.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The draft would not load.
    #[error("not published, the model would not load: {}", .0.join("; "))]
    Unloadable(Vec<String>),
    /// The disk refused.
    #[error("{path}: {source}")]
    Io {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Publishes the draft as the next version under `models/<name>` (made when absent): staged beside it, every file
/// and directory synced, loaded back with every check, then renamed. Returns the version.
///
/// Several publishers may work side by side: each gets a number of its own, and none replaces another's version.
///
/// # Errors
/// The draft would not load, or the disk refused; nothing is left behind.
pub fn publish(model_directory: &Path, draft: &Draft) -> Result<Version, PublishError> {
    let files = encode(draft).map_err(PublishError::Unloadable)?;
    at(model_directory, |path| fs::create_dir_all(path))?;
    sweep(model_directory);
    let staging = Staging::create(model_directory)?;
    for (name, bytes) in &files {
        write(&staging.path.join(name), bytes)?;
    }
    at(&staging.path, sync_directory)?;
    load(&staging.path).map_err(|error| PublishError::Unloadable(error.findings))?;
    let version = staging.rename_to_next(model_directory)?;
    at(model_directory, sync_directory)?;
    if let Some(models) = model_directory.parent().filter(|models| !models.as_os_str().is_empty()) {
        at(models, sync_directory)?;
    }
    Ok(version)
}

/// Every file of the version, the manifest with the digests of the others.
fn encode(draft: &Draft) -> Result<BTreeMap<String, Vec<u8>>, Vec<String>> {
    let mut problems = Vec::new();
    let mut listed = BTreeMap::new();
    let tokenizer = draft.tokenizer.as_ref().map(|tokenizer| {
        (files::TOKENIZER, tokenizer.to_json().map_err(|error| format!("{}: {error}", files::TOKENIZER)))
    });
    let encoded =
        [(files::WEIGHTS, tensors::write(&draft.weights)), (files::GOLDEN, golden::write(&draft.golden))];
    for (name, bytes) in encoded.into_iter().chain(tokenizer) {
        match bytes {
            Ok(bytes) => drop(listed.insert(name.to_owned(), bytes)),
            Err(problem) => problems.push(problem),
        }
    }
    let mut manifest = draft.manifest.clone();
    manifest.files = listed.iter().map(|(name, bytes)| (name.clone(), files::digest(bytes))).collect();
    problems.extend(manifest.problems().into_iter().map(|problem| format!("{}: {problem}", files::MANIFEST)));
    let mut files = listed;
    match toml::to_string(&manifest) {
        Ok(text) => drop(files.insert(files::MANIFEST.to_owned(), text.into_bytes())),
        Err(error) => problems.push(format!("{}: {error}", files::MANIFEST)),
    }
    for (name, bytes) in &draft.extras {
        let plain =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if !plain || name.is_empty() || name.starts_with('.') {
            problems.push(format!("{name:?} is no name for a further file: expected A-Z a-z 0-9 . _ -"));
        } else if files.insert(name.clone(), bytes.clone()).is_some() {
            problems
                .push(format!("{name:?} is no name for a further file: the version has one of that name"));
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// A directory in the making; removed when dropped unpublished.
struct Staging {
    path: PathBuf,
    renamed: bool,
}

impl Staging {
    fn create(model_directory: &Path) -> Result<Self, PublishError> {
        let process = std::process::id();
        let mut number = 0_u64;
        loop {
            let path = model_directory.join(format!("{STAGING}{process}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let staging = Self { path, renamed: false };
                    at(&staging.path, |path| fs::set_permissions(path, Permissions::from_mode(0o755)))?;
                    return Ok(staging);
                }
                // Another thread of this process, or a dead process of the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(PublishError::Io { path, source }),
            }
        }
    }

    fn rename_to_next(mut self, model_directory: &Path) -> Result<Version, PublishError> {
        loop {
            let version = at(model_directory, next_version)?;
            let target = model_directory.join(version.to_string());
            match fs::rename(&self.path, &target) {
                Ok(()) => {
                    self.renamed = true;
                    return Ok(version);
                }
                // Taken since we looked, by a publisher beside us: a directory with files in it is never replaced.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                    ) => {}
                Err(source) => return Err(PublishError::Io { path: target, source }),
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is swept by a later publication.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// One more than the largest number there, whatever bears it.
fn next_version(model_directory: &Path) -> io::Result<Version> {
    let mut latest = None;
    for entry in fs::read_dir(model_directory)? {
        let version = entry?.file_name().to_str().and_then(|name| name.parse::<Version>().ok());
        latest = latest.max(version);
    }
    match latest {
        None => Ok(Version::FIRST),
        Some(latest) => latest.next().ok_or_else(|| io::Error::other("the version numbers are used up")),
    }
}

/// Writes a new file, readable by all, and waits until the disk has it. A failed sync is final: it is not retried,
/// because what is then in the file is unknown.
fn write(path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    at(path, |path| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        file.write_all(bytes)?;
        // The process's umask may have taken rights away.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()
    })
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes what publishers that died left behind. A failure here is no reason not to publish.
fn sweep(model_directory: &Path) {
    let Ok(entries) = fs::read_dir(model_directory) else { return };
    for entry in entries.filter_map(Result::ok) {
        let staged = entry.file_name().to_str().is_some_and(|name| name.starts_with(STAGING));
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|at| at.elapsed());
        let dead = matches!(age, Ok(Ok(age)) if age > Duration::from_secs(STAGING_SECONDS_MAX));
        if staged && dead {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn at<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> Result<T, PublishError> {
    act(path).map_err(|source| PublishError::Io { path: path.to_owned(), source })
}
