//! What is meant: the whole of the configuration as each part's own struct.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::machine::{self, Machine};
use super::reader::Reader;
use super::{Key, Value, origins, platform};
use crate::engine::{DeviceChoice, EngineChoice};
use crate::limits;
use crate::name::{ModelName, Version};
use crate::registry::{Policies, Policy};
use crate::telemetry::LogFormat;
use crate::value::Task;
use crate::{http, pipeline};

/// Everything that is meant.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where models are and which versions serve.
    pub models: Models,
    /// How versions are run.
    pub pipelines: Pipelines,
    /// The door.
    pub http: Http,
    /// How the machine is used.
    pub machine: Machine,
    /// Logs.
    pub log: Log,
}

/// Where models are and which versions of them serve.
#[derive(Clone, Debug)]
pub struct Models {
    /// The folder of model folders.
    pub directory: PathBuf,
    /// What the model is called when that folder is one model's itself; `None`: it never is.
    pub name: Option<ModelName>,
    /// Whether requests bring models and take them away, instead of that folder.
    pub multi: bool,
    /// Which versions serve.
    pub policies: Policies,
    /// Whether the folder is watched.
    pub watch: bool,
    /// Time between two looks at the folder; `None`: never.
    pub poll: Option<Duration>,
}

/// How versions are run.
#[derive(Clone, Debug)]
pub struct Pipelines {
    /// For models without a table of their own.
    pub default: pipeline::Config,
    /// By model.
    pub models: BTreeMap<ModelName, pipeline::Config>,
}

impl Pipelines {
    /// How versions of this model are run.
    #[must_use]
    pub fn of(&self, model: &str) -> &pipeline::Config {
        self.models.get(model).unwrap_or(&self.default)
    }
}

/// The door.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where to listen; port 0 picks one.
    pub address: SocketAddr,
    /// Where the admin listener is; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// A second port at the same address, for gRPC.
    pub grpc_port: Option<u16>,
    /// Limits and time-outs.
    pub config: http::Config,
    /// Whether requests may load and unload models.
    pub model_control: bool,
}

/// Logs.
#[derive(Clone, Debug)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// What is written, as in `RUST_LOG`.
    pub filter: String,
}

/// A queue has room for the longest text that any model reads.
const QUEUE_TOKENS: RangeInclusive<usize> = limits::TEXT_TOKENS_MAX..=limits::QUEUE_TOKENS_MAX;
/// A queue has room for the largest picture that any network sees.
const QUEUE_PIXELS: RangeInclusive<usize> = limits::PICTURE_NETWORK_PIXELS_MAX..=limits::QUEUE_PIXELS_MAX;

/// The table whose members are named by models.
const MODEL: &str = "model";

/// Reads every key there is. What a problem leaves out is filled with a stand-in; the reader refuses the whole.
pub(super) fn read(reader: &mut Reader) -> Settings {
    let mut models = models(reader);
    let default = inference(reader);
    let (policies, pipelines) = by_model(reader, &default);
    models.policies.models.extend(policies);
    let default_models = default_models(reader);
    let http = http(reader, default_models);
    models.multi = reader.switch(&Key::new(["platform", "multi_model"]));
    let machine = machine::keys(reader);
    let log = log(reader);
    relations(reader, &pipelines, &http.config);
    Settings { models, pipelines, http, machine, log }
}

fn models(reader: &mut Reader) -> Models {
    let key = |name: &str| Key::new(["models", name]);
    let folder = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
    let directory = reader.text(&key("directory"), "the path of a folder", folder).unwrap_or_default();
    let name = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    let name = reader.text(&key("name"), "the name of a model, or \"\"", name).flatten();
    let default = policy(reader, &key("versions"));
    let watch = reader.switch(&key("watch"));
    let seconds = reader.integer(&key("poll_seconds"), &(0..=limits::POLL_SECONDS_MAX));
    Models {
        directory,
        name,
        multi: false,
        policies: Policies { default, models: BTreeMap::new() },
        watch,
        poll: (seconds > 0).then(|| Duration::from_secs(seconds)),
    }
}

