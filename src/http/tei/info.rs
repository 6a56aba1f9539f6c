//! `/info`: what answers, and within which bounds.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Refusals;
use crate::http::ask;
use crate::http::problem::Problem;
use crate::http::server::Gateway;
use crate::model::InputPreparation;
use crate::pipeline::Pipeline;
use crate::registry::Entry;
use crate::value::Task;

/// What answers, and within which bounds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Info {
    /// The model.
    #[schema(example = "sentiment")]
    model_id: String,
    /// The digest of its weights.
    model_sha: Option<String>,
    /// The type of its numbers.
    #[schema(example = "float32")]
    model_dtype: &'static str,
    /// The model.
    #[schema(example = "sentiment")]
    served_model_name: String,
    /// What it does.
    model_type: ModelType,
    /// Requests at once.
    max_concurrent_requests: usize,
    /// Tokens that it reads of a text.
    max_input_length: usize,
    /// Tokens that are computed together, at most.
    max_batch_tokens: usize,
    /// Texts that are computed together.
    max_batch_requests: usize,
    /// Texts in one request.
    max_client_batch_size: usize,
    /// Longer texts are cut.
    auto_truncate: bool,
    /// Texts that are tokenized at once.
    tokenization_workers: usize,
    /// This server's version.
    version: &'static str,
    /// Not known.
    sha: Option<String>,
    /// Not known.
    docker_label: Option<String>,
}

/// What it does: it classifies.
#[derive(Debug, Serialize, ToSchema)]
struct ModelType {
    classifier: Classifier,
}

/// Its labels.
#[derive(Debug, Serialize, ToSchema)]
struct Classifier {
    /// The label of each output.
    id2label: BTreeMap<String, String>,
    /// The output of each label.
    label2id: BTreeMap<String, usize>,
}

/// What answers.
///
/// The default model for texts, and the bounds of a request.
#[utoipa::path(
    get,
    path = "/info",
    tag = "hugging face",
    responses((status = 200, description = "The model and the bounds", body = Info), Refusals),
)]
pub(super) async fn info(State(gateway): State<Gateway>) -> Result<Json<Info>, Problem> {
    let entry = ask::of_task(&gateway, Task::TextClassification, None)?;
    let manifest = entry.handle.manifest();
    let labels = || manifest.labels.iter().cloned().enumerate();
    let rows = entry.handle.capacity().rows;
    let tokens_max = tokens_max(&entry);
    Ok(Json(Info {
        model_id: entry.model.to_string(),
        model_sha: manifest.files.get("weights.safetensors").map(|file| file.sha256.clone()),
        model_dtype: "float32",
        served_model_name: entry.model.to_string(),
        model_type: ModelType {
            classifier: Classifier {
                id2label: labels().map(|(id, label)| (id.to_string(), label)).collect(),
                label2id: labels().map(|(id, label)| (label, id)).collect(),
            },
        },
        max_concurrent_requests: gateway.config.connections_max,
        max_input_length: tokens_max,
        max_batch_tokens: rows.saturating_mul(tokens_max),
        max_batch_requests: rows,
        max_client_batch_size: gateway.config.request_inputs_max,
        auto_truncate: true,
        tokenization_workers: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        version: env!("CARGO_PKG_VERSION"),
        sha: None,
        docker_label: None,
    }))
}

/// Tokens that a model reads of a text.
pub(super) fn tokens_max(entry: &Entry<Pipeline>) -> usize {
    match &entry.handle.manifest().input {
        InputPreparation::Text(text) => text.tokens_max,
        InputPreparation::Picture(_) => 0,
    }
}
