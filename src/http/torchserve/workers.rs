//! A version as `TorchServe` describes its models: with workers, batches and a queue.

use serde::Serialize;
use utoipa::ToSchema;

use crate::pipeline::Pipeline;
use crate::registry::Entry;

/// A version of a model.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelDescription {
    /// The model.
    #[schema(example = "sentiment")]
    model_name: String,
    /// The version.
    #[schema(example = "1")]
    model_version: String,
    /// Its directory under the models directory.
    #[schema(example = "sentiment/1")]
    model_url: String,
    /// What computes.
    engine: &'static str,
    /// What runs it.
    runtime: &'static str,
    /// Workers.
    min_workers: usize,
    /// Workers.
    max_workers: usize,
    /// Inputs that a worker computes together.
    batch_size: usize,
    /// Nothing waits for company here.
    max_batch_delay: u64,
    /// Its workers.
    workers: Vec<Worker>,
    /// What waits.
    job_queue_status: JobQueueStatus,
}

/// A worker.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Worker {
    /// Its number.
    #[schema(example = "0")]
    id: String,
    /// `READY`.
    status: &'static str,
    /// Whether it computes on a GPU.
    gpu: bool,
}

/// What waits.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct JobQueueStatus {
    /// Inputs that may still wait.
    remaining_capacity: usize,
    /// Inputs that wait.
    pending_requests: usize,
}

/// What `TorchServe` says of a version.
pub(super) fn description(entry: &Entry<Pipeline>) -> ModelDescription {
    let pipeline = &entry.handle;
    let workers = pipeline.workers();
    let pending_requests = pipeline.queued();
    let gpu = pipeline.device() != "cpu";
    ModelDescription {
        model_name: entry.model.to_string(),
        model_version: entry.version.to_string(),
        model_url: format!("{}/{}", entry.model, entry.version),
        engine: "sconce",
        runtime: "rust",
        min_workers: workers,
        max_workers: workers,
        batch_size: pipeline.capacity().rows,
        max_batch_delay: 0,
        workers: (0..workers).map(|id| Worker { id: id.to_string(), status: "READY", gpu }).collect(),
        job_queue_status: JobQueueStatus {
            remaining_capacity: pipeline.queue_rows_max().saturating_sub(pending_requests),
            pending_requests,
        },
    }
}