/// `latest`, `latest 2`, or a list of versions.
fn policy(reader: &mut Reader, key: &Key) -> Policy {
    let expected = format!(
        "\"latest\", \"latest N\" with N from 1 to {0}, or a list of 1 to {0} versions such as [1, 3]",
        limits::VERSIONS_MAX
    );
    let latest = |text: &str| {
        let mut words = text.split_whitespace();
        let count = match (words.next(), words.next(), words.next()) {
            (Some("latest"), None, None) => Some(1),
            (Some("latest"), Some(count), None) => count.parse().ok(),
            _ => None,
        };
        count.and_then(NonZeroUsize::new).filter(|count| count.get() <= limits::VERSIONS_MAX)
    };
    let listed = |value: &Value| {
        let numbers =
            value.integers().filter(|numbers| (1..=limits::VERSIONS_MAX).contains(&numbers.len()))?;
        numbers.iter().map(|number| number.to_string().parse().ok()).collect::<Option<BTreeSet<Version>>>()
    };
    let read = |value: &Value| {
        if let Some(count) = value.text().and_then(latest) {
            let shown = if count.get() == 1 { "latest".to_owned() } else { format!("latest {count}") };
            return Some((Policy::Latest(count), toml::Value::String(shown)));
        }
        let versions = listed(value)?;
        let shown = versions.iter().map(|version| toml::Value::Integer(version.get().into())).collect();
        Some((Policy::Versions(versions), toml::Value::Array(shown)))
    };
    reader.read(key, &expected, read).unwrap_or(Policy::Latest(NonZeroUsize::MIN))
}

/// `[inference]`.
fn inference(reader: &mut Reader) -> pipeline::Config {
    let key = |name: &str| Key::new(["inference", name]);
    pipeline::Config {
        device: device(reader, &key("device")),
        workers: workers(reader, &key("workers")),
        engine: engine(reader, &key("engine")),
        request_rows_max: None,
        engine_rows: engine_rows(reader, &key("engine_rows")),
        queue_rows_max: reader.integer(&key("queue_rows_max"), &(1..=limits::QUEUE_ROWS_MAX)),
        queue_tokens_max: reader.integer(&key("queue_tokens_max"), &QUEUE_TOKENS),
        queue_pixels_max: reader.integer(&key("queue_pixels_max"), &QUEUE_PIXELS),
        verify_one_in: verify_one_in(reader, &key("verify_invariance")),
    }
}

/// `off`, or `1/100`: one answer in a hundred.
fn verify_one_in(reader: &mut Reader, key: &Key) -> Option<NonZeroU32> {
    let parse = |text: &str| match text {
        "off" => Some(None),
        _ => text.strip_prefix("1/")?.parse().ok().map(Some),
    };
    reader.text(key, "\"off\", or one answer in so many, such as \"1/100\"", parse).flatten()
}

fn device(reader: &mut Reader, key: &Key) -> DeviceChoice {
    let parse = |text: &str| DeviceChoice::try_from(text.to_owned()).ok();
    reader.text(key, "\"auto\", \"cpu\" or \"cuda:N\" such as \"cuda:0\"", parse).unwrap_or_default()
}

fn engine(reader: &mut Reader, key: &Key) -> EngineChoice {
    let parse = |text: &str| match text {
        "auto" => Some(EngineChoice::Auto),
        "candle" => Some(EngineChoice::Candle),
        _ => None,
    };
    reader.text(key, "\"auto\" or \"candle\"", parse).unwrap_or_default()
}

/// Rows of an engine; 0 means as many as a measurement says.
fn engine_rows(reader: &mut Reader, key: &Key) -> Option<usize> {
    Some(reader.integer(key, &(0..=limits::ENGINE_ROWS_MAX))).filter(|rows| *rows > 0)
}

