//! `sconce version`: what this binary is.

use serde_json::json;

use super::{Failure, output};

/// Prints the version of this binary and what it was built with.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let cuda = cfg!(feature = "cuda");
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    if arguments.json {
        let features: &[&str] = if cuda { &["cuda"] } else { &[] };
        let document = json!({
            "name": "sconce",
            "version": version,
            "target": target,
            "features": features,
            "model_format": MODEL_FORMAT,
        });
        return output::print(&document.to_string());
    }
    let devices = if cuda { "cpu, cuda" } else { "cpu" };
    output::print(&format!("sconce {version} ({target}; devices: {devices}; model format: {MODEL_FORMAT})"))
}

/// The format of model directories that this binary reads and writes.
const MODEL_FORMAT: u32 = 1;
