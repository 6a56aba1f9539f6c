//! The catalogue: which models and versions there are, which answer, and why others do not.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::Cost;
use crate::http::ask::answering;
use crate::http::document::Refusals;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::http::tfs::{ModelVersionStatus, statuses};
use crate::limits::TEXT_BYTES_MAX;
use crate::model::{InputPreparation, Manifest};
use crate::name::ModelName;
use crate::pipeline::Pipeline;
use crate::registry::{Entry, ModelStatus, State as VersionState, VersionStatus};

/// Every model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Models {
    /// The models, by name.
    models: Vec<ModelSummary>,
}

/// A model in short.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelSummary {
    /// Its name.
    #[schema(example = "sentiment")]
    name: String,
    /// Whether it answers: `ready` when a version does, else the state of its latest version.
    #[schema(example = "ready")]
    state: &'static str,
    /// The version that answers when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1")]
    version: Option<String>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "text-classification")]
    task: Option<&'static str>,
    /// One line about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// A model and all its versions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelPage {
    /// Its name.
    #[schema(example = "sentiment")]
    name: String,
    /// Whether a version of it answers, as `KServe`'s clients ask.
    ready: bool,
    /// Its versions, latest first.
    versions: Vec<ModelVersion>,
    /// The same versions, as TensorFlow Serving's clients read them.
    model_version_status: Vec<ModelVersionStatus>,
}

/// A version of a model.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ModelVersion {
    /// It answers.
    // Boxed: it is many times the other's size.
    #[schema(value_type = ReadyVersion)]
    Ready(Box<ReadyVersion>),
    /// It does not.
    Silent(SilentVersion),
}

/// A version that does not answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SilentVersion {
    /// Its number.
    #[schema(example = "2")]
    version: String,
    /// Where it is in its life.
    state: SilentState,
    /// Why it was refused; of a failed version.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Where a version that does not answer is in its life.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SilentState {
    /// Being read, checked and warmed.
    Loading,
    /// Refused; tried again when its directory changes.
    Failed,
    /// There, and not wanted by the policy.
    Idle,
}

/// The state of a version that answers.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReadyState {
    /// Answering.
    Ready,
}

/// A version that answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadyVersion {
    /// Its number.
    #[schema(example = "1")]
    version: String,
    /// That it answers.
    state: ReadyState,
    /// Why its present contents were refused, while it goes on answering with the ones before.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What it does.
    #[schema(example = "text-classification")]
    task: &'static str,
    /// One line about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    description: String,
    /// Licence of the model and of the data behind it.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    licence: String,
    /// How outputs become scores: `binary`, `multi-class` or `multi-label`.
    #[schema(value_type = String, example = "binary")]
    objective: crate::value::Objective,
    /// What it takes.
    inputs: InputFacts,
    /// The labels, in the order of the network's outputs.
    labels: Vec<String>,
    /// The network and its sizes.
    #[schema(value_type = Object)]
    architecture: serde_json::Value,
    /// Where it runs.
    #[schema(example = "cpu")]
    device: String,
    /// Inputs that each worker computes together at most.
    #[schema(example = 48)]
    engine_rows: usize,
    /// The measured time of a step that `engine_rows` was chosen by; not there when it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_cost: Option<StepCost>,
    /// Inputs waiting now.
    queued: usize,
    /// What decided the result of training: recipe, data, seed, figures.
    #[schema(value_type = Object)]
    training: serde_json::Value,
}

/// What a step of an engine takes: a text network's reads a token of each input, an image network's is the whole work.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StepCost {
    /// Microseconds, however many inputs it has.
    #[schema(example = 16.5)]
    fixed_us: f64,
    /// Microseconds that each input adds.
    #[schema(example = 9.2)]
    row_us: f64,
}

impl From<Cost> for StepCost {
    fn from(cost: Cost) -> Self {
        let tenths = |seconds: f64| (seconds * 1e7).round() / 10.0;
        Self { fixed_us: tenths(cost.fixed), row_us: tenths(cost.row) }
    }
}

/// What a version takes.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum InputFacts {
    /// Texts.
    Text {
        /// Bytes of one text at most.
        bytes_max: usize,
        /// Tokens that are read of one; a longer text is cut.
        tokens_max: usize,
    },
    /// Pictures of any size; this is what they are made to fit.
    Picture {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// 3 (RGB) or 1 (grey).
        channels: usize,
    },
}

