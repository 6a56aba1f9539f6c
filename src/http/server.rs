//! The server: a router over the registry, and the loop that accepts connections and drains them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::name::ModelName;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::value::Task;

/// How the door is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Largest request body, bytes.
    pub body_bytes_max: usize,
    /// Connections open at once.
    pub connections_max: usize,
    /// Time to send the header.
    pub header_timeout: Duration,
    /// Time to send the body.
    pub body_timeout: Duration,
    /// Time a request may take unless `x-request-timeout-ms` says otherwise.
    pub deadline_default: Duration,
    /// Time a request may ask for.
    pub deadline_max: Duration,
    /// Time that in-flight requests have once draining began.
    pub drain_timeout: Duration,
    /// Inputs in one request.
    pub request_inputs_max: usize,
    /// The model that answers for a task when a request names none; without one, the only model of the task.
    pub default_models: BTreeMap<Task, ModelName>,
}

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The set-up.
    pub config: Arc<Config>,
    /// The models.
    pub registry: Arc<Registry<Pipeline>>,
    /// Set when draining began: readiness is off, keep-alive ends.
    pub draining: Arc<AtomicBool>,
    /// The metrics, rendered on demand.
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
}

/// The whole service, with every layer.
pub fn router(_gateway: Gateway) -> axum::Router {
    todo!()
}

/// Accepts connections until `stop` resolves, then drains: readiness off, in-flight requests finish (within
/// `drain_timeout`), connections close.
///
/// # Errors
/// Requests were cut off because draining took too long.
pub async fn serve(
    _listener: tokio::net::TcpListener,
    _gateway: Gateway,
    _stop: impl Future<Output = ()> + Send,
) -> Result<(), String> {
    todo!()
}
