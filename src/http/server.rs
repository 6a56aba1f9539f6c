//! What the door is made of: its set-up, and what its handlers share.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::http::HeaderValue;

use super::oip::PublicModels;
use super::shelf::Shelf;
use crate::name::ModelName;
use crate::pipeline::{Changes, Pipeline};
use crate::registry::{Registry, Source};
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
    /// Time after an answer in which a thread of a quiet server looks for the next request before it sleeps.
    pub awake: Duration,
    /// Inputs in one request.
    pub request_inputs_max: usize,
    /// The model that answers for a task when a request names none; without one, the only model of the task.
    pub default_models: BTreeMap<Task, ModelName>,
    /// Which pages of other origins a browser may let ask this server.
    pub cors: Cors,
    /// Whether the public test models of the Open Inference Protocol answer.
    pub conformance_models: bool,
    /// What the platform that runs the server has said.
    pub platform: Platform,
}

/// Which pages of other origins a browser may let ask this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// None.
    #[default]
    Off,
    /// Those of every origin.
    Any,
    /// Those of these origins, each as `https://example.org`.
    Origins(Vec<HeaderValue>),
}

/// What the platform that runs the server has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// A further path at which `/health/ready` answers.
    pub health_route: Option<String>,
    /// A further path at which predictions are asked for in Vertex AI's way.
    pub predict_route: Option<String>,
    /// What the platform calls the deployment.
    pub deployed_model_id: Option<String>,
    /// Requests that batch transform sends at once; `None`: as many as their bodies allow.
    pub transforms_max: Option<usize>,
    /// Whether batch transform sends one record in a request, not several.
    pub single_record: bool,
}

/// What the handlers share. A clone is another hold of the same, so that a request costs one.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Parts>);

impl Deref for Gateway {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl From<Parts> for Gateway {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

/// What a gateway is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The set-up.
    pub config: Config,
    /// The models.
    pub registry: Arc<Registry<Pipeline>>,
    /// Where models are loaded from by request; `None`: requests may not load and unload.
    pub control: Option<Control>,
    /// Where requests bring models and take them away; `None`: they may not.
    pub shelf: Option<Arc<dyn Shelf>>,
    /// The public test models of the Open Inference Protocol.
    pub public: Arc<PublicModels>,
    /// Set when draining began: readiness is off, keep-alive ends.
    pub draining: Arc<AtomicBool>,
    /// The metrics, rendered on demand.
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
}

/// Where models are loaded from by request, run as the settings say or as the request does.
pub trait Repository: Source<Handle = Pipeline> {
    /// Has versions of this model that are loaded from now on run with these changes, and returns those before.
    fn run_with(&self, model: &ModelName, changes: Changes) -> Changes;
}

/// Where models are loaded from by request.
#[derive(Clone)]
pub struct Control(pub Arc<dyn Repository>);

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::limits::{
        AWAKE_US_DEFAULT, BODY_BYTES_DEFAULT, BODY_SECONDS_DEFAULT, CONNECTIONS_DEFAULT, DEADLINE_MS_DEFAULT,
        DEADLINE_MS_MAX, DRAIN_SECONDS_DEFAULT, HEADER_SECONDS_DEFAULT, REQUEST_INPUTS_MAX,
    };

    /// A door over no models.
    pub(in crate::http) fn gateway() -> Gateway {
        let default = crate::registry::Policy::Latest(std::num::NonZeroUsize::MIN);
        let policies = crate::registry::Policies { default, models: BTreeMap::new() };
        Gateway::from(Parts {
            config: config(),
            registry: Arc::new(Registry::new(policies)),
            control: None,
            shelf: None,
            public: Arc::default(),
            draining: Arc::new(AtomicBool::new(false)),
            metrics: crate::telemetry::metrics::install_metrics(),
        })
    }

    /// The defaults.
    pub(in crate::http) fn config() -> Config {
        Config {
            body_bytes_max: BODY_BYTES_DEFAULT,
            connections_max: CONNECTIONS_DEFAULT,
            header_timeout: Duration::from_secs(HEADER_SECONDS_DEFAULT),
            body_timeout: Duration::from_secs(BODY_SECONDS_DEFAULT),
            deadline_default: Duration::from_millis(DEADLINE_MS_DEFAULT),
            deadline_max: Duration::from_millis(DEADLINE_MS_MAX),
            drain_timeout: Duration::from_secs(DRAIN_SECONDS_DEFAULT),
            awake: Duration::from_micros(AWAKE_US_DEFAULT),
            request_inputs_max: REQUEST_INPUTS_MAX,
            default_models: BTreeMap::new(),
            cors: Cors::Off,
            conformance_models: false,
            platform: Platform::default(),
        }
    }
}
