//! The API's document: what the routes say of themselves, and what is true of all of them.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use utoipa::{IntoResponses, OpenApi};

use super::problem::ProblemDocument;
use super::{router, yaml};

/// Where the document is served.
pub(super) const PATH: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sconce",
        description = "Text and image models over HTTP. Every answer that is no success is a problem document \
            (RFC 9457) whose `code` is from a closed list; every answer has an `x-request-id`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemDocument, super::problem::Code, super::problem::Place)),
    servers((url = "/", description = "This server")),
    tags(
        (name = "classify", description = "Texts and pictures in, labels with scores out"),
        (name = "models", description = "Which models there are and which versions of them answer"),
        (name = "open inference protocol", description = "The same models for the clients of Triton and KServe"),
        (name = "operations", description = "Health, metrics and documentation"),
    ),
)]
struct Preface;

/// What is true of all routes.
pub(super) fn preface() -> utoipa::openapi::OpenApi {
    Preface::openapi()
}

/// The problems that any route may answer with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it documents what the layers and handlers answer")]
pub(super) enum Refusals {
    /// The request or an input in it is wrong: `code` and `detail` say what.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemDocument),
    /// There is no such path, model or version.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemDocument),
    /// The path takes other methods: `Allow` lists them.
    #[response(status = 405, content_type = "application/problem+json")]
    MethodNotAllowed(ProblemDocument),
    /// The body did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    RequestTimeout(ProblemDocument),
    /// The body, a text or a picture is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDocument),
    /// The content type is not taken, or the bytes are no picture of a known format.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemDocument),
    /// The queue of the model is full: `Retry-After` says when to come back.
    #[response(status = 429, content_type = "application/problem+json")]
    TooManyRequests(ProblemDocument),
    /// There are too many header lines.
    #[response(status = 431, content_type = "application/problem+json")]
    TooManyHeaders(ProblemDocument),
    /// The server failed; its log has more under the request's id.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemDocument),
    /// There is no such function here.
    #[response(status = 501, content_type = "application/problem+json")]
    NotImplemented(ProblemDocument),
    /// The server or the model is not ready, or the server is shutting down.
    #[response(status = 503, content_type = "application/problem+json")]
    NotReady(ProblemDocument),
    /// The deadline passed.
    #[response(status = 504, content_type = "application/problem+json")]
    DeadlineExceeded(ProblemDocument),
}

/// The document as it is served.
static SERVED: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&openapi()).unwrap_or_default().into());

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operations",
    responses((status = 200, description = "The OpenAPI document", body = Object)),
)]
pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], SERVED.clone())
}

/// The API's document, collected from the routes themselves.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    router::routes().into_openapi()
}

/// The API's document as YAML: the contents of `openapi.yaml`.
///
/// # Errors
/// The document cannot be written as JSON first; none that this program makes.
pub fn openapi_yaml() -> Result<String, serde_json::Error> {
    yaml::from_json(&serde_json::to_string(&openapi())?)
}
