//! Reflection: the services and messages, for tools that have no copy of the protocol.

use std::convert::Infallible;

use axum::extract::Request;
use axum::routing::MethodRouter;
use tonic_reflection::server::Builder;
use tower::{Service, ServiceExt as _};
use utoipa_axum::router::OpenApiRouter;

use super::call::{Call, answered_by, until_draining};
use crate::http::server::Gateway;

/// Generated from `inference.proto`.
const DESCRIPTORS: &[u8] = include_bytes!("inference.descriptors");

/// Both versions of it: tools of before 2023 know the older one only.
pub(super) fn routes() -> OpenApiRouter<Gateway> {
    let routes = OpenApiRouter::new();
    let (Ok(v1), Ok(v1alpha)) = (descriptions().build_v1(), descriptions().build_v1alpha()) else {
        tracing::error!("the descriptors of the protocol cannot be read; there is no reflection");
        return routes;
    };
    routes
        .route("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", answers(v1))
        .route("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", answers(v1alpha))
}

/// A route of this service, whose calls have no end of their own.
fn answers<S>(service: S) -> MethodRouter<Gateway>
where
    S: Service<Request, Response = axum::http::Response<tonic::body::Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    answered_by(move |call: &Call| {
        let gateway = call.gateway.clone();
        service.clone().map_request(move |request: Request| until_draining(request, gateway.clone()))
    })
}

fn descriptions() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
