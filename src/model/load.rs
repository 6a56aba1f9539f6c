//! Loading a version directory with every check that can be made without running the network.

use std::path::{Path, PathBuf};

use super::{GoldenSample, InputPreparation, Manifest, files, golden, tensors};
use crate::limits::MANIFEST_BYTES_MAX;
use crate::nn::{Architecture, Weights};
use crate::text::Tokenizer;

/// A model version, read and checked: sizes within limits, digests right, exactly the expected tensors, all finite.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it is.
    pub manifest: Manifest,
    /// Its tensors, f32, on the CPU.
    pub weights: Weights,
    /// Its tokenizer, when its input is text.
    pub tokenizer: Option<Tokenizer>,
    /// What it must reproduce.
    pub golden: Vec<GoldenSample>,
}

/// What is wrong with a version directory: every finding, not only the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", directory.display(), findings.join("; "))]
pub struct LoadError {
    /// The directory.
    pub directory: PathBuf,
    /// One line each: file, tensor or key; found; expected.
    pub findings: Vec<String>,
}

/// Reads and checks the version directory `models/<name>/<version>`.
///
/// Read are `model.toml` and the files it lists, each once and whole: the bytes whose digest is checked are the bytes
/// that are parsed. Other files may be there (a report, a licence) and are not looked at.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(directory: &Path) -> Result<Model, LoadError> {
    let refused = |findings| LoadError { directory: directory.to_owned(), findings };
    let manifest = read_manifest(directory).map_err(refused)?;
    let mut findings = Vec::new();
    let weights = checked(directory, &manifest, files::WEIGHTS, &mut findings)
        .and_then(|bytes| noted(tensors::read(&bytes, &manifest.architecture), &mut findings));
    let golden = checked(directory, &manifest, files::GOLDEN, &mut findings)
        .and_then(|bytes| noted(golden::read(&bytes, &manifest), &mut findings));
    let tokenizer = match manifest.input {
        InputPreparation::Text(_) => checked(directory, &manifest, files::TOKENIZER, &mut findings)
            .and_then(|bytes| noted(read_tokenizer(&bytes, &manifest), &mut findings)),
        InputPreparation::Picture(_) => None,
    };
    match (weights, golden) {
        (Some(weights), Some(golden)) if findings.is_empty() => {
            Ok(Model { manifest, weights, tokenizer, golden })
        }
        _ => Err(refused(findings)),
    }
}

fn read_manifest(directory: &Path) -> Result<Manifest, Vec<String>> {
    let bytes =
        files::read(directory, files::MANIFEST, MANIFEST_BYTES_MAX).map_err(|problem| vec![problem])?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| vec![format!("{}: not UTF-8 from byte {}", files::MANIFEST, error.valid_up_to())])?;
    Manifest::parse(text).map_err(|problems| {
        problems.into_iter().map(|problem| format!("{}: {problem}", files::MANIFEST)).collect()
    })
}

/// The bytes of a listed file, if size and digest are those of the manifest.
fn checked(directory: &Path, manifest: &Manifest, name: &str, findings: &mut Vec<String>) -> Option<Vec<u8>> {
    let mut bytes_max = files::bytes_max(name)?;
    if name == files::WEIGHTS {
        // The architecture tells how large its weights are; more is refused unread.
        bytes_max = bytes_max.min(tensors::bytes_max(&manifest.architecture));
    }
    let expected = manifest.files.get(name)?;
    let bytes = noted(files::read(directory, name, bytes_max).map_err(|problem| vec![problem]), findings)?;
    let found = files::digest(&bytes);
    if found.bytes != expected.bytes {
        findings.push(format!("{name} has {} bytes, expected {} (model.toml)", found.bytes, expected.bytes));
        return None;
    }
    if found.sha256 != expected.sha256 {
        findings.push(format!(
            "{name} has sha256 {}, expected {} (model.toml): it is not the file that was published",
            found.sha256, expected.sha256
        ));
        return None;
    }
    Some(bytes)
}

fn read_tokenizer(bytes: &[u8], manifest: &Manifest) -> Result<Tokenizer, Vec<String>> {
    let name = files::TOKENIZER;
    let tokenizer = Tokenizer::from_json(bytes).map_err(|error| vec![format!("{name}: {error}")])?;
    match &manifest.architecture {
        Architecture::LstmClassifier(lstm) if tokenizer.vocabulary() > lstm.vocabulary => Err(vec![format!(
            "{name} has token ids below {}, expected below {}, the rows of the embedding (architecture.vocabulary)",
            tokenizer.vocabulary(),
            lstm.vocabulary
        )]),
        _ => Ok(tokenizer),
    }
}

fn noted<T>(result: Result<T, Vec<String>>, findings: &mut Vec<String>) -> Option<T> {
    result.map_err(|problems| findings.extend(problems)).ok()
}
