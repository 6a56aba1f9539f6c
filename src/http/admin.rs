//! The admin listener's API: management of models and metrics, for operators only.

use axum::Router;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Code, Place, ProblemDocument};
use super::protocol::Protocol;
use super::server::Gateway;
use super::torchserve::management;
use super::{health, layers, native, yaml};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sconce admin",
        description = "Management of models and metrics, on the listener of http.admin_address.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemDocument, Code, Place)),
    servers((url = "/", description = "This server")),
    tags((name = "operations", description = "Health and metrics")),
)]
struct Preface;

fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(Preface::openapi())
        .merge((management::PROTOCOL.routes)())
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// The protocol that a path of the admin listener belongs to.
fn protocol_of(path: &str) -> Protocol {
    if (management::PROTOCOL.owns)(path) { management::PROTOCOL } else { native::PROTOCOL }
}

/// The admin listener's service, with every layer.
pub fn admin_router(gateway: &Gateway) -> Router {
    let (routes, _) = routes().with_state(gateway.clone()).split_for_parts();
    layers::around(routes, gateway, protocol_of)
}

/// The admin listener's document.
#[must_use]
pub fn admin_openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

/// The admin listener's document as YAML: the contents of `openapi-admin.yaml`.
///
/// # Errors
/// The document cannot be written as JSON first; none that this program makes.
pub fn admin_openapi_yaml() -> Result<String, serde_json::Error> {
    yaml::from_json(&serde_json::to_string(&admin_openapi())?)
}
