//! Servers in every state that the table needs, each at a port of its own, and the table's questions to them.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sconce::engine::DeviceChoice;
use sconce::http::{Config, Gateway, LoadRefusal, Parts, Shelf, serve};
use sconce::name::{ModelName, Version};
use sconce::pipeline::{self, Pipeline};
use sconce::registry::{Registry, Source, State};
use sconce::value::Task;
use tokio::net::TcpListener;

use super::When;
use super::contracts::{Call, Sent};
use crate::support::door::{Ask, Directory, Served, config, parts};
use crate::support::grpc::Remote;
use crate::support::held::{Held, until_queued};
use crate::support::models;

/// Milliseconds that a caller whose deadline passes waits.
const WAIT_MS: u64 = 30;
/// Bytes of a body that are taken.
pub(super) const BODY_BYTES_MAX: usize = 4096;
/// Rows that may wait where one has to wait.
const QUEUE_ROWS: usize = 32;

/// A server in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Two models answer, one was refused, one is loading.
    Well,
    /// The same; the default model is the refused one.
    Refused,
    /// The same; the default model is the one that is loading.
    Loading,
    /// The same, draining.
    Draining,
    /// The only worker is held: a row that comes waits.
    Busy,
    /// The same, and every place in the queue is taken.
    Full,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(super) status: String,
    /// The headers that say something of the error.
    pub(super) headers: Vec<String>,
    pub(super) body: String,
}

/// The servers.
pub(super) struct Places {
    at: BTreeMap<Place, SocketAddr>,
    http: Legacy<HttpConnector, Full<Bytes>>,
    /// The server whose worker is held.
    busy: Served,
    /// Goes on with it.
    _held: Held<'static>,
    /// The request whose rows fill the queue.
    filling: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// Ends the loading.
    _gate: mpsc::SyncSender<()>,
    _folder: tempfile::TempDir,
}

/// A models directory whose model `waiting` is loaded when the gate opens, which it does at the end.
struct Gated {
    directory: Directory,
    gate: Mutex<mpsc::Receiver<()>>,
}

impl Source for Gated {
    type Handle = Pipeline;

    fn scan(&self) -> Result<BTreeMap<ModelName, BTreeMap<Version, u64>>, String> {
        self.directory.scan()
    }

    fn load(&self, model: &ModelName, version: Version) -> Result<Pipeline, String> {
        if model.as_str() == "waiting" {
            self.gate.lock().unwrap().recv().map_err(|_| "the test is over")?;
        }
        // Without the directory, as the binary has it.
        let refused = |_| "weights.safetensors is missing".to_owned();
        if model.as_str() == "broken" {
            self.directory.load(model, version).map_err(refused)
        } else {
            self.directory.load(model, version)
        }
    }
}

/// The models that the platform brought.
#[derive(Debug)]
struct Brought;

impl Shelf for Brought {
    fn load(&self, name: &ModelName, directory: &Path) -> Result<(), LoadRefusal> {
        match directory.to_str() {
            Some("/opt/ml/models/large/model") => Err(LoadRefusal::NoRoom(
                "the model needs 9000000000 bytes of memory to be loaded, 1000000 are free".to_owned(),
            )),
            _ if name.as_str() == "sentiment" => Err(LoadRefusal::There),
            _ => Err(LoadRefusal::Bad("the directory has no model.toml".to_owned())),
        }
    }

    fn unload(&self, _: &ModelName) -> bool {
        false
    }

    fn models(&self) -> Vec<(ModelName, PathBuf)> {
        let model =
            |name: &str| (name.parse().unwrap(), PathBuf::from(format!("/opt/ml/models/{name}/model")));
        ["broken", "digits", "sentiment", "waiting"].map(model).into()
    }
}

fn small(default_model: &str) -> Config {
    let default_models = BTreeMap::from([(Task::TextClassification, default_model.parse().unwrap())]);
    Config { body_bytes_max: BODY_BYTES_MAX, default_models, ..config() }
}

/// The same models, set up in another way.
fn like(gateway: &Gateway, config: Config) -> Gateway {
    Gateway::from(Parts { config, draining: Arc::new(AtomicBool::new(false)), ..Parts::clone(gateway) })
}

async fn listen(gateway: Gateway) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, gateway, std::future::pending()));
    address
}

