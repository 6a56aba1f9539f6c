//! The composition root: settings → parts → running server → drained.

mod server;
mod shelf;
mod signals;
mod source;
mod watch;

pub use server::{Addresses, ServeError, serve};

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
    /// What the model is called when that directory is one model's itself; `None`: it never is.
    pub name: Option<ModelName>,
    /// Whether requests bring models and take them away, instead of the directory.
    pub multi_model: bool,
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Where the admin listener is; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// A second port at the same address, for gRPC; 0 takes a free one.
    pub grpc_port: Option<u16>,
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
