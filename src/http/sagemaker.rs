//! Amazon `SageMaker`'s hosting contract: `/invocations`, batch transform's `/execution-parameters`, the multi-model
//! contract, and `/ping`, which is `TorchServe`'s as well and stands there.

mod attributes;
mod hosting;
mod multi_model;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::protocol::Protocol;
use super::refusing::Refusing;
use super::server::Gateway;
use super::typed_error::{self, TypedError};

/// It owns its paths.
pub(super) const PROTOCOL: Protocol = Protocol {
    routes,
    owns: |path| {
        matches!(path, "/invocations" | "/execution-parameters" | "/models") || path.starts_with("/models/")
    },
    probes: &[],
    write: |problem, _| typed_error::response(problem),
};

type Refusals = Refusing<TypedError>;

#[derive(OpenApi)]
#[openapi(tags((name = "sagemaker", description = "Amazon SageMaker's hosting contract")))]
struct Document;

fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(hosting::invocations))
        .routes(routes!(hosting::execution_parameters))
        .routes(routes!(multi_model::load_model, multi_model::loaded_models))
        .routes(routes!(multi_model::loaded_model, multi_model::unload_model))
        .routes(routes!(multi_model::invoke_model))
}
