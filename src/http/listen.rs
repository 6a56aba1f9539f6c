//! The loop that accepts connections, and the drain that answers whoever was accepted before it ends.

mod attentive;
mod callers;
mod gathered;
mod preface;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use self::attentive::Attentive;
use self::callers::{Caller, Callers};
use self::gathered::{Calls, Gathered};
use self::preface::{Begun, Spoken};
use super::admin::admin_router;
use super::router::router;
use super::server::{Config, Gateway};
use crate::limits::{
    ACCEPT_PAUSE_MS, HEADER_BYTES_MAX, HEADERS_MAX, HTTP2_CONNECTION_WINDOW_BYTES, HTTP2_FRAME_BYTES_MAX,
    HTTP2_HEADER_BYTES_MAX, HTTP2_PING_SECONDS, HTTP2_PONG_SECONDS, HTTP2_STREAM_WINDOW_BYTES,
    HTTP2_STREAMS_MAX, LINGER_MS,
};

/// Accepts connections until `stop` resolves, then drains: readiness off, in-flight requests finish (within
/// `drain_timeout`), connections close.
///
/// For a moment after the stop new connections are still taken and idle ones kept, each answer saying that it is
/// the connection's last: a request that was sent before its caller could know is answered.
///
/// # Errors
/// Requests were cut off because draining took too long.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), String> {
    serve_at(vec![listener], gateway, stop).await
}

/// The same at several ports: each answers all that is asked of it, in HTTP/1.1 and in HTTP/2 with prior knowledge.
///
/// # Errors
/// Requests were cut off because draining took too long.
pub async fn serve_at(
    listeners: Vec<TcpListener>,
    gateway: Gateway,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), String> {
    serve_router(listeners, router(&gateway), gateway, stop).await
}

/// The same for the admin listener.
///
/// # Errors
/// Requests were cut off because draining took too long.
pub async fn serve_admin(
    listener: TcpListener,
    gateway: Gateway,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), String> {
    serve_router(vec![listener], admin_router(&gateway), gateway, stop).await
}

async fn serve_router(
    listeners: Vec<TcpListener>,
    service: Router,
    gateway: Gateway,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), String> {
    let config = &gateway.config;
    let door = Door {
        service,
        speech: Speech::new(config),
        callers: Callers::default(),
        permits: Arc::new(Semaphore::new(config.connections_max)),
        phase: watch::Sender::new(Phase::Open),
    };
    tokio::select! {
        () = stop => {}
        () = door.accept_at(&listeners) => {}
    }
    gateway.draining.store(true, Ordering::Release);
    // The timeout is how lingering ends.
    let _ = tokio::time::timeout(Duration::from_millis(LINGER_MS), door.accept_at(&listeners)).await;
    for listener in listeners {
        door.accept_backlog(listener);
    }
    door.close(config).await
}

/// What a connection is told of the server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Serving.
    Open,
    /// What is under way is finished, then the connection closes.
    Closing,
    /// The drain took too long: the connection is cut.
    Cut,
}

/// What every connection is made of.
struct Door {
    service: Router,
    speech: Speech,
    callers: Callers,
    /// One a connection; when all are back, no connection is open.
    permits: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
}

/// How HTTP is spoken.
#[derive(Clone)]
struct Speech {
    /// Time for the first bytes, by which the version is known.
    first_bytes: Duration,
    /// Time after an answer in which a thread looks for the next request before it sleeps.
    awake: Duration,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Speech {
    fn new(config: &Config) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_buf_size(HEADER_BYTES_MAX)
            // Twice ours: a request with a few too many is told so by a problem document, not cut off by the parser.
            .max_headers(2 * HEADERS_MAX);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .max_header_list_size(HTTP2_HEADER_BYTES_MAX)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .max_frame_size(HTTP2_FRAME_BYTES_MAX)
            // A peer that is gone without a word is noticed by the answer to a ping that does not come.
            .keep_alive_interval(Duration::from_secs(HTTP2_PING_SECONDS))
            .keep_alive_timeout(Duration::from_secs(HTTP2_PONG_SECONDS));
        Self { first_bytes: config.header_timeout, awake: config.awake, http1, http2 }
    }
}

impl Door {
    /// Accepts connections at every listener; never returns.
    async fn accept_at(&self, listeners: &[TcpListener]) {
        join_all(listeners.iter().map(|listener| self.accept(listener))).await;
    }

