//! The whole API on one screen. A routed handler is a documented handler: there is no second list.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::protocol::Protocol;
use super::server::Gateway;
use super::{
    azure, cors, document, front, grpc, health, layers, native, oip, sagemaker, tei, tfs, torchserve, vertex,
};

/// The protocols, a line each; the first that owns a path answers for it.
const PROTOCOLS: &[Protocol] = &[
    grpc::PROTOCOL,
    oip::PROTOCOL,
    tfs::PROTOCOL,
    torchserve::PROTOCOL,
    tei::PROTOCOL,
    sagemaker::PROTOCOL,
    vertex::PROTOCOL,
    azure::PROTOCOL,
    native::PROTOCOL,
];

/// Every route of ours, with its documentation: those of the protocols, and those that belong to none.
pub(super) fn routes() -> OpenApiRouter<Gateway> {
    let preface = OpenApiRouter::with_openapi(document::preface());
    PROTOCOLS
        .iter()
        .fold(preface, |routes, protocol| routes.merge((protocol.routes)()))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(document::document))
        .routes(routes!(front::front))
}

/// The protocol that a path belongs to.
fn protocol_of(path: &str) -> Protocol {
    PROTOCOLS.iter().find(|protocol| (protocol.owns)(path)).copied().unwrap_or(native::PROTOCOL)
}

/// Whether what is sent to a path is messages in a frame of their own, which its protocol reads within the same limits.
pub(super) fn frames_messages(path: &str) -> bool {
    grpc::owns(path)
}

/// The whole service, with every layer.
pub fn router(gateway: &Gateway) -> Router {
    let (routes, _) = routes().with_state(gateway.clone()).split_for_parts();
    let known = routes.clone();
    let routes = routes.fallback(move |request: Request| tfs::in_any_case(known.clone(), request));
    let service = layers::around(routes.merge(swagger_ui()), gateway, protocol_of);
    let service = cors::around(service, &gateway.config.cors);
    vertex::at_chosen_routes(service, &gateway.config.platform)
}

/// The documentation as a page, from this binary: it fetches nothing from anywhere else.
fn swagger_ui() -> Router {
    let config = Config::from(document::PATH).try_it_out_enabled(true).display_request_duration(true);
    Router::from(SwaggerUi::new("/docs").config(config)).layer(axum::middleware::map_response(restrict))
}

/// The page may run its own scripts and ask this server, nothing else. Its styles are partly in its markup.
async fn restrict(mut response: Response) -> Response {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
                  font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";
    let name = HeaderName::from_static("content-security-policy");
    response.headers_mut().insert(name, HeaderValue::from_static(policy));
    response
}
