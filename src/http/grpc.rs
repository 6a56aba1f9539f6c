//! The Open Inference Protocol over gRPC, with the health and reflection services that gRPC's tools ask for.
//!
//! Calls are routed like every other request, through the same layers, but what they send is a stream of messages:
//! [`call`] reads it, message by message, within the door's limits. What a message asks is answered by the protocol's
//! core in [`oip`](super::oip), as over REST.

mod arrival;
mod call;
mod codec;
mod config;
mod contents;
mod health;
mod infer;
#[rustfmt::skip]
#[allow(clippy::pedantic, clippy::all, unreachable_pub, unused_qualifications, reason = "a generator wrote it")]
mod inference;
mod reflection;
mod repository;
mod service;
mod settings;
mod statistics;
mod status;
mod stream;

use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;

use self::inference::grpc_inference_service_server::SERVICE_NAME;
use super::problem::{Code, Problem};
use super::protocol::{Protocol, Refused};
use super::server::Gateway;

/// Calls: a service's name with its package, and a method.
pub(super) const PROTOCOL: Protocol = Protocol { routes, owns, probes: &PROBES, write };

const PROBES: [&str; 6] = [
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The methods of the inference service; each is a route, and so a label of metrics.
const METHODS: [&str; 20] = [
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "ModelStreamInfer",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryUnregister",
    "TraceSetting",
    "LogSettings",
];

/// They are documented by reflection, not by the document of the HTTP API.
fn routes() -> OpenApiRouter<Gateway> {
    let inference = METHODS.iter().fold(OpenApiRouter::new(), |routes, method| {
        routes.route(&format!("/{SERVICE_NAME}/{method}"), call::answered_by(service::server))
    });
    inference.merge(health::routes()).merge(reflection::routes())
}

/// Whether the path is a call's: `/package.Service/Method`.
pub(super) fn owns(path: &str) -> bool {
    let mut segments = path.split('/');
    let (Some(""), Some(service), Some(method), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return false;
    };
    let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let dotted = service.contains('.') && service.split('.').all(|part| !part.is_empty() && word(part));
    // A version of an HTTP API, or a file of a page, is no package.
    dotted
        && service.starts_with(|first: char| first.is_ascii_lowercase())
        && !method.is_empty()
        && word(method)
}

/// As a status in the header. The HTTP status is 200, as gRPC has it, unless there is no call to answer: then whoever
/// speaks HTTP only understands it as well.
fn write(problem: &Problem, _: &Refused<'_>) -> Response {
    let mut response: Response = status::of(problem).into_http();
    if matches!(problem.code, Code::NotFound | Code::MethodNotAllowed | Code::UnsupportedMediaType) {
        *response.status_mut() = problem.code.status();
    }
    response.extensions_mut().insert(super::protocol::Outcome(problem.code.status()));
    response
}

/// Whether the header says that the request is a call.
fn is_call(headers: &HeaderMap) -> bool {
    let Some(content) = headers.get(axum::http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let kind = content.split(';').next().unwrap_or_default().trim_ascii();
    matches!(kind, "application/grpc" | "application/grpc+proto")
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn calls_are_known_by_their_path() {
        for path in [
            "/inference.GRPCInferenceService/ModelInfer",
            "/grpc.health.v1.Health/Check",
            "/tensorflow.serving.PredictionService/Predict",
        ] {
            assert!(owns(path), "{path}");
        }
        for path in [
            "/",
            "/openapi.json",
            "/v1/models",
            "/v2/models/a.b",
            "/docs/swagger-ui.css",
            "/a.B/",
            "/a.B/C/D",
            "/a..B/C",
            "/.a/C",
            "/a.B/c.css",
            "//a.B/C",
        ] {
            assert!(!owns(path), "{path}");
        }
    }

    #[test]
    fn every_method_of_the_service_is_routed() {
        let code = include_str!("grpc/inference.rs");
        for method in METHODS {
            assert!(code.contains(&format!("\"/{SERVICE_NAME}/{method}\" => {{")), "{method}");
        }
        assert_eq!(code.matches(&format!("\"/{SERVICE_NAME}/")).count(), METHODS.len());
    }

    #[test]
    fn the_generated_code_is_of_this_proto() {
        let digest = Sha256::digest(include_str!("grpc/inference.proto"));
        let generated = include_str!("grpc/inference.rs");
        let said = format!("SHA-256 of `inference.proto`: {digest:x}\n");
        assert!(generated.contains(&said), "inference.proto was changed: run tests/protobuf");
    }
}
