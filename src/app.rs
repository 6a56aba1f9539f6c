//! The composition root: settings → parts → running server → drained.

mod server;
mod signals;
mod source;
mod watch;

pub use server::{ServeError, serve};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::name::ModelName;
use crate::registry::Policies;
use crate::{http, pipeline};

/// Everything a server is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The models directory.
    pub models: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The door.
    pub http: http::Config,
    /// How a model's versions are run, unless it has settings of its own.
    pub pipeline: pipeline::Config,
    /// How a model's versions are run, by model.
    pub pipelines: BTreeMap<ModelName, pipeline::Config>,
    /// Which versions of each model serve.
    pub policies: Policies,
    /// Whether the system is asked to tell of changes in the models directory.
    pub watch: bool,
    /// How often the models directory is looked at besides (network file systems tell of nothing). `None`: never.
    pub poll: Option<Duration>,
    /// Whether requests may load and unload models.
    pub model_control: bool,
}
