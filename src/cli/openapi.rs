//! `sconce openapi`: the HTTP interface as a document.

use super::{Failure, output};
use crate::http;

/// Prints the OpenAPI document of the HTTP interface, as YAML
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments) -> Result<(), Failure> {
    output::print(&http::openapi_yaml().map_err(Failure::failed)?)
}
