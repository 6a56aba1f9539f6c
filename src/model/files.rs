//! The files of a version directory: their names, bounds and digests, and how one is read.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::FileDigest;
use crate::limits::{GOLDEN_BYTES_MAX, TOKENIZER_BYTES_MAX, WEIGHTS_BYTES_MAX};

pub(super) const MANIFEST: &str = "model.toml";
pub(super) const WEIGHTS: &str = "weights.safetensors";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const GOLDEN: &str = "golden.json";

/// Bytes that a file which the manifest lists may have; `None` for a name that it may not list.
pub(super) fn bytes_max(name: &str) -> Option<u64> {
    match name {
        WEIGHTS => Some(WEIGHTS_BYTES_MAX),
        TOKENIZER => Some(TOKENIZER_BYTES_MAX),
        GOLDEN => Some(GOLDEN_BYTES_MAX),
        _ => None,
    }
}

/// Size and digest of a file's bytes.
pub(super) fn digest(bytes: &[u8]) -> FileDigest {
    use std::fmt::Write as _;
    let mut sha256 = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(sha256, "{byte:02x}");
    }
    FileDigest { bytes: bytes.len() as u64, sha256 }
}

/// Reads a file of the directory once, whole: a regular file of its own, within the bound before a byte is read.
pub(super) fn read(directory: &Path, name: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    let path = directory.join(name);
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{name} is missing"),
        _ => format!("{name} cannot be read: {error}"),
    };
    let named = fs::symlink_metadata(&path).map_err(failed)?;
    if named.is_symlink() {
        return Err(format!(
            "{name} is a symbolic link, expected a file: a version directory holds its own files, copy it there"
        ));
    }
    if !named.is_file() {
        return Err(format!("{name} is no regular file"));
    }
    let file = File::open(&path).map_err(failed)?;
    let opened = file.metadata().map_err(failed)?;
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return Err(format!("{name} was replaced while it was opened; try again"));
    }
    let too_large = |bytes: u64| format!("{name} has {bytes} bytes, expected at most {bytes_max}");
    if opened.len() > bytes_max {
        return Err(too_large(opened.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(opened.len()).unwrap_or(0));
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_published_one() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(b"abc"), FileDigest { bytes: 3, sha256: expected.into() });
    }

    #[test]
    fn only_regular_files_within_the_bound_are_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("good"), "12345").unwrap();
        assert_eq!(read(folder.path(), "good", 5).unwrap(), b"12345");
        let error = read(folder.path(), "good", 4).unwrap_err();
        assert_eq!(error, "good has 5 bytes, expected at most 4");
        assert_eq!(read(folder.path(), "none", 4).unwrap_err(), "none is missing");
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert_eq!(read(folder.path(), "folder", 4).unwrap_err(), "folder is no regular file");
        std::os::unix::fs::symlink("good", folder.path().join("link")).unwrap();
        assert!(read(folder.path(), "link", 9).unwrap_err().starts_with("link is a symbolic link"));
        // A pipe would block for ever if it were opened.
        let socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        assert_eq!(read(folder.path(), "socket", 9).unwrap_err(), "socket is no regular file");
        drop(socket);
    }
}
