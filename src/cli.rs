//! The command line: verbs, flags, exit codes.

mod failure;

pub use failure::{Exit, Failure};

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with these arguments, the first being its own name.
pub fn run(_arguments: impl Iterator<Item = OsString>) -> ExitCode {
    ExitCode::SUCCESS
}