    /// Accepts connections, as many as may be open at once; never returns.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => self.spawn(stream, permit),
                Err(error) => after_failed_accept(&error).await,
            }
        }
    }

    /// Takes what the system has accepted already and nobody has asked for yet, then closes the listener.
    fn accept_backlog(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned()
            && let Ok((stream, _)) = listener.accept()
        {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.spawn(stream, permit);
            }
        }
    }

    /// Lets every connection finish what it has begun, and cuts those that take too long.
    async fn close(self, config: &Config) -> Result<(), String> {
        self.phase.send_replace(Phase::Closing);
        let all = u32::try_from(config.connections_max).unwrap_or(u32::MAX);
        let drained = tokio::time::timeout(config.drain_timeout, self.permits.acquire_many(all)).await;
        if drained.is_ok() {
            return Ok(());
        }
        let open = config.connections_max - self.permits.available_permits();
        self.phase.send_replace(Phase::Cut);
        Err(format!(
            "{open} connections were cut off: they were not done {:?} after the stop",
            config.drain_timeout
        ))
    }

    fn spawn(&self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        // Answers are small: waiting to fill a packet only adds to their latency.
        let _ = stream.set_nodelay(true);
        let (router, caller) = (self.service.clone(), self.callers.caller());
        let asked = caller.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut router = router.clone();
            asked.during(async move {
                poll_fn(|cx| <Router as tower::Service<Request<Body>>>::poll_ready(&mut router, cx)).await?;
                let response = tower::Service::call(&mut router, request.map(Body::new)).await?;
                Ok::<_, Infallible>(response)
            })
        });
        let held = Held { caller, phase: self.phase.subscribe(), _permit: permit };
        tokio::spawn(converse(stream, self.speech.clone(), service, held));
    }
}

/// What a connection has of its door while it is open.
struct Held {
    caller: Caller,
    phase: watch::Receiver<Phase>,
    _permit: OwnedSemaphorePermit,
}

/// A connection from its first byte to its end.
async fn converse<S>(stream: TcpStream, speech: Speech, service: S, mut held: Held)
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    // Whoever spoke before the stop is heard; whoever has said nothing a moment after it is not waited for.
    let mut stop = held.phase.clone();
    let silent = async {
        let _ = stop.wait_for(|phase| *phase != Phase::Open).await;
        tokio::time::sleep(Duration::from_millis(LINGER_MS)).await;
    };
    let begun = tokio::select! {
        begun = tokio::time::timeout(speech.first_bytes, preface::read(stream)) => begun,
        () = silent => return,
    };
    match begun {
        Ok(Ok((Spoken::Http1, begun))) => {
            let stream = TokioIo::new(Attentive::new(begun, held.caller, speech.awake));
            run(speech.http1.serve_connection(stream, service), &mut held.phase).await;
        }
        Ok(Ok((Spoken::Http2, begun))) => {
            let calls = Calls::default();
            let attentive = Attentive::new(begun, held.caller, speech.awake);
            let stream = TokioIo::new(Gathered::new(attentive, calls.clone()));
            let counted = service_fn(move |request| calls.during(service.call(request)));
            run(speech.http2.serve_connection(stream, counted), &mut held.phase).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a connection broke before it said anything"),
        Err(_) => tracing::debug!("a connection said nothing"),
    }
}

/// A connection that can be asked to end with what it has begun.
trait Connection: Future<Output = hyper::Result<()>> {
    fn end(self: Pin<&mut Self>);
}

impl<S> Connection for http1::Connection<TokioIo<Attentive<Begun>>, S>
where
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Connection for http2::Connection<TokioIo<Gathered<Attentive<Begun>>>, S, TokioExecutor>
where
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Runs a connection to its end, whatever ends it.
async fn run(connection: impl Connection, phase: &mut watch::Receiver<Phase>) {
    let mut connection = pin!(connection);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            changed = phase.changed() => {
                // Without its door a connection has nobody to end it.
                if changed.is_err() {
                    return;
                }
                let now = *phase.borrow_and_update();
                match now {
                    Phase::Open => {}
                    Phase::Closing => connection.as_mut().end(),
                    Phase::Cut => return,
                }
            }
        }
    }
}

/// A connection that was gone before it was accepted is no reason to wait; a want of descriptors or memory is.
async fn after_failed_accept(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
        return;
    }
    tracing::warn!(%error, "a connection could not be accepted; trying again in {ACCEPT_PAUSE_MS} ms");
    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
}
