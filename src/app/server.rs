//! The server's life: bind, load, serve, drain.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use super::Settings;
use super::shelf::{Brought, ModelShelf, free_memory};
use super::signals::{Ends, Signals};
use super::source::ModelSource;
use super::watch::{Loader, Looks};
use crate::engine::quiet_pools;
use crate::http::{self, Control, Gateway, Parts, Shelf};
use crate::name::ModelName;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::telemetry::metrics::{UPKEEP_PERIOD, install_metrics};

/// Where the server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For everything.
    pub http: SocketAddr,
    /// For clients that expect a port of its own for gRPC, if there is one.
    pub grpc: Option<SocketAddr>,
}

/// Time that the loader has to end when everyone is answered: it may be in the middle of a version.
const LOADER_END_MAX: Duration = Duration::from_secs(5);

/// Why a server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The models directory is not there or is none.
    #[error("models directory {}: {reason}", path.display())]
    Models {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A thread or a signal handler was refused by the system.
    #[error("{what}: {source}")]
    System {
        /// What was asked of the system.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// Requests were cut off: draining took too long, or a second signal came.
    #[error("{0}")]
    CutOff(String),
}

impl ServeError {
    /// What to do next, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Bind { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => {
                    Some("another process listens there: stop it, or take a free port with --port 0")
                }
                io::ErrorKind::PermissionDenied => {
                    Some("ports below 1024 need privileges: take another with --port 8080")
                }
                io::ErrorKind::AddrNotAvailable => {
                    Some("this machine has no such address: 127.0.0.1 and 0.0.0.0 always work")
                }
                _ => None,
            },
            Self::Models { .. } => Some(
                "name the directory with --models DIR; `sconce train` and `sconce import` make models in one",
            ),
            Self::System { .. } | Self::CutOff(_) => None,
        }
    }
}

/// Serves until SIGTERM or SIGINT, then drains: readiness off, in-flight requests finish, versions are dropped. A
/// second signal ends at once. `ready` is told the addresses and shown the registry as soon as the server listens;
/// models go on loading, and `/health/ready` says when they are there. Needs a tokio runtime with I/O and time.
///
/// # Errors
/// Why the server did not start, or did not end well.
pub async fn serve(
    settings: Settings,
    ready: impl FnOnce(Addresses, &Arc<Registry<Pipeline>>),
) -> Result<(), ServeError> {
    if !settings.multi_model {
        check_models(&settings)?;
    }
    quiet_pools();
    let metrics = install_metrics();
    // Before the door opens: whoever sees it open may signal.
    let signals =
        Signals::catch().map_err(|source| ServeError::System { what: "catching signals", source })?;
    let (listeners, addresses) = listen(&settings).await?;

    let registry = Arc::new(Registry::new(settings.policies.clone()));
    let source = source(&settings);
    let shelf = settings.multi_model.then(|| shelf_over(&registry, &settings));
    let loader = match &shelf {
        Some(shelf) => start_empty(&registry, shelf.brought.clone())?,
        None => start_loader(&settings, &registry, &source)?,
    };
    let bell = loader.bell();
    let ends = signals.attend(move || bell.ring());
    let upkeep = tokio::spawn(keep_up(metrics.clone()));

    let (address, grpc) = (addresses.http, addresses.grpc.map(tracing::field::display));
    tracing::info!(%address, grpc, models = %settings.models.display(), "listening");
    ready(addresses, &registry);
    let gateway = Gateway::from(Parts {
        config: settings.http,
        registry: Arc::clone(&registry),
        control: (settings.model_control && shelf.is_none()).then(|| Control(source)),
        shelf: shelf.map(|shelf| shelf as Arc<dyn Shelf>),
        public: Arc::default(),
        draining: Arc::new(AtomicBool::new(false)),
        metrics,
    });
    let served = tokio::select! {
        served = serve_all(listeners, gateway, ends.clone()) => served,
        () = ends.told(2) => Err(ServeError::CutOff("ended by a second signal before everyone was answered".into())),
    };
    upkeep.abort();
    if served.is_ok() {
        close(loader, registry).await;
        tracing::info!("everyone was answered");
    }
    served
}

/// What the server listens with.
struct Listeners {
    /// For whoever asks models.
    public: Vec<TcpListener>,
    /// For operators, and where that is.
    admin: Option<(TcpListener, SocketAddr)>,
}