/// Worker threads; 0 means one a core.
fn workers(reader: &mut Reader, key: &Key) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    match reader.integer(key, &(0..=limits::WORKERS_MAX)) {
        0 => cores().min(limits::WORKERS_MAX),
        said => said,
    }
}

/// Every `[model.NAME]`, over what `[models]` and `[inference]` say.
fn by_model(reader: &mut Reader, default: &pipeline::Config) -> (Vec<(ModelName, Policy)>, Pipelines) {
    let mut policies = Vec::new();
    let mut pipelines = Pipelines { default: default.clone(), models: BTreeMap::new() };
    for text in reader.tables_in(MODEL) {
        let table = Key::new([MODEL, &text]);
        let name = match text.parse::<ModelName>() {
            Ok(name) => name,
            Err(bad) => {
                reader.misnamed(&table, &bad);
                continue;
            }
        };
        let key = |name: &str| table.child(name);
        let mut own = default.clone();
        if reader.has(&key("device")) {
            own.device = device(reader, &key("device"));
        }
        if reader.has(&key("versions")) {
            policies.push((name.clone(), policy(reader, &key("versions"))));
        }
        if reader.has(&key("workers")) {
            own.workers = workers(reader, &key("workers"));
        }
        if reader.has(&key("engine_rows")) {
            own.engine_rows = engine_rows(reader, &key("engine_rows"));
        }
        if reader.has(&key("engine")) {
            own.engine = engine(reader, &key("engine"));
        }
        if reader.has(&key("queue_tokens_max")) {
            own.queue_tokens_max = reader.integer(&key("queue_tokens_max"), &QUEUE_TOKENS);
        }
        if reader.has(&key("queue_pixels_max")) {
            own.queue_pixels_max = reader.integer(&key("queue_pixels_max"), &QUEUE_PIXELS);
        }
        if reader.has(&key("verify_invariance")) {
            own.verify_one_in = verify_one_in(reader, &key("verify_invariance"));
        }
        if reader.has(&key("queue_rows_max")) {
            own.queue_rows_max = reader.integer(&key("queue_rows_max"), &(1..=limits::QUEUE_ROWS_MAX));
        }
        pipelines.models.insert(name, own);
    }
    (policies, pipelines)
}

fn default_models(reader: &mut Reader) -> BTreeMap<Task, ModelName> {
    let mut found = BTreeMap::new();
    for task in [Task::TextClassification, Task::ImageClassification] {
        let key = Key::new(["default_models", task.as_str()]);
        if reader.has(&key)
            && let Some(name) = reader.text(&key, "the name of a model", |text| text.parse().ok())
        {
            found.insert(task, name);
        }
    }
    found
}

fn http(reader: &mut Reader, default_models: BTreeMap<Task, ModelName>) -> Http {
    let key = |name: &str| Key::new(["http", name]);
    let ip = |text: &str| match text {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text.parse().ok(),
    };
    let host = reader.text(&key("host"), "an IP address such as \"127.0.0.1\", \"0.0.0.0\" or \"::\"", ip);
    let port = reader.integer(&key("port"), &(0..=u16::MAX));
    let grpc_port = grpc_port(reader, &key("grpc_port"), port);
    let admin = admin_address(reader, &key("admin_address"));
    let connections_max = reader.integer(&key("connections_max"), &(1..=limits::CONNECTIONS_MAX));
    let body_bytes_max = reader.integer(&key("body_bytes_max"), &(1..=limits::BODY_BYTES_MAX));
    let request_inputs_max = reader.integer(&key("request_inputs_max"), &(1..=limits::REQUEST_INPUTS_MAX));
    let mut seconds = |name, range| Duration::from_secs(reader.integer(&key(name), &range));
    let header_timeout = seconds("header_timeout_seconds", 1..=limits::HEADER_SECONDS_MAX);
    let body_timeout = seconds("body_timeout_seconds", 1..=limits::BODY_SECONDS_MAX);
    let mut millis = |name| Duration::from_millis(reader.integer(&key(name), &(1..=limits::DEADLINE_MS_MAX)));
    let deadline_default = millis("deadline_ms_default");
    let deadline_max = millis("deadline_ms_max");
    let drain = reader.integer(&key("drain_timeout_seconds"), &(0..=limits::DRAIN_SECONDS_MAX));
    let awake = reader.integer(&key("awake_us"), &(0..=limits::AWAKE_US_MAX));
    let model_control = reader.switch(&key("model_control"));
    let cors = origins::cors(reader, &key("cors_origins"));
    let conformance_models = reader.switch(&key("conformance_models"));
    let platform = platform::keys(reader);
    let config = http::Config {
        body_bytes_max,
        connections_max,
        header_timeout,
        body_timeout,
        deadline_default,
        deadline_max,
        drain_timeout: Duration::from_secs(drain),
        awake: Duration::from_micros(awake),
        request_inputs_max,
        default_models,
        cors,
        conformance_models,
        platform,
    };
    let address = SocketAddr::new(host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port);
    Http { address, admin, grpc_port, config, model_control }
}

