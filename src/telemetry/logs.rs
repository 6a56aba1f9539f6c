//! Structured logs on standard error.

use serde::{Deserialize, Serialize};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For machines: an object a line.
    Json,
}

/// Installs the process's log subscriber; `filter` as in `RUST_LOG` (`info`, `sconce=debug`).
///
/// # Errors
/// The filter cannot be read.
pub fn install_logs(_format: LogFormat, _filter: &str) -> Result<(), String> {
    todo!()
}
