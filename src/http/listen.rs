//! The loop that accepts connections, and the drain that answers whoever was accepted before it ends.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service as _;

use super::admin::admin_router;
use super::router::router;
use super::server::{Config, Gateway};
use crate::limits::{ACCEPT_PAUSE_MS, HEADER_BYTES_MAX, HEADERS_MAX, LINGER_MS};

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
    serve_router(listener, router(gateway.clone()), gateway, stop).await
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
    serve_router(listener, admin_router(gateway.clone()), gateway, stop).await
}

async fn serve_router(
    listener: TcpListener,
    service: Router,
    gateway: Gateway,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), String> {
    let config = Arc::clone(&gateway.config);
    let draining = Arc::clone(&gateway.draining);
    let door = Door {
        service,
        http: connection_settings(&config),
        permits: Arc::new(Semaphore::new(config.connections_max)),
        phase: watch::Sender::new(Phase::Open),
    };
    tokio::select! {
        () = stop => {}
        () = door.accept(&listener) => {}
    }
    draining.store(true, Ordering::Release);
    // The timeout is how lingering ends.
    let _ = tokio::time::timeout(Duration::from_millis(LINGER_MS), door.accept(&listener)).await;
    door.accept_backlog(listener);
    door.close(&config).await
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
    http: http1::Builder,
    /// One a connection; when all are back, no connection is open.
    permits: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
}

fn connection_settings(config: &Config) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(HEADER_BYTES_MAX)
        // Twice ours: a request with a few too many is told so by a problem document, not cut off by the parser.
        .max_headers(2 * HEADERS_MAX);
    http
}

impl Door {
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
        let router = self.service.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let mut router = router.clone();
            async move {
                poll_fn(|cx| <Router as tower::Service<hyper::Request<Body>>>::poll_ready(&mut router, cx))
                    .await?;
                let response = router.call(request.map(Body::new)).await?;
                Ok::<_, Infallible>(response)
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(run(connection, self.phase.subscribe(), permit));
    }
}

/// Runs a connection to its end, whatever ends it.
async fn run<S>(
    connection: http1::Connection<TokioIo<TcpStream>, S>,
    mut phase: watch::Receiver<Phase>,
    _permit: OwnedSemaphorePermit,
) where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
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
                    Phase::Closing => connection.as_mut().graceful_shutdown(),
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
