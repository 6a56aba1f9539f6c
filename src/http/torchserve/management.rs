//! `TorchServe`'s management API, on the admin listener: which models there are, and what of their running is open to
//! change while they run.

use axum::Json;
use axum::extract::{Path, Query as Asked, State};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::workers::{ModelDescription, description};
use super::{Refusals, in_its_words, registration, serving, version};
use crate::http::problem::{Code, Problem};
use crate::http::protocol::Protocol;
use crate::http::server::Gateway;
use crate::http::typed_error::{self, TypedError};
use crate::registry::State as VersionState;

/// The management API.
pub(in crate::http) const PROTOCOL: Protocol = Protocol {
    routes,
    owns: |path| path == "/models" || path.starts_with("/models/"),
    probes: &[],
    write: |problem, _| typed_error::response(problem),
};

#[derive(OpenApi)]
#[openapi(
    components(schemas(TypedError)),
    tags((name = "torchserve", description = "TorchServe's management API")),
)]
struct Document;

fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(list_models, registration::register_model))
        .routes(routes!(describe_model, scale_model, registration::unregister_model))
        .routes(routes!(describe_version, scale_version, registration::unregister_version))
        .routes(routes!(set_default))
}

/// Which part of a list is wanted.
#[derive(Debug, Deserialize)]
struct Page {
    /// Models wanted.
    limit: Option<usize>,
    /// Where the list before ended.
    next_page_token: Option<usize>,
}

/// Models.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ModelList {
    /// Where the next list begins; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
    /// Models by name.
    models: Vec<ListedModel>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ListedModel {
    /// Its name.
    #[schema(example = "sentiment")]
    model_name: String,
    /// Its directory under the models directory.
    #[schema(example = "sentiment")]
    model_url: String,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// In words.
    #[schema(example = "Workers scaled to 2 for model: sentiment")]
    status: String,
}

impl Status {
    /// What was done, in words.
    pub(super) fn of(status: String) -> Self {
        Self { status }
    }
}

/// How many workers are wanted.
#[derive(Debug, Deserialize)]
struct Scale {
    /// Workers at least.
    min_worker: Option<usize>,
    /// Workers at most.
    max_worker: Option<usize>,
}

/// List the models.
#[utoipa::path(
    get,
    path = "/models",
    tag = "torchserve",
    params(
        ("limit" = Option<usize>, Query, description = "Models wanted; without it 100"),
        ("next_page_token" = Option<usize>, Query, description = "Where the list before ended"),
    ),
    responses((status = 200, description = "Models by name", body = ModelList), Refusals),
)]
async fn list_models(State(gateway): State<Gateway>, Asked(page): Asked<Page>) -> Json<ModelList> {
    let models = gateway.registry.models();
    let (from, limit) = (page.next_page_token.unwrap_or(0), page.limit.unwrap_or(100));
    let listed = models
        .iter()
        .skip(from)
        .take(limit)
        .map(|model| ListedModel { model_name: model.name.to_string(), model_url: model.name.to_string() });
    let next = from.saturating_add(limit);
    Json(ModelList {
        next_page_token: (next < models.len()).then(|| next.to_string()),
        models: listed.collect(),
    })
}

/// Describe a model.
///
/// The version that answers when none is named.
#[utoipa::path(
    get,
    path = "/models/{name}",
    tag = "torchserve",
    params(("name" = String, Path, description = "The model's name", example = "sentiment")),
    responses((status = 200, description = "The version that answers", body = Vec<ModelDescription>), Refusals),
)]
async fn describe_model(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Result<Json<Vec<ModelDescription>>, Problem> {
    let entry = serving(&gateway, &name, None)?;
    Ok(Json(vec![description(&entry)]))
}

/// Describe a version, or all that answer.
#[utoipa::path(
    get,
    path = "/models/{name}/{version}",
    tag = "torchserve",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = String, Path, description = "The version, or `all`", example = "all"),
    ),
    responses((status = 200, description = "The versions", body = Vec<ModelDescription>), Refusals),
)]
async fn describe_version(
    State(gateway): State<Gateway>,
    Path((name, number)): Path<(String, String)>,
) -> Result<Json<Vec<ModelDescription>>, Problem> {
    let in_words = |problem| in_its_words(problem, &name, None);
    if number == "all" {
        let model = gateway.registry.model(&name).map_err(Problem::from).map_err(in_words)?;
        let ready = model.versions.iter().filter_map(|version| match &version.state {
            VersionState::Ready(entry) => Some(description(entry)),
            _ => None,
        });
        return Ok(Json(ready.collect()));
    }
    let wanted = Some(version(&number, &name)?);
    let entry = serving(&gateway, &name, wanted)?;
    Ok(Json(vec![description(&entry)]))
}

