//! Checkpoints: everything that training goes on from, in one file with its digest, written atomically.
//!
//! Layout: 8 bytes magic, 32 bytes SHA-256 of the rest, 8 bytes length of the header, the header (TOML), then the
//! tensors as little-endian f32 in the header's order. The last two files are kept, so that a torn one costs
//! one interval and not the run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::position::Position;
use crate::limits::WEIGHTS_BYTES_MAX;

const MAGIC: &[u8; 8] = b"SCONCEC1";
const HEAD_BYTES: usize = 8 + 32 + 8;
/// Weights, two moments, their average, the best so far: five times the weights, and room.
const BYTES_MAX: u64 = 8 * WEIGHTS_BYTES_MAX;
const KEPT: usize = 2;

/// What training goes on from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Checkpoint {
    /// What decides the result, by key; resuming with others is refused.
    pub(crate) inputs: BTreeMap<String, String>,
    /// How far training is.
    pub(crate) position: Position,
    /// All tensors by name.
    pub(crate) tensors: BTreeMap<String, Vec<f32>>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    tensors: Vec<(String, u64)>,
    inputs: BTreeMap<String, String>,
    position: Position,
}

impl Checkpoint {
    /// The file's bytes.
    fn encode(&self) -> Result<Vec<u8>, String> {
        let tensors = self.tensors.iter().map(|(name, values)| (name.clone(), values.len() as u64)).collect();
        let header = Header { tensors, inputs: self.inputs.clone(), position: self.position.clone() };
        let header = toml::to_string(&header).map_err(|error| error.to_string())?;
        let values: usize = self.tensors.values().map(Vec::len).sum();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + header.len() + 4 * values);
        bytes.extend(MAGIC);
        bytes.extend([0; 32]);
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header.as_bytes());
        for values in self.tensors.values() {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        let digest: [u8; 32] = Sha256::digest(&bytes[40..]).into();
        bytes[8..40].copy_from_slice(&digest);
        Ok(bytes)
    }

    /// Reads the file's bytes; `None` when they are torn, damaged or not ours.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_at_checked(8)?;
        let (digest, body) = rest.split_at_checked(32)?;
        let right: [u8; 32] = Sha256::digest(body).into();
        if magic != MAGIC || digest != right {
            return None;
        }
        let (length, rest) = body.split_first_chunk::<8>()?;
        let (header, mut values) =
            rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let header: Header = toml::from_str(std::str::from_utf8(header).ok()?).ok()?;
        let mut tensors = BTreeMap::new();
        for (name, length) in header.tensors {
            let (own, others) = values.split_at_checked(usize::try_from(length).ok()?.checked_mul(4)?)?;
            tensors.insert(
                name,
                own.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            );
            values = others;
        }
        values.is_empty().then_some(Self { inputs: header.inputs, position: header.position, tensors })
    }
}

/// The folder of one run's checkpoints.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// A checkpoint found again, and the files that were damaged.
#[derive(Debug)]
pub(crate) struct Found {
    /// The newest whole one.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Newer ones that are not whole.
    pub(crate) damaged: Vec<PathBuf>,
}

impl Store {
    /// The store inside a model directory; model versions are never called so.
    pub(crate) fn new(model_directory: &Path) -> Self {
        Self::at(&model_directory.join(".checkpoint"))
    }

    /// The store in a folder of its own.
    pub(crate) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a checkpoint: to a temporary file, synced, renamed; then drops all but the last two.
    pub(crate) fn save(&self, checkpoint: &Checkpoint) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let bytes = checkpoint.encode()?;
        let temporary = self.folder.join("writing");
        let mut file = File::create(&temporary).map_err(failed)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        let name = format!("step-{:012}-{:06}", checkpoint.position.step, checkpoint.position.history.len());
        fs::rename(&temporary, self.folder.join(name)).map_err(failed)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        for old in self.files().iter().rev().skip(KEPT) {
            fs::remove_file(old).map_err(failed)?;
        }
        Ok(())
    }

    /// The newest whole checkpoint.
    pub(crate) fn newest(&self) -> Found {
        let mut damaged = Vec::new();
        for path in self.files().into_iter().rev() {
            let fits = fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= BYTES_MAX);
            let bytes = if fits { fs::read(&path).ok() } else { None };
            match bytes.and_then(|bytes| Checkpoint::decode(&bytes)) {
                Some(checkpoint) => return Found { checkpoint: Some(checkpoint), damaged },
                None => damaged.push(path),
            }
        }
        Found { checkpoint: None, damaged }
    }

    /// Removes the checkpoint files (not the folder, which holds the lock).
    pub(crate) fn clear(&self) -> Result<(), String> {
        let files = self.files();
        files
            .iter()
            .try_for_each(fs::remove_file)
            .map_err(|error| format!("{}: {error}", self.folder.display()))
    }

    /// The checkpoint files, oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("step-"))
            .map(|entry| entry.path())
            .collect();
        files.sort();
        files
    }
}

#[cfg(test)]
mod tests {
    use super::super::position::EpochFigures;
    use super::*;

    fn checkpoint(step: u64) -> Checkpoint {
        let figures =
            EpochFigures { train_loss: 1.0 / 3.0, valid_loss: f64::MIN_POSITIVE, ..EpochFigures::default() };
        let position = Position { step, loss_sum: 0.1 + 0.2, history: vec![figures], ..Position::default() };
        let tensors = [("a".to_owned(), vec![1.0, -0.0, f32::MIN_POSITIVE]), ("b".to_owned(), vec![])];
        Checkpoint { inputs: [("seed".to_owned(), "7".to_owned())].into(), position, tensors: tensors.into() }
    }

    #[test]
    fn what_is_saved_is_found_again_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert!(store.files().is_empty());
        for step in 1..5 {
            store.save(&checkpoint(step)).unwrap();
        }
        let found = store.newest().checkpoint.unwrap();
        assert_eq!(found, checkpoint(4));
        assert_eq!(found.tensors["a"][1].to_bits(), (-0.0_f32).to_bits());
        assert_eq!(store.files().len(), KEPT);
        store.clear().unwrap();
        assert!(store.files().is_empty());
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
        let whole = checkpoint(2).encode().unwrap();
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        let damages = [
            whole[..whole.len() - 1].to_vec(),
            Vec::new(),
            flipped(0),
            flipped(20),
            flipped(60),
            flipped(whole.len() - 1),
        ];
        for damage in damages {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::new(folder.path());
            store.save(&checkpoint(1)).unwrap();
            store.save(&checkpoint(2)).unwrap();
            let newest = store.files().pop().unwrap();
            fs::write(&newest, damage).unwrap();
            let found = store.newest();
            assert_eq!(found.checkpoint.unwrap().position.step, 1);
            assert_eq!(found.damaged, [newest]);
        }
    }

    #[test]
    fn half_a_write_is_never_taken_for_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        fs::create_dir_all(store.folder()).unwrap();
        fs::write(store.folder().join("writing"), b"half").unwrap();
        assert!(store.files().is_empty());
        assert!(store.newest().checkpoint.is_none());
    }
}