async fn listen(settings: &Settings) -> Result<(Listeners, Addresses), ServeError> {
    let (listener, http) = bind(settings.address).await?;
    let mut public = vec![listener];
    let mut addresses = Addresses { http, grpc: None };
    if let Some(port) = settings.grpc_port {
        let (listener, address) = bind(SocketAddr::new(settings.address.ip(), port)).await?;
        public.push(listener);
        addresses.grpc = Some(address);
    }
    let admin = match settings.admin {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    Ok((Listeners { public, admin }, addresses))
}

/// Serves at every listener until all are drained.
async fn serve_all(listeners: Listeners, gateway: Gateway, ends: Ends) -> Result<(), ServeError> {
    let Listeners { public, admin } = listeners;
    let public = http::serve_at(public, gateway.clone(), ends.clone().told(1));
    let served = match admin {
        None => public.await,
        Some((listener, address)) => {
            tracing::info!(%address, "listening for operators");
            let operators = http::serve_admin(listener, gateway, ends.told(1));
            let (public, operators) = tokio::join!(public, operators);
            public.and(operators)
        }
    };
    served.map_err(ServeError::CutOff)
}

/// A directory that is not there is a mistake to tell at the start, not an empty one.
fn check_models(settings: &Settings) -> Result<(), ServeError> {
    let wrong = |reason: String| ServeError::Models { path: settings.models.clone(), reason };
    std::fs::read_dir(&settings.models).map(drop).map_err(|error| wrong(error.to_string()))
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let refused = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

fn source(settings: &Settings) -> Arc<ModelSource> {
    Arc::new(ModelSource {
        models: settings.models.clone(),
        name: settings.name.clone(),
        default: settings.pipeline.clone(),
        by_model: settings.pipelines.clone(),
        mentioned: mentioned(settings),
        strangers_named: Once::new(),
        changes: Mutex::default(),
    })
}

fn start_loader(
    settings: &Settings,
    registry: &Arc<Registry<Pipeline>>,
    source: &Arc<ModelSource>,
) -> Result<Loader, ServeError> {
    let looks = Looks { watched: settings.watch.then_some(settings.models.as_path()), poll: settings.poll };
    Loader::start(Arc::clone(registry), Arc::clone(source), looks)
        .map_err(|source| ServeError::System { what: "starting the loader thread", source })
}

/// The loader of models that requests bring: it looks when they do.
fn start_empty(registry: &Arc<Registry<Pipeline>>, brought: Brought) -> Result<Loader, ServeError> {
    Loader::start(Arc::clone(registry), brought, Looks { watched: None, poll: None })
        .map_err(|source| ServeError::System { what: "starting the loader thread", source })
}

fn shelf_over(registry: &Arc<Registry<Pipeline>>, settings: &Settings) -> Arc<ModelShelf> {
    let brought = Brought::new(settings.pipeline.clone(), settings.pipelines.clone());
    Arc::new(ModelShelf { registry: Arc::clone(registry), brought, free: free_memory })
}

/// The models that the settings speak of.
fn mentioned(settings: &Settings) -> Vec<ModelName> {
    let configured = settings.pipelines.keys().chain(settings.policies.models.keys());
    configured.chain(settings.http.default_models.values()).cloned().collect()
}

/// Histograms keep every sample until then.
async fn keep_up(metrics: PrometheusHandle) {
    let mut period = tokio::time::interval(UPKEEP_PERIOD);
    loop {
        period.tick().await;
        metrics.run_upkeep();
    }
}

/// Ends the loader and drops the versions, and with them their workers. On a thread of its own, which the process
/// does not wait for when a version that is being loaded takes long.
async fn close(loader: Loader, registry: Arc<Registry<Pipeline>>) {
    let (done, closed) = tokio::sync::oneshot::channel();
    let closing = std::thread::Builder::new().name("closing".into()).spawn(move || {
        loader.stop();
        drop(registry);
        let _nobody_waits = done.send(());
    });
    let closed = tokio::time::timeout(LOADER_END_MAX, closed).await;
    if closing.is_err() || closed.is_err() {
        tracing::warn!("ending while a version is still being loaded");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::num::NonZeroUsize;
    use std::path::Path;

    use super::*;
    use crate::engine::DeviceChoice;
    use crate::pipeline;
    use crate::registry::{Policies, Policy};

    fn settings(models: &Path, port: u16) -> Settings {
        Settings {
            models: models.to_owned(),
            name: None,
            multi_model: false,
            admin: None,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            grpc_port: None,
            http: http::Config {
                body_bytes_max: 1024,
                connections_max: 8,
                header_timeout: Duration::from_secs(5),
                body_timeout: Duration::from_secs(5),
                deadline_default: Duration::from_secs(5),
                deadline_max: Duration::from_secs(5),
                drain_timeout: Duration::from_secs(5),
                awake: Duration::ZERO,
                request_inputs_max: 8,
                default_models: BTreeMap::new(),
                cors: http::Cors::Off,
                conformance_models: false,
                platform: http::Platform::default(),
            },
            pipeline: pipeline::Config {
                device: DeviceChoice::Cpu,
                engine_rows: Some(1),
                queue_rows_max: 8,
                ..pipeline::Config::default()
            },
            pipelines: BTreeMap::new(),
            policies: Policies { default: Policy::Latest(NonZeroUsize::MIN), models: BTreeMap::new() },
            watch: true,
            poll: None,
            model_control: false,
        }
    }

    fn failure(settings: Settings) -> ServeError {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(settings, |addresses, _| panic!("it listens on {addresses:?}"))).unwrap_err()
    }

    #[test]
    fn a_port_in_use_is_named_with_the_way_out() {
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let models = tempfile::tempdir().unwrap();
        let error = failure(settings(models.path(), address.port()));
        assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
        assert!(error.hint().unwrap().contains("--port 0"));
    }

    #[test]
    fn a_models_directory_that_is_not_there_is_named() {
        let error = failure(settings(Path::new("/nowhere/models"), 0));
        assert!(error.to_string().contains("/nowhere/models"), "{error}");
        assert!(error.hint().unwrap().contains("--models"));
    }
}
