//! `sconce openapi`: the HTTP interface as a document.

use super::{Failure, output};
use crate::http;

/// Prints the OpenAPI document of the HTTP interface, as YAML
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Prints that of the admin listener
    #[arg(long)]
    admin: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let document = if arguments.admin { http::admin_openapi_yaml() } else { http::openapi_yaml() };
    output::print(&document.map_err(Failure::failed)?)
}
