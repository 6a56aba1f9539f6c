//! One trainer a model directory: a lock file held for the run, free again when the process ends, however it ends.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The lock of a folder; released when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    folder: PathBuf,
    file: File,
}

/// Why the lock is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another process holds it.
    #[error("another training run is writing to {}", .0.display())]
    Held(PathBuf),
    /// The disk refused.
    #[error("{}: {source}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Lock {
    /// Takes the lock of a folder, which is made when absent.
    pub(crate) fn take(folder: &Path) -> Result<Self, LockError> {
        let io = |error| LockError::Io { folder: folder.to_owned(), source: error };
        loop {
            fs::create_dir_all(folder).map_err(io)?;
            let path = folder.join("lock");
            let file = match File::options().create(true).append(true).open(&path) {
                // The folder was removed in between by a run that ended: once more.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                opened => opened.map_err(io)?,
            };
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Self { folder: folder.to_owned(), file }),
                // Locked, but a run that ended has removed the file meanwhile: once more.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(folder.to_owned())),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
        }
    }

    /// Removes the folder with all that is in it, and lets go of the lock.
    pub(crate) fn remove_folder(self) -> std::io::Result<()> {
        fs::remove_dir_all(&self.folder)?;
        self.file.unlock()
    }
}

/// Whether the open file is still the one at this path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, named) = (file.metadata().map(identity), fs::metadata(path).map(identity));
    matches!((open, named), (Ok(open), Ok(named)) if open == named)
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_trainer_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model/.checkpoint");
        let first = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&path), Err(LockError::Held(_))));
        drop(first);
        let second = Lock::take(&path).unwrap();
        second.remove_folder().unwrap();
        assert!(!path.exists());
        Lock::take(&path).unwrap();
    }
}
