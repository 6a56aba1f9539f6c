//! What can be wrong with what was said, and where it was said.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The compiled-in `config/sconce.toml`.
    Default,
    /// A file.
    File {
        /// Its path, as it was given.
        path: PathBuf,
        /// The line of the key, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A folder that is there because a platform has mounted it.
    Mounted {
        /// Its path.
        path: PathBuf,
    },
    /// A flag.
    Flag {
        /// Its name.
        flag: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Default => "default".to_owned(),
            Self::File { path, line } => format!("{}:{line}", path.display()),
            Self::Environment { variable } => format!("environment {variable}"),
            Self::Mounted { path } => format!("platform {}", path.display()),
            Self::Flag { flag } => format!("flag {flag}"),
        };
        f.pad(&text)
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file cannot be read.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file is not TOML.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// There is no such key.
    #[error("{name} = {value} ({origin}): there is no such {kind}{}", meant(nearest.as_deref()))]
    Unknown {
        /// `key`, or `variable` with the key's name in the environment.
        kind: &'static str,
        /// The name as it was said.
        name: String,
        /// The value.
        value: String,
        /// Where it was said.
        origin: Origin,
        /// The known name that may be meant.
        nearest: Option<String>,
    },
    /// A table is named after something that cannot be.
    #[error("[{table}] ({origin}): {reason}")]
    Misnamed {
        /// The table.
        table: String,
        /// Where it was first spoken of.
        origin: Origin,
        /// What a name must be.
        reason: String,
    },
    /// The value is not what the key takes.
    #[error("{key} = {value} ({origin}): expected {expected}")]
    Wrong {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Where it was said.
        origin: Origin,
        /// What the key takes.
        expected: String,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

impl Problem {
    pub(super) fn unreadable(path: &Path, reason: impl fmt::Display) -> Self {
        Self::Unreadable { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Every mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "the configuration is wrong: {only}"),
            several => {
                write!(f, "the configuration is wrong in {} places:", several.len())?;
                several.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}
