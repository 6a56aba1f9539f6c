//! Training and test data: rows of an input with its labels, read from tables or folders of pictures.

mod pictures;
mod split;
mod table;

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::limits::{DATASET_FILE_BYTES_MAX, DATASET_ROWS_MAX, LABEL_BYTES_MAX};
use crate::value::{Objective, Task};

pub(super) use split::split;

/// A data set as read: nothing is tokenized or decoded yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dataset {
    /// The rows, in the order of the file, or by class and file name.
    pub(crate) rows: Vec<Row>,
    /// Rows passed over because they are bad.
    pub(crate) skipped: usize,
    /// SHA-256 over everything that was read, lower-case hexadecimal.
    pub(crate) sha256: String,
}

/// One input with its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The input.
    pub(crate) source: Source,
    /// Its labels: exactly one unless the objective is multi-label.
    pub(crate) labels: Vec<String>,
    /// Where it is from: `file:line`, or the picture's path.
    pub(crate) place: String,
}

/// An input as it lies on disk. Pictures stay there until they are prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A text.
    Text(String),
    /// A picture file, and the SHA-256 of its bytes.
    Picture(PathBuf, [u8; 32]),
}

/// What becomes of a bad row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRows {
    /// It stops the run.
    Stop,
    /// It is counted and passed over.
    Skip,
}

/// How a data set is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Texts or pictures.
    pub(crate) task: Task,
    /// Whether a row may have several labels.
    pub(crate) objective: Objective,
    /// What becomes of a bad row.
    pub(crate) bad_rows: BadRows,
}

/// Why data cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// A file or folder as a whole.
    #[error("{}: {problem}", path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// One row of it.
    #[error("{place}: {problem} (--skip-bad-rows passes over such rows and counts them)")]
    BadRow {
        /// `file:line`, or the picture's path.
        place: String,
        /// What is wrong, and what was expected.
        problem: String,
    },
}

impl DataError {
    pub(crate) fn unusable(path: &Path, problem: impl fmt::Display) -> Self {
        Self::Unusable { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// Reads a data set: `.tsv`, `.csv` or `.jsonl` of texts, or a folder of such; a folder a class or a `.csv` of `path,label` of pictures.
pub(crate) fn read(path: &Path, reading: Reading) -> Result<Dataset, DataError> {
    let is_folder = fs::metadata(path).map_err(|error| DataError::unusable(path, error))?.is_dir();
    let mut collector = Collector::new(reading);
    match (reading.task, is_folder) {
        (Task::TextClassification, false) => table::texts(path, &mut collector)?,
        (Task::TextClassification, true) => table::folder(path, &mut collector)?,
        (Task::ImageClassification, true) => pictures::folder(path, &mut collector)?,
        (Task::ImageClassification, false) => pictures::table(path, &mut collector)?,
    }
    collector.finish(path)
}

/// Takes rows in, good and bad, and keeps the digest of all that was read.
struct Collector {
    reading: Reading,
    dataset: Dataset,
    digest: Sha256,
}

impl Collector {
    fn new(reading: Reading) -> Self {
        Self { reading, dataset: Dataset::default(), digest: Sha256::new() }
    }

    /// Whether a cell `a|b` names two labels.
    fn splits_labels(&self) -> bool {
        self.reading.objective == Objective::MultiLabel
    }

    fn good(&mut self, source: Source, labels: Vec<String>, place: String) -> Result<(), DataError> {
        match self.problem(&source, &labels) {
            Some(problem) => self.bad(place, problem),
            None if self.dataset.rows.len() >= DATASET_ROWS_MAX => Err(DataError::BadRow {
                place,
                problem: format!("the data set has more than {DATASET_ROWS_MAX} rows"),
            }),
            None => {
                self.dataset.rows.push(Row { source, labels, place });
                Ok(())
            }
        }
    }

    fn bad(&mut self, place: String, problem: impl fmt::Display) -> Result<(), DataError> {
        match self.reading.bad_rows {
            BadRows::Stop => Err(DataError::BadRow { place, problem: problem.to_string() }),
            BadRows::Skip => {
                self.dataset.skipped += 1;
                Ok(())
            }
        }
    }

    fn problem(&self, source: &Source, labels: &[String]) -> Option<String> {
        if matches!(source, Source::Text(text) if text.trim().is_empty()) {
            return Some("the text is empty".into());
        }
        if labels.iter().any(String::is_empty) {
            return Some("the label is empty".into());
        }
        if let Some(long) = labels.iter().find(|label| label.len() > LABEL_BYTES_MAX) {
            return Some(format!("the label has {} bytes, at most {LABEL_BYTES_MAX} are taken", long.len()));
        }
        if self.splits_labels() {
            let repeated = labels.iter().enumerate().find(|(index, label)| labels[..*index].contains(label));
            return repeated.map(|(_, label)| format!("the label {label:?} is there twice"));
        }
        (labels.len() != 1).then(|| {
            format!("{} labels, expected one (several need objective = \"multi-label\")", labels.len())
        })
    }

    fn finish(mut self, path: &Path) -> Result<Dataset, DataError> {
        if self.dataset.rows.is_empty() {
            let skipped = self.dataset.skipped;
            return Err(DataError::unusable(path, format!("no usable row ({skipped} bad rows passed over)")));
        }
        self.dataset.sha256 = hexadecimal(&self.digest.finalize_reset());
        Ok(self.dataset)
    }
}

/// What a folder holds, hidden entries left out, in the order of the names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unusable = |error| DataError::unusable(folder, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unusable)? {
        let entry = entry.map_err(unusable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The whole file, no larger than a data file may be.
fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    let bytes = fs::metadata(path).map_err(|error| DataError::unusable(path, error))?.len();
    if bytes > DATASET_FILE_BYTES_MAX {
        let problem = format!("{bytes} bytes, at most {DATASET_FILE_BYTES_MAX} are read");
        return Err(DataError::unusable(path, problem));
    }
    fs::read(path).map_err(|error| DataError::unusable(path, error))
}

/// Lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
