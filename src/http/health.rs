//! Health and metrics: answered without touching the inference queue.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::document::Refusals;
use super::problem::{Code, Place, Problem};
use super::server::Gateway;
use crate::limits::STEP_SECONDS_MAX;
use crate::pipeline::Pipeline;
use crate::registry::{ModelStatus, State as VersionState};

/// That the server is well.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `live` or `ready`.
    #[schema(example = "ready")]
    status: &'static str,
}

/// Is the process alive?
///
/// Always yes, while it answers at all: a busy or draining server is alive.
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "operations",
    responses((status = 200, description = "The process is alive", body = Health), Refusals),
)]
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// May requests be sent here?
///
/// Not while models are loading, while the server drains, or when a worker hangs; the problem says which.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operations",
    responses((status = 200, description = "Requests may be sent", body = Health), Refusals),
)]
pub(super) async fn ready(State(gateway): State<Gateway>) -> Result<Json<Health>, Problem> {
    check(&gateway).map(|()| Json(Health { status: "ready" }))
}

/// Whether requests may be sent here.
///
/// # Errors
/// Every reason why not.
pub(super) fn check(gateway: &Gateway) -> Result<(), Problem> {
    let reasons = reasons_not_ready(gateway);
    if reasons.is_empty() { Ok(()) } else { Err(not_ready(reasons)) }
}

/// Why requests may not be sent here; nothing when they may.
pub(super) fn reasons_not_ready(gateway: &Gateway) -> Vec<String> {
    if gateway.draining.load(Ordering::Acquire) {
        return vec!["the server is shutting down".to_owned()];
    }
    let models = gateway.registry.models();
    let mut reasons: Vec<String> = models.iter().filter_map(hanging).collect();
    // Models that requests bring may all be away.
    let may_be_none = gateway.shelf.is_some() && gateway.registry.is_ready();
    if models.is_empty() && !may_be_none {
        let none = if gateway.registry.is_ready() {
            "there is no model"
        } else {
            "models are still being looked for"
        };
        reasons.push(gateway.registry.scan_failure().unwrap_or_else(|| none.to_owned()));
    } else if !gateway.registry.is_ready() {
        reasons.extend(models.iter().filter_map(silent));
        if reasons.is_empty() {
            reasons.push("the models are being looked through".to_owned());
        }
    }
    reasons
}

fn not_ready(reasons: Vec<String>) -> Problem {
    let mut problem = Problem::new(Code::NotReady, reasons.join("; "));
    problem.retry_after = Some(Duration::from_secs(1));
    problem.errors = reasons.into_iter().map(|detail| Place { pointer: None, detail }).collect();
    problem
}

/// Why a model does not answer, if it does not.
fn silent<H>(model: &ModelStatus<H>) -> Option<String> {
    let answers = |state: &VersionState<H>| matches!(state, VersionState::Ready(_));
    if model.versions.iter().any(|version| answers(&version.state)) {
        return None;
    }
    let name = &model.name;
    let Some(latest) = model.versions.first() else { return Some(format!("model {name} has no version")) };
    let version = latest.version;
    Some(match &latest.state {
        VersionState::Failed { reason } => format!("model {name} version {version} was refused: {reason}"),
        VersionState::Loading => format!("model {name} version {version} is loading"),
        VersionState::Idle | VersionState::Ready(_) => format!("model {name} has no version that answers"),
    })
}

/// That a worker of a model hangs, if one does.
fn hanging(model: &ModelStatus<Pipeline>) -> Option<String> {
    let ready = model.versions.iter().filter_map(|version| match &version.state {
        VersionState::Ready(entry) => Some(entry),
        _ => None,
    });
    let hanging = |step: Duration| step > Duration::from_secs(STEP_SECONDS_MAX);
    let entry = ready.into_iter().find(|entry| hanging(entry.handle.longest_step()))?;
    let seconds = entry.handle.longest_step().as_secs();
    Some(format!(
        "a worker of model {} version {} has been in one step for {seconds} s",
        model.name, entry.version
    ))
}

/// Metrics for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "The text exposition format", body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(State(gateway): State<Gateway>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], gateway.metrics.render())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::VersionStatus;

    fn model(states: Vec<VersionState<()>>) -> ModelStatus<()> {
        let versions = states.into_iter().map(|state| VersionStatus {
            version: crate::name::Version::FIRST,
            state,
            last_failure: None,
        });
        ModelStatus { name: "m".parse().unwrap(), versions: versions.collect(), unloaded: false }
    }

    #[test]
    fn a_model_that_does_not_answer_says_why() {
        let failed = || VersionState::Failed { reason: "weights.safetensors is missing".to_owned() };
        let refused = "model m version 1 was refused: weights.safetensors is missing";
        assert_eq!(silent(&model(vec![failed()])).as_deref(), Some(refused));
        assert_eq!(
            silent(&model(vec![VersionState::Loading])).as_deref(),
            Some("model m version 1 is loading")
        );
        assert_eq!(
            silent(&model(vec![VersionState::Idle])).as_deref(),
            Some("model m has no version that answers")
        );
    }

    #[test]
    fn the_problem_lists_every_reason() {
        let problem = not_ready(vec!["a is loading".to_owned(), "b is loading".to_owned()]);
        assert_eq!((problem.code, problem.detail.as_str()), (Code::NotReady, "a is loading; b is loading"));
        assert_eq!(problem.errors.len(), 2);
    }
}
