//! What the server and its models say of themselves.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::model::Model;
use super::public::{PublicModel, SERVER_NAME};
use super::signature::{Port, Signature};
use crate::batch::Priority;
use crate::http::ask::answering;
use crate::http::health;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::limits::PRIORITY_LEVELS;
use crate::registry::State as VersionState;

/// What the server is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct ServerMetadata {
    /// Its name.
    #[schema(example = "sconce")]
    pub(in crate::http) name: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    pub(in crate::http) version: &'static str,
    /// The extensions of the protocol that it has.
    pub(in crate::http) extensions: Vec<&'static str>,
}

/// What a model takes and gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct ModelMetadata {
    /// Its name.
    #[schema(example = "sentiment")]
    pub(in crate::http) name: String,
    /// The version that was asked for, or those that answer.
    pub(in crate::http) versions: Vec<String>,
    /// `<project>_<format>`.
    #[schema(example = "sconce_safetensors")]
    pub(in crate::http) platform: &'static str,
    /// What it takes.
    pub(in crate::http) inputs: Vec<TensorMetadata>,
    /// What it gives.
    pub(in crate::http) outputs: Vec<TensorMetadata>,
}

/// An input or an output of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct TensorMetadata {
    /// Its name.
    #[schema(example = "text")]
    pub(in crate::http) name: &'static str,
    /// What its elements are.
    #[schema(example = "BYTES")]
    pub(in crate::http) datatype: &'static str,
    /// Its dimensions; -1 is any size.
    pub(in crate::http) shape: Vec<i64>,
}

/// What the server is.
pub(in crate::http) fn server(gateway: &Gateway) -> ServerMetadata {
    ServerMetadata {
        name: if gateway.config.conformance_models { SERVER_NAME } else { "sconce" },
        version: env!("CARGO_PKG_VERSION"),
        extensions: vec![
            "classification",
            "model_repository",
            "schedule_policy",
            "model_configuration",
            "binary_tensor_data",
            "parameters",
            "statistics",
            "trace",
            "logging",
        ],
    }
}

/// Whether requests may be sent.
///
/// # Errors
/// The server is shutting down.
pub(in crate::http) fn server_ready(gateway: &Gateway) -> Result<bool, Problem> {
    if gateway.draining.load(std::sync::atomic::Ordering::Acquire) {
        return Err(Problem::new(Code::ShuttingDown, "the server is shutting down"));
    }
    Ok(health::reasons_not_ready(gateway).is_empty())
}

/// Whether a model, or one version of it, answers.
///
/// # Errors
/// There is no such model or version, or the server is shutting down.
pub(in crate::http) fn model_ready(gateway: &Gateway, name: &str, version: &str) -> Result<bool, Problem> {
    match Model::find(gateway, name, version) {
        Ok(_) => Ok(true),
        Err(problem) if problem.code == Code::ModelNotReady => Ok(false),
        // Clients that unload a model ask whether it is gone: it is there, and not ready.
        Err(problem) if problem.code == Code::ModelNotFound && is_known(gateway, name) => Ok(false),
        Err(problem) => Err(problem),
    }
}

/// Whether there is a model of this name, loaded or not.
fn is_known(gateway: &Gateway, name: &str) -> bool {
    gateway.registry.model(name).is_ok() || PublicModel::named(gateway, name).is_some()
}

/// What a model takes and gives.
///
/// # Errors
/// The model or the version is not there or does not answer.
pub(in crate::http) fn model(gateway: &Gateway, name: &str, version: &str) -> Result<ModelMetadata, Problem> {
    let model = Model::find(gateway, name, version)?;
    let Signature { platform, inputs, outputs, .. } = model.signature(gateway);
    let versions = if version.is_empty() { versions(gateway, &model) } else { vec![model.version()] };
    Ok(ModelMetadata {
        name: model.name().to_owned(),
        versions,
        platform,
        inputs: inputs.iter().map(tensor).collect(),
        outputs: outputs.iter().map(tensor).collect(),
    })
}

fn tensor(port: &Port) -> TensorMetadata {
    TensorMetadata { name: port.name, datatype: port.datatype.as_str(), shape: port.shape() }
}

/// The versions that answer, lowest first.
fn versions(gateway: &Gateway, model: &Model) -> Vec<String> {
    match model {
        Model::Public(_) => vec![model.version()],
        Model::Version(entry) => {
            let Ok(status) = gateway.registry.model(entry.model.as_str()) else {
                return vec![model.version()];
            };
            let ready = |state: &VersionState<_>| matches!(state, VersionState::Ready(_));
            let answering = status.versions.iter().rev().filter(|version| ready(&version.state));
            answering.map(|version| version.version.to_string()).collect()
        }
    }
}

/// The models that answer.
pub(in crate::http) fn names(gateway: &Gateway) -> Vec<String> {
    let models = gateway.registry.models();
    let answering = models.iter().filter_map(answering).map(|entry| entry.model.to_string());
    answering.chain(PublicModel::on(gateway).iter().map(|model| model.name().to_owned())).collect()
}

/// The configuration of a model, as Triton writes it.
///
/// # Errors
/// The model or the version is not there or does not answer.
pub(in crate::http) fn config(gateway: &Gateway, name: &str, version: &str) -> Result<Value, Problem> {
    let model = Model::find(gateway, name, version)?;
    let workers = match &model {
        Model::Version(entry) => entry.handle.workers(),
        Model::Public(_) => 1,
    };
    let Signature { platform, rows_max, inputs, outputs } = model.signature(gateway);
    let port = |port: &Port| {
        let mut config = json!({
            "name": port.name,
            "data_type": port.datatype.in_config(),
            "dims": port.dims,
        });
        if let (Some(fields), []) = (config.as_object_mut(), port.dims.as_slice()) {
            fields.insert("dims".to_owned(), json!([1]));
            fields.insert("reshape".to_owned(), json!({ "shape": [] }));
        }
        config
    };
    let input = |given: &Port| {
        let mut config = port(given);
        if let Some(fields) = config.as_object_mut() {
            fields.insert("format".to_owned(), json!("FORMAT_NONE"));
            fields.insert("optional".to_owned(), json!(given.optional));
        }
        config
    };
    Ok(json!({
        "name": model.name(),
        "platform": platform,
        "backend": "sconce",
        "version_policy": { "specific": { "versions": versions(gateway, &model).iter().filter_map(|version| version.parse::<i64>().ok()).collect::<Vec<_>>() } },
        "max_batch_size": rows_max,
        "input": inputs.iter().map(input).collect::<Vec<_>>(),
        "output": outputs.iter().map(port).collect::<Vec<_>>(),
        "instance_group": [{ "name": model.name(), "kind": "KIND_CPU", "count": workers }],
        "dynamic_batching": {
            "max_queue_delay_microseconds": 0,
            "priority_levels": PRIORITY_LEVELS,
            "default_priority_level": Priority::default().level(),
        },
    }))
}
