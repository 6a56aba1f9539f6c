//! `sconce config`: each value in effect, and where it came from.

use serde_json::{Value, json};

use super::settings::SettingsArguments;
use super::{Failure, output};
use crate::config::{Effective, Origin};

/// Prints every value in effect and where it came from
///
/// Later wins: the defaults (config/sconce.toml, compiled in), a file (`--config`, else `SCONCE_CONFIG`, else
/// `./sconce.toml` if there is one), the platform that runs the server (`PORT`, `AIP_HTTP_PORT` and the like, listed in
/// config/sconce.toml), the environment (`SCONCE_SECTION__KEY`, such as `SCONCE_HTTP__PORT`; lists are comma separated),
/// flags. Every mistake is named, and ends with exit code 64.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Prints JSON: a list of {key, value, origin}.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let effective = arguments.settings.read()?.effective;
    if arguments.json {
        let document = Value::Array(effective.iter().map(as_json).collect());
        return output::print(&format!("{document:#}"));
    }
    output::print(&table(&effective))
}

/// Lines of `key = value  # origin`: a file of the same meaning, as TOML.
fn table(effective: &[Effective]) -> String {
    let settings: Vec<String> =
        effective.iter().map(|effective| format!("{} = {}", effective.key, effective.value)).collect();
    let width = settings.iter().map(|setting| setting.chars().count()).max().unwrap_or_default();
    let lines = settings
        .iter()
        .zip(effective)
        .map(|(setting, effective)| format!("{setting:width$}  # {}\n", effective.origin));
    lines.collect()
}

fn as_json(effective: &Effective) -> Value {
    let origin = match &effective.origin {
        Origin::Default => json!({"kind": "default"}),
        Origin::File { path, line } => json!({"kind": "file", "path": path.to_string_lossy(), "line": line}),
        Origin::Environment { variable } => json!({"kind": "environment", "variable": variable}),
        Origin::Mounted { path } => json!({"kind": "platform", "path": path.to_string_lossy()}),
        Origin::Flag { flag } => json!({"kind": "flag", "flag": flag}),
    };
    let variable = effective.key.variable();
    json!({"key": effective.key.to_string(), "variable": variable, "value": effective.value, "origin": origin})
}
