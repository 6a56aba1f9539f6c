//! The status of a model's versions, in the words of TensorFlow Serving.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::Refusals;
use super::resolve::labelled;
use super::target::digits;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::name::{ModelName, Version};
use crate::registry::{ModelStatus, State as VersionState, VersionStatus};

/// The status of one version.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct ModelVersionStatus {
    /// Its number.
    #[schema(example = "1")]
    version: String,
    /// `LOADING`, `AVAILABLE`, or `END`: it does not answer.
    #[schema(example = "AVAILABLE")]
    state: &'static str,
    /// Why.
    status: Status,
}

/// Whether a version is well.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Status {
    /// `OK`, or `UNKNOWN` when it was refused.
    #[schema(example = "OK")]
    error_code: &'static str,
    /// Why it was refused.
    #[schema(example = "")]
    error_message: String,
}

/// The status of one version.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionStatuses {
    /// It, as the only one.
    model_version_status: Vec<ModelVersionStatus>,
}

/// The status of every version of a model.
pub(in crate::http) fn statuses<H>(model: &ModelStatus<H>) -> Vec<ModelVersionStatus> {
    model.versions.iter().map(status).collect()
}

fn status<H>(version: &VersionStatus<H>) -> ModelVersionStatus {
    let (state, error_code, error_message) = match &version.state {
        VersionState::Loading => ("LOADING", "OK", String::new()),
        VersionState::Ready(_) => ("AVAILABLE", "OK", String::new()),
        VersionState::Failed { reason } => ("END", "UNKNOWN", reason.clone()),
        VersionState::Idle => ("END", "OK", String::new()),
    };
    let status = Status { error_code, error_message };
    ModelVersionStatus { version: version.version.to_string(), state, status }
}

/// The status of a version.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/versions/{version}",
    tag = "tensorflow serving",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = u32, Path, description = "The version", example = 1),
    ),
    responses((status = 200, description = "Its status", body = VersionStatuses), Refusals),
)]
pub(super) async fn version_status(
    State(gateway): State<Gateway>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<VersionStatuses>, Problem> {
    match digits(&version)?.parse() {
        Ok(version) => of_version(&gateway, &name, version),
        Err(_) => Err(no_version(&name, &version)),
    }
}

/// The status of the version of a label.
#[utoipa::path(
    get,
    path = "/v1/models/{name}/labels/{label}",
    tag = "tensorflow serving",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("label" = String, Path, description = "`stable` or `canary`", example = "stable"),
    ),
    responses((status = 200, description = "Its status", body = VersionStatuses), Refusals),
)]
pub(super) async fn label_status(
    State(gateway): State<Gateway>,
    Path((name, label)): Path<(String, String)>,
) -> Result<Json<VersionStatuses>, Problem> {
    let version = labelled(&gateway, &name, &label)?;
    of_version(&gateway, &name, version)
}

fn of_version(gateway: &Gateway, name: &str, version: Version) -> Result<Json<VersionStatuses>, Problem> {
    let known = name.parse::<ModelName>().ok().and_then(|name| gateway.registry.model(name.as_str()).ok());
    let Some(model) = known else {
        let name: String = name.chars().take(100).collect();
        let detail = format!("Could not find any versions of model {name}");
        return Err(Problem::new(Code::ModelNotFound, detail));
    };
    let of = model.versions.iter().find(|status| status.version == version);
    let of = of.ok_or_else(|| no_version(name, &version.to_string()))?;
    Ok(Json(VersionStatuses { model_version_status: vec![status(of)] }))
}

fn no_version(name: &str, version: &str) -> Problem {
    let name: String = name.chars().take(100).collect();
    let version: String = version.chars().take(40).collect();
    Problem::new(Code::VersionNotFound, format!("Could not find version {version} of model {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_word() {
        let states: [(VersionState<()>, _, _, _); 3] = [
            (VersionState::Loading, "LOADING", "OK", ""),
            (VersionState::Failed { reason: "damaged".to_owned() }, "END", "UNKNOWN", "damaged"),
            (VersionState::Idle, "END", "OK", ""),
        ];
        for (state, word, error_code, message) in states {
            let version = VersionStatus { version: Version::FIRST, state, last_failure: None };
            let found = status(&version);
            let expected = Status { error_code, error_message: message.to_owned() };
            assert_eq!((found.state, found.status), (word, expected));
        }
    }
}
