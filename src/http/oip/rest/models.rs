//! What there is to say of models: metadata, readiness, configuration, statistics.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Errors, digits};
use crate::http::oip::errors::invalid;
use crate::http::oip::metadata::{self, ModelMetadata};
use crate::http::oip::statistics::{self, ModelStatistics};
use crate::http::problem::Problem;
use crate::http::server::Gateway;

/// The models that answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OipModels)]
pub(super) struct Models {
    /// Their names.
    #[schema(example = json!(["sentiment"]))]
    models: Vec<String>,
}

/// That a model is ready.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OipModelReady)]
pub(super) struct Ready {
    /// The model.
    #[schema(example = "sentiment")]
    name: String,
    /// Always true: a model that is not ready answers with another status.
    ready: bool,
}

/// The statistics of models.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OipStatistics)]
pub(super) struct Statistics {
    /// Of each version that answers.
    model_stats: Vec<ModelStatistics>,
}

/// The names of the models that answer.
#[utoipa::path(
    get,
    path = "/v2/models",
    tag = "open inference protocol",
    operation_id = "oip_models",
    responses((status = 200, description = "Names", body = Models), Errors),
)]
pub(super) async fn list(State(gateway): State<Gateway>) -> Json<Models> {
    Json(Models { models: metadata::names(&gateway) })
}

/// What a model takes and gives.
#[utoipa::path(
    get,
    path = "/v2/models/{model}",
    tag = "open inference protocol",
    operation_id = "oip_model_metadata",
    params(("model" = String, Path, description = "The model's name", example = "sentiment")),
    responses((status = 200, description = "Inputs and outputs", body = ModelMetadata), Errors),
)]
pub(super) async fn metadata(
    State(gateway): State<Gateway>,
    Path(model): Path<String>,
) -> Result<Json<ModelMetadata>, Problem> {
    metadata::model(&gateway, &model, "").map(Json)
}

/// What a version of a model takes and gives.
#[utoipa::path(
    get,
    path = "/v2/models/{model}/versions/{version}",
    tag = "open inference protocol",
    operation_id = "oip_model_version_metadata",
    params(
        ("model" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = u32, Path, description = "The version", example = 1),
    ),
    responses((status = 200, description = "Inputs and outputs", body = ModelMetadata), Errors),
)]
pub(super) async fn version_metadata(
    State(gateway): State<Gateway>,
    Path((model, version)): Path<(String, String)>,
) -> Result<Json<ModelMetadata>, Problem> {
    metadata::model(&gateway, &model, digits(&version)?).map(Json)
}

/// Does a model answer?
#[utoipa::path(
    get,
    path = "/v2/models/{model}/ready",
    tag = "open inference protocol",
    operation_id = "oip_model_ready",
    params(("model" = String, Path, description = "The model's name", example = "sentiment")),
    responses((status = 200, description = "It answers", body = Ready), Errors),
)]
pub(super) async fn ready(
    State(gateway): State<Gateway>,
    Path(model): Path<String>,
) -> Result<Json<Ready>, Problem> {
    is_ready(&gateway, model, "")
}

/// Does a version of a model answer?
#[utoipa::path(
    get,
    path = "/v2/models/{model}/versions/{version}/ready",
    tag = "open inference protocol",
    operation_id = "oip_model_version_ready",
    params(
        ("model" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = u32, Path, description = "The version", example = 1),
    ),
    responses((status = 200, description = "It answers", body = Ready), Errors),
)]
pub(super) async fn version_ready(
    State(gateway): State<Gateway>,
    Path((model, version)): Path<(String, String)>,
) -> Result<Json<Ready>, Problem> {
    is_ready(&gateway, model, digits(&version)?)
}

fn is_ready(gateway: &Gateway, name: String, version: &str) -> Result<Json<Ready>, Problem> {
    if metadata::model_ready(gateway, &name, version)? {
        Ok(Json(Ready { name, ready: true }))
    } else {
        Err(invalid("Model version not ready"))
    }
}

/// The configuration of a model, as Triton writes it.
#[utoipa::path(
    get,
    path = "/v2/models/{model}/config",
    tag = "open inference protocol",
    operation_id = "oip_model_config",
    params(("model" = String, Path, description = "The model's name", example = "sentiment")),
    responses((status = 200, description = "The configuration", body = Object), Errors),
)]
pub(super) async fn config(
    State(gateway): State<Gateway>,
    Path(model): Path<String>,
) -> Result<Json<Value>, Problem> {
    metadata::config(&gateway, &model, "").map(Json)
}

/// The configuration of a version of a model, as Triton writes it.
#[utoipa::path(
    get,
    path = "/v2/models/{model}/versions/{version}/config",
    tag = "open inference protocol",
    operation_id = "oip_model_version_config",
    params(
        ("model" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = u32, Path, description = "The version", example = 1),
    ),
    responses((status = 200, description = "The configuration", body = Object), Errors),
)]
pub(super) async fn version_config(
    State(gateway): State<Gateway>,
    Path((model, version)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    metadata::config(&gateway, &model, digits(&version)?).map(Json)
}

/// The statistics of every version that answers.
#[utoipa::path(
    get,
    path = "/v2/models/stats",
    tag = "open inference protocol",
    operation_id = "oip_all_statistics",
    responses((status = 200, description = "Counts and times", body = Statistics), Errors),
)]
pub(super) async fn all_statistics(State(gateway): State<Gateway>) -> Result<Json<Statistics>, Problem> {
    of(&gateway, "", "")
}

/// The statistics of the versions of a model that answer.
#[utoipa::path(
    get,
    path = "/v2/models/{model}/stats",
    tag = "open inference protocol",
    operation_id = "oip_model_statistics",
    params(("model" = String, Path, description = "The model's name", example = "sentiment")),
    responses((status = 200, description = "Counts and times", body = Statistics), Errors),
)]
pub(super) async fn statistics(
    State(gateway): State<Gateway>,
    Path(model): Path<String>,
) -> Result<Json<Statistics>, Problem> {
    of(&gateway, &model, "")
}

/// The statistics of a version of a model.
#[utoipa::path(
    get,
    path = "/v2/models/{model}/versions/{version}/stats",
    tag = "open inference protocol",
    operation_id = "oip_model_version_statistics",
    params(
        ("model" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = u32, Path, description = "The version", example = 1),
    ),
    responses((status = 200, description = "Counts and times", body = Statistics), Errors),
)]
pub(super) async fn version_statistics(
    State(gateway): State<Gateway>,
    Path((model, version)): Path<(String, String)>,
) -> Result<Json<Statistics>, Problem> {
    of(&gateway, &model, digits(&version)?)
}

fn of(gateway: &Gateway, model: &str, version: &str) -> Result<Json<Statistics>, Problem> {
    Ok(Json(Statistics { model_stats: statistics::of(gateway, model, version)? }))
}