impl Places {
    pub(super) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (gate, gated) = mpsc::sync_channel(1);
        let shelf: Option<Arc<dyn Shelf>> = Some(Arc::new(Brought));
        let well = Gateway::from(Parts { shelf, ..parts(small("sentiment")) });
        load_all_but_one(&well, folder.path(), gated).await;
        let draining = like(&well, small("sentiment"));
        draining.draining.store(true, Ordering::Release);
        let busy = busy();
        let held = {
            let door = busy.door.clone();
            let two = move || texts(door.clone(), 2);
            Held::by("sentiment", two).await
        };
        let long = listen(busy.gateway.clone()).await;
        let at = BTreeMap::from([
            (Place::Refused, listen(like(&well, small("broken"))).await),
            (Place::Loading, listen(like(&well, small("waiting"))).await),
            (Place::Draining, listen(draining).await),
            (Place::Well, listen(well).await),
            (Place::Busy, long),
            (Place::Full, long),
        ]);
        let http = Legacy::builder(TokioExecutor::new()).build_http();
        Self { at, http, busy, _held: held, filling: None, _gate: gate, _folder: folder }
    }

    /// Takes every place in the queue.
    pub(super) async fn fill(&mut self) {
        let door = self.busy.door.clone();
        let filling = self.filling.insert(Box::pin(texts(door, QUEUE_ROWS)));
        until_queued(&self.busy, ("sentiment", QUEUE_ROWS), filling.as_mut()).await;
    }

    /// The queue is as full as it was made: of what was asked there, nothing joined it.
    pub(super) fn check_full(&self) {
        let pipeline = &self.busy.gateway.registry.resolve("sentiment", None).unwrap().handle;
        assert_eq!(pipeline.queued(), QUEUE_ROWS);
    }

    pub(super) async fn ask(&self, when: When, sent: &Sent) -> Reply {
        let address = self.at[&when.place()];
        match &sent.call {
            Call::Http => self.ask_http(address, when, sent).await,
            Call::Infer(request) => {
                let mut request = tonic::Request::new(request.clone());
                if when == When::DeadlinePassed {
                    request.set_timeout(Duration::from_millis(WAIT_MS));
                }
                reply_of_call(
                    Remote::to(address)
                        .infer(request)
                        .await
                        .map(|answer| format!("ModelInferResponse of model {}", answer.model_name)),
                )
            }
            Call::Ready => {
                let path = "/inference.GRPCInferenceService/ServerReady";
                let asked = crate::support::grpc::inference::ServerReadyRequest {};
                let answer = Remote::to(address)
                    .call::<_, crate::support::grpc::inference::ServerReadyResponse>(path, asked)
                    .await;
                reply_of_call(
                    answer.map(|answer| {
                        format!("ServerReadyResponse {{ ready: {} }}", answer.into_inner().ready)
                    }),
                )
            }
        }
    }

    async fn ask_http(&self, address: SocketAddr, when: When, sent: &Sent) -> Reply {
        let uri = format!("http://{address}{}", sent.path);
        let mut request = Request::builder().method(sent.method.clone()).uri(uri);
        for (name, value) in &sent.headers {
            request = request.header(*name, *value);
        }
        if when == When::DeadlinePassed {
            request = request.header("x-request-timeout-ms", WAIT_MS);
        }
        let response = self.http.request(request.body(Full::new(sent.body.clone())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert!(parts.headers.contains_key("x-request-id"), "{when:?} {}", sent.path);
        let told = [
            "content-type",
            "retry-after",
            "allow",
            "accept-encoding",
            "connection",
            "grpc-status",
            "grpc-message",
        ];
        let header = |name: &&str| {
            let value = parts.headers.get(*name)?.to_str().unwrap();
            Some(if *name == "retry-after" {
                "retry-after: N".to_owned()
            } else {
                format!("{name}: {value}")
            })
        };
        let body = if parts.status.is_success() && when == When::AskedWhileDraining {
            "the answer".to_owned()
        } else {
            settled(&String::from_utf8_lossy(&body))
        };
        Reply { status: parts.status.to_string(), headers: told.iter().filter_map(header).collect(), body }
    }
}

/// What is the same every time.
fn settled(body: &str) -> String {
    // Two watch over the deadline, and either may be the first to see that it has passed.
    let body =
        body.replace("there was no answer within 30 ms", "the deadline passed after 30 ms in the queue");
    let body = numbered(&body, "passed after ");
    let body = numbered(&body, "\"retry_after_ms\":");
    match body.split_once("\"request_id\":\"") {
        None => body,
        Some((head, rest)) => {
            let rest = rest.split_once('"').map_or("", |(_, rest)| rest);
            format!("{head}\"request_id\":\"…\"{rest}")
        }
    }
}

/// The text with an N for every number that comes after these words.
fn numbered(text: &str, words: &str) -> String {
    let mut parts = text.split(words);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let after = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        format!("{text}{words}N{after}")
    })
}

fn reply_of_call(answered: Result<String, tonic::Status>) -> Reply {
    match answered {
        Ok(body) => Reply { status: "OK".to_owned(), headers: Vec::new(), body },
        Err(status) => {
            let pushback = status.metadata().get("grpc-retry-pushback-ms");
            Reply {
                status: format!("{:?} ({})", status.code(), i32::from(status.code())),
                headers: pushback.map(|_| "grpc-retry-pushback-ms: N".to_owned()).into_iter().collect(),
                body: settled(status.message()),
            }
        }
    }
}

/// Models of every state; returns when all but `waiting` are settled.
async fn load_all_but_one(gateway: &Gateway, folder: &Path, gated: mpsc::Receiver<()>) {
    models::tiny_text(folder, "sentiment", 1);
    models::tiny_image(folder, "digits", 1);
    for (name, seed) in [("broken", 2), ("waiting", 3)] {
        models::tiny_text(folder, name, seed);
    }
    std::fs::remove_file(folder.join("broken/1/weights.safetensors")).unwrap();
    let pipeline =
        pipeline::Config { device: DeviceChoice::Cpu, engine_rows: Some(8), ..pipeline::Config::default() };
    let directory = Directory::new(folder, pipeline);
    let registry = Arc::clone(&gateway.registry);
    std::thread::spawn(move || registry.reconcile(&Gated { directory, gate: Mutex::new(gated) }));
    let loading = |registry: &Registry<Pipeline>| {
        let Ok(model) = registry.model("waiting") else { return false };
        model.versions.iter().any(|version| matches!(version.state, State::Loading))
    };
    // Models are loaded in the order of their names.
    while !loading(&gateway.registry) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A server with one worker, to be held, and a queue whose rows wait for longer than any test takes.
fn busy() -> Served {
    let hour = Duration::from_hours(1);
    let config = Config { deadline_default: hour, deadline_max: hour, ..config() };
    Served::with_queue(config, QUEUE_ROWS, |folder| {
        models::tiny_text(folder, "sentiment", 1);
    })
}

/// Asks about so many texts in one request, whose answer nobody looks at.
async fn texts(door: Router, count: usize) {
    Ask::json("/v1/text/classify", &serde_json::json!({ "input": vec!["good"; count] })).of(&door).await;
}