/// `off`, or an address with a port.
fn admin_address(reader: &mut Reader, key: &Key) -> Option<SocketAddr> {
    let parse = |text: &str| match text {
        "off" => Some(None),
        _ => text.parse().ok().map(Some),
    };
    reader.text(key, "\"off\", or an address and a port such as \"127.0.0.1:8081\"", parse).flatten()
}

/// `off`, or a port that is not the first.
fn grpc_port(reader: &mut Reader, key: &Key, first: u16) -> Option<u16> {
    let read = |value: &Value| {
        if value.text() == Some("off") {
            return Some((None, toml::Value::String("off".to_owned())));
        }
        let port = u16::try_from(value.integer()?).ok().filter(|port| *port == 0 || *port != first)?;
        Some((Some(port), toml::Value::Integer(port.into())))
    };
    let expected = format!("\"off\", or a whole number from 0 to {} that is not http.port", u16::MAX);
    reader.read(key, &expected, read).flatten()
}

fn log(reader: &mut Reader) -> Log {
    let format = |text: &str| match text {
        "auto" => Some(LogFormat::Auto),
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    };
    let filter = |text: &str| {
        let parsed = tracing_subscriber::EnvFilter::builder().parse(text);
        (parsed.is_ok() && !text.trim().is_empty()).then(|| text.to_owned())
    };
    Log {
        format: reader
            .text(&Key::new(["log", "format"]), "\"auto\", \"text\" or \"json\"", format)
            .unwrap_or_default(),
        filter: reader
            .text(
                &Key::new(["log", "filter"]),
                "a filter as in RUST_LOG, such as \"sconce=debug,info\"",
                filter,
            )
            .unwrap_or_default(),
    }
}

/// What must hold between keys that could be read.
fn relations(reader: &mut Reader, pipelines: &Pipelines, http: &http::Config) {
    let default = Key::new(["http", "deadline_ms_default"]);
    let most = Key::new(["http", "deadline_ms_max"]);
    if http.deadline_default > http.deadline_max && reader.understood(&most) {
        let millis = http.deadline_max.as_millis();
        reader.reject(&default, &format!("at most {most}, which is {millis}"));
    }
    let inputs = http.request_inputs_max;
    let expected =
        format!("at least http.request_inputs_max, which is {inputs}, or a full request never fits");
    let of_model = |(name, own): (&ModelName, &pipeline::Config)| {
        (Key::new([MODEL, name.as_str(), "queue_rows_max"]), own.queue_rows_max)
    };
    let of_all = (Key::new(["inference", "queue_rows_max"]), pipelines.default.queue_rows_max);
    for (key, rows) in pipelines.models.iter().map(of_model).chain([of_all]) {
        if rows < inputs && reader.understood(&key) {
            reader.reject(&key, &expected);
        }
    }
}