/// List the models.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "models",
    responses((status = 200, description = "Every model, by name", body = Models), Refusals),
)]
pub(super) async fn list_models(State(gateway): State<Gateway>) -> Json<Models> {
    Json(Models { models: gateway.registry.models().iter().map(summary).collect() })
}

/// Show a model.
///
/// Its versions, latest first: state and why, task, inputs, labels, training facts.
#[utoipa::path(
    get,
    path = "/v1/models/{name}",
    tag = "models",
    params(("name" = String, Path, description = "The model's name", example = "sentiment")),
    responses((status = 200, description = "The model and all its versions", body = ModelPage), Refusals),
)]
pub(super) async fn show_model(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Result<Json<ModelPage>, Problem> {
    let name =
        name.parse::<ModelName>().map_err(|error| Problem::new(Code::ModelNotFound, error.to_string()))?;
    let model = gateway.registry.model(name.as_str())?;
    Ok(Json(ModelPage {
        name: model.name.to_string(),
        ready: answering(&model).is_some(),
        versions: model.versions.iter().map(version).collect(),
        model_version_status: statuses(&model),
    }))
}

fn summary(model: &ModelStatus<Pipeline>) -> ModelSummary {
    let answering = answering(model);
    let manifest = answering.map(|entry| entry.handle.manifest());
    let latest = model.versions.first().map_or("idle", |version| state_name(&version.state));
    ModelSummary {
        name: model.name.to_string(),
        state: if answering.is_some() { "ready" } else { latest },
        version: answering.map(|entry| entry.version.to_string()),
        task: manifest.map(|manifest| manifest.task.as_str()),
        description: manifest.map(|manifest| manifest.description.clone()).filter(|text| !text.is_empty()),
    }
}

fn version(version: &VersionStatus<Pipeline>) -> ModelVersion {
    let (state, reason) = match &version.state {
        VersionState::Ready(entry) => {
            return ModelVersion::Ready(Box::new(ready(entry, version.last_failure.clone())));
        }
        VersionState::Failed { reason } => (SilentState::Failed, Some(reason.clone())),
        VersionState::Loading => (SilentState::Loading, None),
        VersionState::Idle => (SilentState::Idle, None),
    };
    ModelVersion::Silent(SilentVersion { version: version.version.to_string(), state, reason })
}

fn state_name<H>(state: &VersionState<H>) -> &'static str {
    match state {
        VersionState::Loading => "loading",
        VersionState::Ready(_) => "ready",
        VersionState::Failed { .. } => "failed",
        VersionState::Idle => "idle",
    }
}

fn ready(entry: &Entry<Pipeline>, reason: Option<String>) -> ReadyVersion {
    let pipeline = &entry.handle;
    let manifest: &Manifest = pipeline.manifest();
    let inputs = match &manifest.input {
        InputPreparation::Text(text) => {
            InputFacts::Text { bytes_max: TEXT_BYTES_MAX, tokens_max: text.tokens_max }
        }
        InputPreparation::Picture(picture) => {
            InputFacts::Picture { width: picture.width, height: picture.height, channels: picture.channels }
        }
    };
    ReadyVersion {
        version: entry.version.to_string(),
        state: ReadyState::Ready,
        reason,
        task: manifest.task.as_str(),
        description: manifest.description.clone(),
        licence: manifest.licence.clone(),
        objective: manifest.objective,
        inputs,
        labels: manifest.labels.clone(),
        architecture: serde_json::to_value(&manifest.architecture).unwrap_or_default(),
        device: pipeline.device().to_owned(),
        engine_rows: pipeline.capacity().rows,
        step_cost: pipeline.capacity().cost.map(StepCost::from),
        queued: pipeline.queued(),
        training: json(&toml::Value::Table(manifest.training.clone())),
    }
}

/// TOML as JSON: a date becomes its text, a number that is not finite becomes null.
fn json(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(fields) => fields.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_facts_are_plain_json() {
        let table: toml::Table =
            toml::from_str("seed = 7\nwhen = 2026-11-23\nloss = [0.5, nan]\n[data]\npath = \"x.tsv\"")
                .unwrap();
        let expected = serde_json::json!({
            "seed": 7, "when": "2026-11-23", "loss": [0.5, null], "data": {"path": "x.tsv"},
        });
        assert_eq!(json(&toml::Value::Table(table)), expected);
    }
}
