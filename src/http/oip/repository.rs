//! The models directory as a repository (the model repository extension): its index, and loading and unloading.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::errors::invalid;
use super::public::PublicModel;
use super::{metadata, overrides};
use crate::http::problem::{Code, Problem};
use crate::http::server::{Control, Gateway, Repository};
use crate::limits::REQUEST_INPUTS_MAX;
use crate::pipeline::{Changes, Pipeline};
use crate::registry::{Registry, State as VersionState, Unresolved};

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
    /// Load a model, or load it again, run as the settings say.
    Load,
    /// The same, run with these changes.
    LoadAs(Changes),
    /// Take a model out of service.
    Unload,
}

/// Loads a model with parameters that its request has: `config` says how it is run from this load to the next. A public
/// test model may be given a `max_batch_size` by it.
///
/// # Errors
/// As those of [`change`]; a parameter is not understood or not supported.
pub(in crate::http) async fn load_with(
    gateway: &Gateway,
    model: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    control(gateway)?;
    let shown: String = model.chars().take(100).collect();
    if let Some(other) = parameters.keys().find(|name| *name != "config") {
        let name: String = other.chars().take(40).collect();
        let (code, why) = if other.starts_with("file:") {
            (Code::NotSupported, "is not supported: a model's files are those in its folder")
        } else {
            (Code::InvalidRequest, "is not known: expected 'config'")
        };
        return Err(Problem::new(code, format!("failed to load '{shown}', parameter '{name}' {why}")));
    }
    let Some(config) = parameters.get("config") else { return change(gateway, model, Change::Load).await };
    if let Some(public) = PublicModel::named(gateway, model) {
        gateway.public.load(public, Some(rows_of_public(&shown, config)?));
        return Ok(());
    }
    let present = metadata::config(gateway, model, "").unwrap_or_default();
    change(gateway, model, Change::LoadAs(overrides::read(&shown, config, &present)?)).await
}

/// Where models are loaded from, if requests may load and unload.
fn control(gateway: &Gateway) -> Result<Control, Problem> {
    gateway.control.clone().ok_or_else(|| {
        let detail = "explicit model load / unload is not allowed: http.model_control is false";
        Problem::new(Code::NotReady, detail)
    })
}

/// The rows that a public test model is to take.
fn rows_of_public(model: &str, config: &str) -> Result<usize, Problem> {
    let config: Option<BTreeMap<String, Value>> = serde_json::from_str(config).ok();
    let size = config.and_then(|config| match config.get("max_batch_size")? {
        Value::Number(size) => usize::try_from(size.as_u64()?).ok(),
        Value::String(size) => size.parse().ok(),
        _ => None,
    });
    size.filter(|size| (1..=REQUEST_INPUTS_MAX).contains(size)).ok_or_else(|| {
        invalid(format!(
            "failed to load '{model}', expected a config of max_batch_size from 1 to {REQUEST_INPUTS_MAX}"
        ))
    })
}

/// Changes the repository, and returns when that is done: a loaded model answers, an unloaded one does not.
///
/// # Errors
/// Changing is not allowed; there is no such model; its versions were refused.
pub(in crate::http) async fn change(gateway: &Gateway, model: &str, change: Change) -> Result<(), Problem> {
    let control = control(gateway)?;
    if let Some(public) = PublicModel::named(gateway, model) {
        match change {
            Change::Load | Change::LoadAs(_) => gateway.public.load(public, None),
            Change::Unload => gateway.public.unload(public),
        }
        return Ok(());
    }
    let (registry, name) = (Arc::clone(&gateway.registry), model.to_owned());
    let done = tokio::task::spawn_blocking(move || match change {
        Change::Load => load(&registry, &name, (&*control.0, Changes::default())),
        Change::LoadAs(changes) => load(&registry, &name, (&*control.0, changes)),
        Change::Unload => registry.unload_model(&name),
    });
    let done = done.await.map_err(|_| Problem::new(Code::Internal, "changing the repository panicked"))?;
    let what = match change {
        Change::Load | Change::LoadAs(_) => "load",
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

/// Loads a model with these changes: anew when it is run with others.
fn load(
    registry: &Registry<Pipeline>,
    model: &str,
    (repository, changes): (&dyn Repository, Changes),
) -> Result<(), Unresolved> {
    let Ok(name) = model.parse() else { return registry.load_model(model, repository).map(drop) };
    let before = repository.run_with(&name, changes);
    if before == changes {
        return registry.load_model(model, repository).map(drop);
    }
    let loaded = registry.reload_model(model, repository);
    if loaded.is_err() {
        repository.run_with(&name, before);
    }
    loaded.map(drop)
}
