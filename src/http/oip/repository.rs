//! The models directory as a repository (the model repository extension): its index, and loading and unloading.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::errors::invalid;
use super::public::PublicModel;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::limits::REQUEST_INPUTS_MAX;
use crate::registry::{State as VersionState, Unresolved};

/// A version of a model in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct IndexEntry {
    /// The model.
    #[schema(example = "sentiment")]
    pub(in crate::http) name: String,
    /// The version.
    #[schema(example = "1")]
    pub(in crate::http) version: String,
    /// `READY`, `LOADING` or `UNAVAILABLE`.
    #[schema(example = "READY")]
    pub(in crate::http) state: &'static str,
    /// Why it is not ready; `unloaded` of a model that was unloaded by request.
    #[schema(example = "")]
    pub(in crate::http) reason: String,
}

/// Every version there is, or those that are ready.
pub(in crate::http) fn index(gateway: &Gateway, only: Only) -> Vec<IndexEntry> {
    let mut entries = Vec::new();
    for model in gateway.registry.models() {
        for version in model.versions.iter().rev() {
            let (state, reason) = match &version.state {
                _ if model.unloaded => ("UNAVAILABLE", "unloaded".to_owned()),
                VersionState::Ready(_) => ("READY", String::new()),
                VersionState::Loading => ("LOADING", String::new()),
                VersionState::Failed { reason } => ("UNAVAILABLE", reason.clone()),
                VersionState::Idle => ("UNAVAILABLE", "not wanted by the version policy".to_owned()),
            };
            let (name, version) = (model.name.to_string(), version.version.to_string());
            entries.push(IndexEntry { name, version, state, reason });
        }
    }
    entries.extend(super::public::index(gateway));
    entries.retain(|entry| only == Only::All || entry.state == "READY");
    entries
}

/// Which versions an index lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Only {
    /// All.
    All,
    /// Those that are ready.
    Ready,
}

/// What a request may do to the repository, if it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Change {
    /// Load a model, or load it again.
    Load,
    /// Take a model out of service.
    Unload,
}

/// Loads a model with parameters that its request has: a public test model may be given a `max_batch_size` by `config`.
///
/// # Errors
/// As those of [`change`]; a parameter is not understood or not supported.
pub(in crate::http) async fn load_with(
    gateway: &Gateway,
    model: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    change(gateway, model, Change::Load).await?;
    let Some((parameter, config)) = parameters.iter().next() else { return Ok(()) };
    let shown: String = model.chars().take(100).collect();
    let Some(public) = PublicModel::named(gateway, model).filter(|_| parameter == "config") else {
        let parameter: String = parameter.chars().take(40).collect();
        let detail = format!(
            "failed to load '{shown}', parameter '{parameter}' is not supported: a model's configuration and files are \
             those in its folder"
        );
        return Err(Problem::new(Code::NotSupported, detail));
    };
    let config: Option<BTreeMap<String, Value>> = serde_json::from_str(config).ok();
    let size = config.and_then(|config| match config.get("max_batch_size")? {
        Value::Number(size) => usize::try_from(size.as_u64()?).ok(),
        Value::String(size) => size.parse().ok(),
        _ => None,
    });
    match size {
        Some(size @ 1..=REQUEST_INPUTS_MAX) => {
            gateway.public.load(public, Some(size));
            Ok(())
        }
        _ => Err(invalid(format!(
            "failed to load '{shown}', expected a config of max_batch_size from 1 to {REQUEST_INPUTS_MAX}"
        ))),
    }
}

/// Changes the repository, and returns when that is done: a loaded model answers, an unloaded one does not.
///
/// # Errors
/// Changing is not allowed; there is no such model; its versions were refused.
pub(in crate::http) async fn change(gateway: &Gateway, model: &str, change: Change) -> Result<(), Problem> {
    let Some(control) = gateway.control.clone() else {
        let detail = "explicit model load / unload is not allowed: http.model_control is false";
        return Err(Problem::new(Code::NotReady, detail));
    };
    if let Some(public) = PublicModel::named(gateway, model) {
        match change {
            Change::Load => gateway.public.load(public, None),
            Change::Unload => gateway.public.unload(public),
        }
        return Ok(());
    }
    let (registry, name) = (Arc::clone(&gateway.registry), model.to_owned());
    let done = tokio::task::spawn_blocking(move || match change {
        Change::Load => registry.load_model(&name, &*control.0).map(drop),
        Change::Unload => registry.unload_model(&name),
    });
    let done = done.await.map_err(|_| Problem::new(Code::Internal, "changing the repository panicked"))?;
    let what = match change {
        Change::Load => "load",
        Change::Unload => "unload",
    };
    done.map_err(|error| match error {
        Unresolved::NotReady { reason, .. } => {
            Problem::new(Code::InvalidRequest, format!("failed to {what} '{model}', {reason}"))
        }
        Unresolved::UnknownModel { .. } | Unresolved::UnknownVersion { .. } => {
            let shown: String = model.chars().take(100).collect();
            let detail = format!(
                "failed to {what} '{shown}', failed to poll from model repository: it has no such model"
            );
            Problem::new(Code::ModelNotFound, detail)
        }
    })
}
