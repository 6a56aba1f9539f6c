//! What the server is, whether it is alive and whether it is ready.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Errors;
use crate::http::oip::errors::invalid;
use crate::http::oip::metadata::{self, ServerMetadata};
use crate::http::problem::Problem;
use crate::http::server::Gateway;

/// What the server is.
#[utoipa::path(
    get,
    path = "/v2",
    tag = "open inference protocol",
    operation_id = "oip_server_metadata",
    responses((status = 200, description = "Name, version and extensions", body = ServerMetadata), Errors),
)]
pub(super) async fn server_metadata(State(gateway): State<Gateway>) -> Json<ServerMetadata> {
    Json(metadata::server(&gateway))
}

/// What the server is, at the path that the protocol's OpenAPI document gives.
#[utoipa::path(
    get,
    path = "/v2/",
    tag = "open inference protocol",
    operation_id = "oip_server_metadata_below",
    responses((status = 200, description = "Name, version and extensions", body = ServerMetadata), Errors),
)]
pub(super) async fn server_metadata_below(gateway: State<Gateway>) -> Json<ServerMetadata> {
    server_metadata(gateway).await
}

/// That the server is alive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OipLive)]
pub(super) struct Live {
    /// Always true.
    live: bool,
}

/// That the server is ready.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OipReady)]
pub(super) struct Ready {
    /// Always true: a server that is not ready answers with another status.
    ready: bool,
    /// Always true.
    live: bool,
}

/// Is the process alive?
#[utoipa::path(
    get,
    path = "/v2/health/live",
    tag = "open inference protocol",
    operation_id = "oip_server_live",
    responses((status = 200, description = "The process is alive", body = Live), Errors),
)]
pub(super) async fn live() -> Json<Live> {
    Json(Live { live: true })
}

/// May requests be sent here?
#[utoipa::path(
    get,
    path = "/v2/health/ready",
    tag = "open inference protocol",
    operation_id = "oip_server_ready",
    responses((status = 200, description = "Requests may be sent", body = Ready), Errors),
)]
pub(super) async fn ready(State(gateway): State<Gateway>) -> Result<Json<Ready>, Problem> {
    if metadata::server_ready(&gateway)? {
        Ok(Json(Ready { ready: true, live: true }))
    } else {
        Err(invalid("Server not ready"))
    }
}
