//! The HTTP door without a socket: a router over a models directory, asked in-process.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use sconce::http::{Config, Gateway, Parts, Repository, router};
use sconce::limits;
use sconce::name::{ModelName, Version};
use sconce::pipeline::{Changes, Pipeline};
use sconce::registry::{Policies, Policy, Registry, Source};
use tower::ServiceExt as _;

use super::client::Answer;

/// The defaults.
pub fn config() -> Config {
    Config {
        body_bytes_max: limits::BODY_BYTES_DEFAULT,
        connections_max: 64,
        header_timeout: Duration::from_secs(limits::HEADER_SECONDS_DEFAULT),
        body_timeout: Duration::from_secs(limits::BODY_SECONDS_DEFAULT),
        deadline_default: Duration::from_millis(limits::DEADLINE_MS_MAX),
        deadline_max: Duration::from_millis(limits::DEADLINE_MS_MAX),
        drain_timeout: Duration::from_secs(limits::DRAIN_SECONDS_DEFAULT),
        awake: Duration::from_micros(limits::AWAKE_US_DEFAULT),
        request_inputs_max: limits::REQUEST_INPUTS_MAX,
        default_models: BTreeMap::new(),
        cors: sconce::http::Cors::Off,
        conformance_models: false,
        platform: sconce::http::Platform::default(),
    }
}

/// A door over no models.
pub fn gateway(config: Config) -> Gateway {
    Gateway::from(parts(config))
}

/// What such a door is made of.
pub fn parts(config: Config) -> Parts {
    let policies = Policies { default: Policy::Latest(NonZeroUsize::MIN), models: BTreeMap::new() };
    Parts {
        config,
        registry: Arc::new(Registry::new(policies)),
        control: None,
        shelf: None,
        public: Arc::default(),
        draining: Arc::new(AtomicBool::new(false)),
        metrics: sconce::telemetry::metrics::install_metrics(),
    }
}

/// A models directory as the registry's source.
pub struct Directory {
    path: PathBuf,
    pipeline: sconce::pipeline::Config,
    changes: Mutex<BTreeMap<ModelName, Changes>>,
}

impl Directory {
    pub fn new(path: &Path, pipeline: sconce::pipeline::Config) -> Self {
        Self { path: path.to_owned(), pipeline, changes: Mutex::default() }
    }
}

impl Source for Directory {
    type Handle = Pipeline;

    fn scan(&self) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
        sconce::model::versions(&self.path)
    }

    fn load(&self, model: &ModelName, version: Version) -> Result<Pipeline, String> {
        let directory = self.path.join(model.as_str()).join(version.to_string());
        let loaded = sconce::model::load(&directory).map_err(|error| error.to_string())?;
        let changes = self.changes.lock().unwrap().get(model).copied().unwrap_or_default();
        Pipeline::start(model.as_str(), loaded, &changes.over(&self.pipeline))
            .map_err(|error| error.to_string())
    }
}

impl Repository for Directory {
    fn run_with(&self, model: &ModelName, changes: Changes) -> Changes {
        self.changes.lock().unwrap().insert(model.clone(), changes).unwrap_or_default()
    }
}

/// A request to be asked of the door.
pub struct Ask {
    request: axum::http::request::Builder,
    body: Body,
}

impl Ask {
    pub fn new(method: &Method, path: &str) -> Self {
        Self { request: Request::builder().method(method).uri(path), body: Body::empty() }
    }

    pub fn get(path: &str) -> Self {
        Self::new(&Method::GET, path)
    }

    pub fn post(path: &str) -> Self {
        Self::new(&Method::POST, path)
    }

    pub fn json(path: &str, body: &serde_json::Value) -> Self {
        Self::post(path).header("content-type", "application/json").body(body.to_string())
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::from(body.into());
        self
    }

    pub async fn of(self, router: &Router) -> Answer {
        let response = router.clone().oneshot(self.request.body(self.body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// Checks that the answer is a problem document of this status and code, and returns its detail.
pub fn problem(answer: &Answer, status: u16, code: &str) -> String {
    let document = answer.json();
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{document}");
    assert_eq!((answer.status.as_u16(), document["code"].as_str()), (status, Some(code)), "{document}");
    assert_eq!(document["status"], status, "{document}");
    assert_eq!(document["type"], format!("urn:sconce:problem:{code}"), "{document}");
    assert_eq!(document["request_id"].as_str(), answer.headers["x-request-id"].to_str().ok(), "{document}");
    assert!(!document["title"].as_str().unwrap().is_empty(), "{document}");
    document["detail"].as_str().unwrap().to_owned()
}

/// The same door with every layer.
pub fn door(config: Config) -> Router {
    router(&gateway(config))
}

/// The scores of a text by the native API, by label, each as it is written.
pub async fn native_scores(door: &Router, model: &str, text: &str) -> BTreeMap<String, String> {
    let asked = serde_json::json!({"model": model, "input": text});
    let answer = Ask::json("/v1/text/classify", &asked).of(door).await.json();
    scores(&answer["results"][0]["predictions"])
}

/// The scores of a list of `{"label", "score"}`, by label, each as it is written.
pub fn scores(predictions: &serde_json::Value) -> BTreeMap<String, String> {
    let list = predictions.as_array().unwrap_or_else(|| panic!("{predictions} is no list"));
    let score = |prediction: &serde_json::Value| {
        (prediction["label"].as_str().unwrap().to_owned(), prediction["score"].to_string())
    };
    list.iter().map(score).collect()
}

/// A door over a models directory of its own, all of it loaded.
pub struct Served {
    pub door: Router,
    /// The door of the admin listener.
    pub admin: Router,
    pub gateway: Gateway,
    _folder: tempfile::TempDir,
}

impl Served {
    /// With the models that `publish` puts into the folder.
    pub fn with(config: Config, publish: impl FnOnce(&Path)) -> Self {
        Self::with_queue(config, limits::QUEUE_ROWS_DEFAULT, publish)
    }

    /// The same with a queue of so many rows, before one worker with an engine of one row when it is short.
    pub fn with_queue(config: Config, queue_rows_max: usize, publish: impl FnOnce(&Path)) -> Self {
        let pipeline = sconce::pipeline::Config {
            device: sconce::engine::DeviceChoice::Cpu,
            engine_rows: Some(queue_rows_max.min(8)),
            queue_rows_max,
            ..sconce::pipeline::Config::default()
        };
        Self::with_pipeline(config, pipeline, publish)
    }

    /// The same with versions that are run so.
    pub fn with_pipeline(
        config: Config,
        pipeline: sconce::pipeline::Config,
        publish: impl FnOnce(&Path),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        publish(folder.path());
        let gateway = gateway(config);
        gateway.registry.reconcile(&Directory::new(folder.path(), pipeline));
        for model in gateway.registry.models() {
            for version in &model.versions {
                let ready = matches!(version.state, sconce::registry::State::Ready(_));
                assert!(ready, "{} {}: {:?}", model.name, version.version, version.state);
            }
        }
        let admin = sconce::http::admin_router(&gateway);
        Self { door: router(&gateway), admin, gateway, _folder: folder }
    }
}
