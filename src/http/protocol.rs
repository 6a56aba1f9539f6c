//! What a protocol is to the door: its routes, which paths are its own, and how it writes a problem.

use axum::http::{Method, StatusCode};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;

use super::problem::Problem;
use super::server::Gateway;

/// A protocol: a folder of translations between what its clients say and what pipelines take.
#[derive(Clone, Copy)]
pub(super) struct Protocol {
    /// Its routes, with their documentation.
    pub(super) routes: fn() -> OpenApiRouter<Gateway>,
    /// Whether a path is its own, there or not: what goes wrong at it is written in its way.
    pub(super) owns: fn(&str) -> bool,
    /// Those of its routes that machines ask every few seconds: in the log they would bury the rest.
    pub(super) probes: &'static [&'static str],
    /// Writes a problem with its status and body; headers that answers have in every protocol are added to it.
    pub(super) write: fn(&Problem, &Refused<'_>) -> Response,
}

/// What came of a request, of a protocol whose answers all have the same HTTP status: what logs and metrics are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome(pub(super) StatusCode);

/// The request that a problem answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused<'a> {
    /// Its id.
    pub(super) request_id: &'a str,
    /// Its method.
    pub(super) method: &'a Method,
    /// Its path.
    pub(super) path: &'a str,
}
