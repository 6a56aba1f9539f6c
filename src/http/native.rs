//! Sconce's own protocol: texts and pictures in, labels with scores out, a catalogue of models, problem documents.

mod answer;
mod catalogue;
mod classify;
mod extract;
mod question;

pub(super) use self::answer::Classification;

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::protocol::{Protocol, Refused};
use super::server::Gateway;

/// It owns every path that no other protocol does.
pub(super) const PROTOCOL: Protocol =
    Protocol { routes, owns: |_| true, probes: &["/health/live", "/health/ready", "/metrics"], write };

fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(classify::classify_text))
        .routes(routes!(classify::classify_picture, classify::upload_picture))
        .routes(routes!(catalogue::list_models))
        .routes(routes!(catalogue::show_model))
}

fn write(problem: &Problem, refused: &Refused<'_>) -> Response {
    let document = problem.document(refused.request_id, refused.path);
    let mut response = (problem.code.status(), Json(document)).into_response();
    let content_type = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
