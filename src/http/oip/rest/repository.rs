//! The model repository: its index, loading and unloading.

use axum::Json;
use axum::extract::{Path, State};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Errors;
use crate::http::oip::errors::invalid;
use crate::http::oip::repository::{self, Change, IndexEntry, Only};
use crate::http::problem::Problem;
use crate::http::server::Gateway;

/// That a model was loaded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OipLoaded)]
pub(super) struct Loaded {
    /// The model.
    #[schema(example = "sentiment")]
    name: String,
    /// Always true.
    load: bool,
}

/// That a model was unloaded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OipUnloaded)]
pub(super) struct Unloaded {
    /// The model.
    #[schema(example = "sentiment")]
    name: String,
    /// Always true.
    unload: bool,
}

/// Which versions the index is to list.
#[derive(Debug, ToSchema)]
#[schema(as = OipIndexRequest)]
#[expect(dead_code, reason = "it documents the body, which is read member by member")]
pub(super) struct IndexBody {
    /// Only those that are ready.
    #[schema(required = false, example = true)]
    ready: bool,
}

/// The index of the repository.
#[utoipa::path(
    post,
    path = "/v2/repository/index",
    tag = "open inference protocol",
    operation_id = "oip_repository_index",
    request_body = Option<IndexBody>,
    responses((status = 200, description = "Every version, or those that are ready", body = Vec<IndexEntry>), Errors),
)]
pub(super) async fn index(
    State(gateway): State<Gateway>,
    body: Bytes,
) -> Result<Json<Vec<IndexEntry>>, Problem> {
    let only = match members(&body)?.get("ready") {
        None | Some(Value::Bool(false)) => Only::All,
        Some(Value::Bool(true)) => Only::Ready,
        Some(_) => return Err(invalid("Invalid value for 'ready': expected a boolean")),
    };
    Ok(Json(repository::index(&gateway, only)))
}

/// Load a model, or load it again.
///
/// Answered when a version of it answers, or was refused. `config` in `parameters`, a model configuration in JSON, may say
/// `max_batch_size`, the `count` of one `instance_group` and `dynamic_batching.default_queue_policy.max_queue_size`.
/// `http.model_control` allows it.
#[utoipa::path(
    post,
    path = "/v2/repository/models/{model}/load",
    tag = "open inference protocol",
    operation_id = "oip_load",
    params(("model" = String, Path, description = "The model's name", example = "sentiment")),
    request_body = Option<Object>,
    responses((status = 200, description = "It answers", body = Loaded), Errors),
)]
pub(super) async fn load(
    State(gateway): State<Gateway>,
    Path(model): Path<String>,
    body: Bytes,
) -> Result<Json<Loaded>, Problem> {
    let parameters = parameters(&body)?.into_iter().map(|(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => Err(invalid(format!("failed to load '{model}', parameter '{name}' is not a string"))),
    });
    let parameters = parameters.collect::<Result<_, Problem>>()?;
    repository::load_with(&gateway, &model, &parameters).await?;
    Ok(Json(Loaded { name: model, load: true }))
}

/// Take a model out of service.
///
/// It stays so until it is loaded by a request. `http.model_control` allows it.
#[utoipa::path(
    post,
    path = "/v2/repository/models/{model}/unload",
    tag = "open inference protocol",
    operation_id = "oip_unload",
    params(("model" = String, Path, description = "The model's name", example = "sentiment")),
    request_body = Option<Object>,
    responses((status = 200, description = "It answers no more", body = Unloaded), Errors),
)]
pub(super) async fn unload(
    State(gateway): State<Gateway>,
    Path(model): Path<String>,
    body: Bytes,
) -> Result<Json<Unloaded>, Problem> {
    // No model depends on another.
    if parameters(&body)?.get("unload_dependents").is_some_and(|dependents| !dependents.is_boolean()) {
        return Err(invalid("Unable to parse 'unload_dependents': expected true or false"));
    }
    repository::change(&gateway, &model, Change::Unload).await?;
    Ok(Json(Unloaded { name: model, unload: true }))
}

/// The members of a body that is an object or empty.
pub(super) fn members(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(body)
        .map_err(|error| invalid(format!("failed to parse the request JSON buffer: {error}")))
}

fn parameters(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    match members(body)?.remove("parameters") {
        None => Ok(Map::new()),
        Some(Value::Object(parameters)) => Ok(parameters),
        Some(_) => Err(invalid("Unable to parse 'parameters': expected an object")),
    }
}
