//! The server's life: bind, load, serve, drain.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Settings;

/// Why a server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The models directory is not there or is none.
    #[error("{}: {reason}", path.display())]
    Models {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A thread, a signal handler or a socket was refused by the system.
    #[error("{0}")]
    System(String),
    /// Requests were cut off: draining took too long, or a second signal came.
    #[error("{0}")]
    CutOff(String),
}

/// Serves until SIGTERM or SIGINT, then drains: readiness off, in-flight requests finish, workers end. `ready` is
/// told the address as soon as the server listens; models go on loading, and `/health/ready` says when they are there.
///
/// # Errors
/// Why the server did not start, or did not end well.
pub async fn serve(settings: Settings, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    ready(settings.address);
    todo!()
}