/// Scale a model.
///
/// Workers are a setting (`inference.workers`): this answers 200 when there are as many as wanted, else 501.
#[utoipa::path(
    put,
    path = "/models/{name}",
    tag = "torchserve",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("min_worker" = Option<usize>, Query, description = "Workers at least"),
        ("max_worker" = Option<usize>, Query, description = "Workers at most"),
    ),
    responses((status = 200, description = "There are as many", body = Status), Refusals),
)]
async fn scale_model(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    Asked(scale): Asked<Scale>,
) -> Result<Json<Status>, Problem> {
    let entry = serving(&gateway, &name, None)?;
    scaled(&name, entry.handle.workers(), &scale)
}

/// Scale a version.
///
/// As scaling a model.
#[utoipa::path(
    put,
    path = "/models/{name}/{version}",
    tag = "torchserve",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = String, Path, description = "The version", example = "1.0"),
        ("min_worker" = Option<usize>, Query, description = "Workers at least"),
        ("max_worker" = Option<usize>, Query, description = "Workers at most"),
    ),
    responses((status = 200, description = "There are as many", body = Status), Refusals),
)]
async fn scale_version(
    State(gateway): State<Gateway>,
    Path((name, number)): Path<(String, String)>,
    Asked(scale): Asked<Scale>,
) -> Result<Json<Status>, Problem> {
    let wanted = Some(version(&number, &name)?);
    let entry = serving(&gateway, &name, wanted)?;
    scaled(&name, entry.handle.workers(), &scale)
}

fn scaled(name: &str, workers: usize, scale: &Scale) -> Result<Json<Status>, Problem> {
    let least = scale.min_worker.unwrap_or(1);
    let most = scale.max_worker.unwrap_or(least.max(workers));
    if (least..=most).contains(&workers) {
        return Ok(Json(Status { status: format!("Workers scaled to {workers} for model: {name}") }));
    }
    let detail = format!(
        "model {name} has {workers} workers, which is a setting: set model.{name}.workers and start the server anew"
    );
    Err(Problem::new(Code::NotSupported, detail))
}

/// Make a version the default one.
///
/// The default version is the latest that is ready: this answers 200 for that one, else 501.
#[utoipa::path(
    put,
    path = "/models/{name}/{version}/set-default",
    tag = "torchserve",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = String, Path, description = "The version", example = "1.0"),
    ),
    responses((status = 200, description = "It is the default one", body = Status), Refusals),
)]
async fn set_default(
    State(gateway): State<Gateway>,
    Path((name, number)): Path<(String, String)>,
) -> Result<Json<Status>, Problem> {
    let wanted = version(&number, &name)?;
    let named = |version| serving(&gateway, &name, version);
    named(Some(wanted))?;
    let default = named(None)?.version;
    if default == wanted {
        let status = format!("Default version successfully updated for model \"{name}\" to \"{number}\"");
        return Ok(Json(Status { status }));
    }
    let detail = format!(
        "the default version of {name} is {default}, the latest that is ready: set model.{name}.versions = \
         [{wanted}] to serve another"
    );
    Err(Problem::new(Code::NotSupported, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_as_many_as_were_set() {
        let scaled = |least, most| {
            let scale = Scale { min_worker: least, max_worker: most };
            scaled("m", 2, &scale).map(|status| status.0.status)
        };
        let well = Ok("Workers scaled to 2 for model: m".to_owned());
        assert_eq!(scaled(None, None), well);
        assert_eq!(scaled(Some(2), None), well);
        assert_eq!(scaled(Some(1), Some(4)), well);
        assert_eq!(scaled(Some(3), None).unwrap_err().code, Code::NotSupported);
        assert_eq!(scaled(Some(0), Some(1)).unwrap_err().code, Code::NotSupported);
    }
}
