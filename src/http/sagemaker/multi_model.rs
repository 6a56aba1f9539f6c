//! The multi-model contract: the platform brings models, takes them away, and asks each by its name.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Refusals, attributes};
use crate::http::binary::Binary;
use crate::http::deadline::Deadline;
use crate::http::invocation::{Choice, Content, invoke};
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::http::shelf::{LoadRefusal, Shelf};
use crate::name::ModelName;

/// A model to load.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct LoadModel {
    /// What it is called from now on.
    #[schema(example = "8d5f2cf7b7f9")]
    model_name: String,
    /// Its directory: a version, the versions of a model, or a folder with one model.
    #[schema(example = "/opt/ml/models/8d5f2cf7b7f9/model")]
    url: String,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {
    /// In words.
    #[schema(example = "Model \"8d5f2cf7b7f9\" registered")]
    status: String,
}

/// A model that is loaded.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoadedModel {
    /// Its name.
    model_name: String,
    /// Its directory.
    model_url: String,
}

/// The models that are loaded.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoadedModels {
    /// By name.
    models: Vec<LoadedModel>,
}

/// Load a model.
///
/// Only with `SAGEMAKER_MULTI_MODEL=true`. 409: it is loaded already; 507: there is no room, and others have to be
/// taken away first.
#[utoipa::path(
    post,
    path = "/models",
    tag = "sagemaker",
    request_body = LoadModel,
    responses((status = 200, description = "It answers", body = Done), Refusals),
)]
pub(super) async fn load_model(State(gateway): State<Gateway>, body: Bytes) -> Result<Json<Done>, Problem> {
    let shelf = shelf(&gateway)?;
    let asked: LoadModel = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!("expected {{\"model_name\": \"…\", \"url\": \"…\"}}: {error}");
        Problem::new(Code::InvalidRequest, detail)
    })?;
    let name: ModelName =
        asked.model_name.parse().map_err(|bad| Problem::new(Code::InvalidRequest, format!("{bad}")))?;
    let status = format!("Model \"{name}\" registered");
    let directory = PathBuf::from(asked.url);
    let loaded = apart(move || shelf.load(&name, &directory)).await?;
    loaded.map(|()| Json(Done { status })).map_err(|refusal| match refusal {
        LoadRefusal::There => Problem::new(Code::ModelExists, "the model is loaded already"),
        LoadRefusal::NoRoom(why) => Problem::new(Code::NoRoom, why),
        LoadRefusal::Bad(why) => Problem::new(Code::ModelRefused, why),
    })
}

/// List the models that are loaded.
#[utoipa::path(
    get,
    path = "/models",
    tag = "sagemaker",
    responses((status = 200, description = "By name", body = LoadedModels), Refusals),
)]
pub(super) async fn loaded_models(State(gateway): State<Gateway>) -> Result<Json<LoadedModels>, Problem> {
    let models = shelf(&gateway)?.models().into_iter().map(loaded).collect();
    Ok(Json(LoadedModels { models }))
}

/// Show a model that is loaded.
#[utoipa::path(
    get,
    path = "/models/{name}",
    tag = "sagemaker",
    params(("name" = String, Path, description = "The model's name")),
    responses((status = 200, description = "The model", body = LoadedModel), Refusals),
)]
pub(super) async fn loaded_model(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Result<Json<LoadedModel>, Problem> {
    let found = shelf(&gateway)?.models().into_iter().find(|(known, _)| known.as_str() == name);
    found.map(|model| Json(loaded(model))).ok_or_else(|| unknown(&name))
}

/// Take a model away.
///
/// Its memory is free when this answers.
#[utoipa::path(
    delete,
    path = "/models/{name}",
    tag = "sagemaker",
    params(("name" = String, Path, description = "The model's name")),
    responses((status = 200, description = "It is gone", body = Done), Refusals),
)]
pub(super) async fn unload_model(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Result<Json<Done>, Problem> {
    let shelf = shelf(&gateway)?;
    let parsed: ModelName = name.parse().map_err(|_| unknown(&name))?;
    if apart(move || shelf.unload(&parsed)).await? {
        Ok(Json(Done { status: format!("Model \"{name}\" unregistered") }))
    } else {
        Err(unknown(&name))
    }
}

/// Invoke a model.
///
/// As `/invocations`, of this model.
#[utoipa::path(
    post,
    path = "/models/{name}/invoke",
    tag = "sagemaker",
    params(("name" = String, Path, description = "The model's name")),
    request_body(content(
        (serde_json::Value = "application/json"),
        (String = "application/jsonlines"),
        (String = "text/plain"),
        (Binary = "image/*"),
    )),
    responses((status = 200, description = "The answer, in the wording of the question", content(
        (serde_json::Value = "application/json"),
        (String = "application/jsonlines"),
    )), Refusals),
)]
#[expect(clippy::too_many_arguments, reason = "an argument an extractor")]
pub(super) async fn invoke_model(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let shelf = shelf(&gateway)?;
    if !shelf.models().iter().any(|(known, _)| known.as_str() == name) {
        return Err(unknown(&name));
    }
    let named = Choice { model: Some(name), ..Choice::default() };
    let choice = named.or(attributes::choice(&headers)?);
    let content = Content::of(&headers, body)?;
    let mut response = invoke(&gateway, choice, content, deadline.0).await?;
    if let Some(attributes) = headers.get(attributes::HEADER) {
        response.headers_mut().insert(attributes::HEADER, attributes.clone());
    }
    Ok(response)
}

/// The shelf, unless this server has none.
fn shelf(gateway: &Gateway) -> Result<Arc<dyn Shelf>, Problem> {
    gateway.shelf.clone().ok_or_else(|| {
        let detail = "models are brought and taken away only with SAGEMAKER_MULTI_MODEL=true";
        Problem::new(Code::NotFound, detail)
    })
}

/// Runs what blocks where it may.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let failed = |_| Problem::new(Code::Internal, "loading failed in the server; its log has more");
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

fn unknown(name: &str) -> Problem {
    let name: String = name.chars().take(100).collect();
    Problem::new(Code::ModelNotFound, format!("Model not found: {name}"))
}

fn loaded((name, directory): (ModelName, PathBuf)) -> LoadedModel {
    LoadedModel { model_name: name.to_string(), model_url: directory.display().to_string() }
}
