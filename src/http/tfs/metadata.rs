//! What a model takes and gives, as a TensorFlow signature.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Refusals;
use super::request::SIGNATURE;
use super::resolve::resolve;
use super::target::{Selector, digits};
use crate::http::problem::Problem;
use crate::http::server::Gateway;
use crate::model::InputPreparation;

/// What a model takes and gives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Metadata {
    /// Which version of which model.
    model_spec: ModelSpec,
    /// Its signatures: `serving_default`, with one input and the output `scores`.
    #[schema(value_type = Object)]
    metadata: Value,
}

/// Which version of which model.
#[derive(Debug, Serialize, ToSchema)]
struct ModelSpec {
    /// The model.
    #[schema(example = "sentiment")]
    name: String,
    /// Empty, as TensorFlow Serving has it.
    #[schema(example = "")]
    signature_name: &'static str,
    /// The version.
    #[schema(example = "1")]
    version: String,
}

/// What a model takes and gives.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/metadata",
    tag = "tensorflow serving",
    params(("name" = String, Path, description = "The model's name", example = "sentiment")),
    responses((status = 200, description = "Its signatures", body = Metadata), Refusals),
)]
pub(super) async fn metadata(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Result<Json<Metadata>, Problem> {
    of(&gateway, &name, &Selector::Latest)
}

/// What a version takes and gives.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/versions/{version}/metadata",
    tag = "tensorflow serving",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = u32, Path, description = "The version", example = 1),
    ),
    responses((status = 200, description = "Its signatures", body = Metadata), Refusals),
)]
pub(super) async fn version_metadata(
    State(gateway): State<Gateway>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Metadata>, Problem> {
    of(&gateway, &name, &Selector::Version(digits(&version)?.to_owned()))
}

/// What the version of a label takes and gives.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/labels/{label}/metadata",
    tag = "tensorflow serving",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("label" = String, Path, description = "`stable` or `canary`", example = "stable"),
    ),
    responses((status = 200, description = "Its signatures", body = Metadata), Refusals),
)]
pub(super) async fn label_metadata(
    State(gateway): State<Gateway>,
    Path((name, label)): Path<(String, String)>,
) -> Result<Json<Metadata>, Problem> {
    of(&gateway, &name, &Selector::Label(label))
}

fn of(gateway: &Gateway, name: &str, wanted: &Selector) -> Result<Json<Metadata>, Problem> {
    let entry = resolve(gateway, name, wanted)?;
    let manifest = entry.handle.manifest();
    let input = match manifest.input {
        InputPreparation::Text(_) => "text",
        InputPreparation::Picture(_) => "image_bytes",
    };
    let signature = json!({
        "inputs": {input: tensor(input, "DT_STRING", &[-1])},
        "outputs": {"scores": tensor("scores", "DT_FLOAT", &[-1, i64::try_from(manifest.labels.len()).unwrap_or(-1)])},
        "method_name": "tensorflow/serving/predict",
    });
    Ok(Json(Metadata {
        model_spec: ModelSpec {
            name: entry.model.to_string(),
            signature_name: "",
            version: entry.version.to_string(),
        },
        metadata: json!({"signature_def": {"signature_def": {SIGNATURE: signature}}}),
    }))
}

fn tensor(name: &str, dtype: &str, shape: &[i64]) -> Value {
    let dimensions: Vec<Value> =
        shape.iter().map(|size| json!({"size": size.to_string(), "name": ""})).collect();
    json!({"dtype": dtype, "tensor_shape": {"dim": dimensions, "unknown_rank": false}, "name": name})
}
