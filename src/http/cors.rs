//! Pages of other origins: a browser lets them ask this server and read its answers only where the server says so.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, Method, header};
use tower::{ServiceExt as _, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

use super::server::Cors;
use crate::limits::PREFLIGHT_SECONDS;

/// Headers of answers that scripts may read.
const EXPOSED: [HeaderName; 4] = [
    header::RETRY_AFTER,
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("inference-header-content-length"),
];

/// The whole service, with answers to browsers that ask for pages of other origins.
pub(super) fn around(service: Router, cors: &Cors) -> Router {
    let origins = match cors {
        Cors::Off => return service,
        Cors::Any => AllowOrigin::from(Any),
        Cors::Origins(origins) => AllowOrigin::list(origins.iter().cloned()),
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(Duration::from_secs(PREFLIGHT_SECONDS));
    let crossing = service.clone().layer(layer);
    // Requests of no page go past it: `OPTIONS /` of TorchServe's clients is none of a browser's questions.
    Router::new().fallback_service(service_fn(move |request: Request| {
        let of_page = request.headers().contains_key(header::ORIGIN);
        let answering = if of_page { crossing.clone() } else { service.clone() };
        async move { Ok::<_, Infallible>(answering.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    }))
}
