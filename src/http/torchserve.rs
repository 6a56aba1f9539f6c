//! `TorchServe`'s inference API: `/predictions/{name}`, `/ping`, the description of the API. Its management API is on the
//! admin listener alone.

mod inference;
pub(super) mod management;
mod registration;
mod workers;

use std::sync::Arc;

use axum::response::Response;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask;
use super::problem::{Code, Problem};
use super::protocol::{Protocol, Refused};
use super::refusing::Refusing;
use super::server::Gateway;
use super::typed_error::{self, TypedError};
use crate::name::Version;
use crate::pipeline::Pipeline;
use crate::registry::Entry;

/// Its inference API.
pub(super) const PROTOCOL: Protocol = Protocol {
    routes,
    owns: |path| path == "/ping" || path.starts_with("/predictions/") || path.starts_with("/explanations/"),
    probes: &["/ping"],
    write,
};

fn write(problem: &Problem, refused: &Refused<'_>) -> Response {
    match refused.path {
        "/ping" if problem.code == Code::NotReady => inference::unhealthy(),
        _ => typed_error::response(problem),
    }
}

type Refusals = Refusing<TypedError>;

#[derive(OpenApi)]
#[openapi(
    components(schemas(TypedError)),
    tags((name = "torchserve", description = "TorchServe's inference API")),
)]
struct Document;

fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(inference::ping))
        .routes(routes!(inference::predictions, inference::put_predictions))
        .routes(routes!(inference::version_predictions, inference::put_version_predictions))
        .routes(routes!(inference::explanations))
        .routes(routes!(inference::describe_api))
}

/// A version as `TorchServe` writes them: `1`, or `1.0` in its default way.
fn version(text: &str, model: &str) -> Result<Version, Problem> {
    let whole = text.strip_suffix(".0").unwrap_or(text);
    whole.parse().map_err(|_| no_version(text, model))
}

fn no_version(version: &str, model: &str) -> Problem {
    let version: String = version.chars().take(40).collect();
    let model: String = model.chars().take(100).collect();
    let detail = format!("Model version: {version} does not exist for model: {model}");
    Problem::new(Code::VersionNotFound, detail)
}

/// The version of a model that answers. A model that was unregistered is not found, as in `TorchServe`, until it is
/// registered again.
fn serving(
    gateway: &Gateway,
    model: &str,
    version: Option<Version>,
) -> Result<Arc<Entry<Pipeline>>, Problem> {
    ask::named(gateway, model, version).map_err(|problem| {
        let unregistered =
            || gateway.registry.models().iter().any(|known| known.unloaded && known.name.as_str() == model);
        if problem.code == Code::ModelNotReady && unregistered() {
            return in_its_words(Problem::new(Code::ModelNotFound, ""), model, version);
        }
        in_its_words(problem, model, version)
    })
}

/// The problem in the words of `TorchServe`, where it has words for it.
fn in_its_words(problem: Problem, model: &str, version: Option<Version>) -> Problem {
    match (problem.code, version) {
        (Code::ModelNotFound, _) => {
            let model: String = model.chars().take(100).collect();
            Problem::new(Code::ModelNotFound, format!("Model not found: {model}"))
        }
        (Code::VersionNotFound, Some(version)) => no_version(&version.to_string(), model),
        _ => problem,
    }
}
