//! Statistics of models (the statistics extension): what was asked, what was computed, in batches of which sizes.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use utoipa::ToSchema;

use super::model::Model;
use super::public::PublicModel;
use crate::http::problem::Problem;
use crate::http::server::Gateway;
use crate::name::Version;
use crate::pipeline::{Phase, Pipeline, Statistics};
use crate::registry::{Entry, State as VersionState};

/// The statistics of a version since it was loaded.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct ModelStatistics {
    /// The model.
    #[schema(example = "sentiment")]
    pub(in crate::http) name: String,
    /// The version.
    #[schema(example = "1")]
    pub(in crate::http) version: String,
    /// When the last request was answered, milliseconds since 1970; 0 when none was.
    pub(in crate::http) last_inference: u64,
    /// Rows that were answered.
    pub(in crate::http) inference_count: u64,
    /// Admissions of rows to an engine; rows that are admitted together are one.
    pub(in crate::http) execution_count: u64,
    /// Requests, and where their time went.
    pub(in crate::http) inference_stats: InferenceStatistics,
    /// Responses by their index; there is none, for a request has one response.
    #[schema(value_type = Object)]
    pub(in crate::http) response_stats: serde_json::Map<String, serde_json::Value>,
    /// Executions by their size.
    pub(in crate::http) batch_stats: Vec<BatchStatistics>,
    /// Memory by its kind; not told.
    #[schema(value_type = Vec<Object>)]
    pub(in crate::http) memory_usage: Vec<serde_json::Value>,
}

/// Requests, and where their time went.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(in crate::http) struct InferenceStatistics {
    /// Those of which every row was answered.
    pub(in crate::http) success: StatisticDuration,
    /// Those of which a row was not.
    pub(in crate::http) fail: StatisticDuration,
    /// Waiting for a worker; of each request its slowest row, here and below.
    pub(in crate::http) queue: StatisticDuration,
    /// Tokenizing; decoding, resizing, normalising.
    pub(in crate::http) compute_input: StatisticDuration,
    /// In an engine.
    pub(in crate::http) compute_infer: StatisticDuration,
    /// Making scores of what the network answered.
    pub(in crate::http) compute_output: StatisticDuration,
    /// There is no cache.
    pub(in crate::http) cache_hit: StatisticDuration,
    /// There is no cache.
    pub(in crate::http) cache_miss: StatisticDuration,
}

/// How often, and how long altogether.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct StatisticDuration {
    /// How often.
    pub(in crate::http) count: u64,
    /// Nanoseconds altogether.
    pub(in crate::http) ns: u64,
}

/// The executions of one size.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchStatistics {
    /// Rows that were admitted together.
    pub(in crate::http) batch_size: u64,
    /// No time: rows are prepared one by one, before they are admitted.
    pub(in crate::http) compute_input: StatisticDuration,
    /// From admission until the last of the rows left the engine.
    pub(in crate::http) compute_infer: StatisticDuration,
    /// No time: scores are made row by row, after the engine.
    pub(in crate::http) compute_output: StatisticDuration,
}

impl From<Phase> for StatisticDuration {
    fn from(Phase { count, took }: Phase) -> Self {
        Self { count, ns: nanoseconds(took) }
    }
}

fn nanoseconds(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

/// The statistics of every version that answers, or of those of one model, or of one version.
///
/// # Errors
/// There is no such model or version, or it does not answer.
pub(in crate::http) fn of(
    gateway: &Gateway,
    model: &str,
    version: &str,
) -> Result<Vec<ModelStatistics>, Problem> {
    if model.is_empty() {
        let public = PublicModel::on(gateway).iter().map(|public| of_public(gateway, *public));
        return Ok(ready(gateway, None).into_iter().chain(public).collect());
    }
    match Model::find(gateway, model, version)? {
        Model::Version(entry) if version.is_empty() => Ok(ready(gateway, Some(entry.model.as_str()))),
        Model::Version(entry) => Ok(vec![of_version(&entry)]),
        Model::Public(public) => Ok(vec![of_public(gateway, public)]),
    }
}

/// The statistics of the versions that answer, by model, the lowest version first.
fn ready(gateway: &Gateway, model: Option<&str>) -> Vec<ModelStatistics> {
    let models = gateway.registry.models().into_iter();
    let wanted = models.filter(|status| model.is_none_or(|name| name == status.name.as_str()));
    let versions = wanted.flat_map(|model| model.versions.into_iter().rev());
    let answering = versions.filter_map(|version| match version.state {
        VersionState::Ready(entry) => Some(of_version(&entry)),
        _ => None,
    });
    answering.collect()
}

fn of_version(entry: &Entry<Pipeline>) -> ModelStatistics {
    shown(entry.model.to_string(), entry.version, entry.handle.statistics())
}

fn of_public(gateway: &Gateway, model: PublicModel) -> ModelStatistics {
    shown(model.name().to_owned(), Version::FIRST, gateway.public.statistics(model))
}

fn shown(name: String, version: Version, statistics: Statistics) -> ModelStatistics {
    let Statistics { requests, executions } = statistics;
    let since_1970 = requests.last.and_then(|last| last.duration_since(UNIX_EPOCH).ok());
    let by_rows = executions.by_rows.iter();
    let batch_stats = by_rows.map(|(rows, execution)| BatchStatistics {
        batch_size: *rows as u64,
        compute_input: StatisticDuration { count: execution.count, ns: 0 },
        compute_infer: StatisticDuration { count: execution.count, ns: nanoseconds(execution.took) },
        compute_output: StatisticDuration { count: execution.count, ns: 0 },
    });
    ModelStatistics {
        name,
        version: version.to_string(),
        last_inference: since_1970.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        inference_count: executions.rows,
        execution_count: executions.count(),
        inference_stats: InferenceStatistics {
            success: requests.succeeded.into(),
            fail: requests.failed.into(),
            queue: requests.queue.into(),
            compute_input: requests.prepare.into(),
            compute_infer: requests.compute.into(),
            compute_output: requests.present.into(),
            cache_hit: StatisticDuration::default(),
            cache_miss: StatisticDuration::default(),
        },
        response_stats: serde_json::Map::new(),
        batch_stats: batch_stats.collect(),
        memory_usage: Vec::new(),
    }
}
