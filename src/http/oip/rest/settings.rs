//! Logging and trace settings.

use axum::Json;
use axum::extract::{Path, State};
use bytes::Bytes;

use super::Errors;
use super::repository::members;
use crate::http::oip::settings::{self, LogSettings, TraceSettings};
use crate::http::problem::Problem;
use crate::http::server::Gateway;

/// What is logged.
#[utoipa::path(
    get,
    path = "/v2/logging",
    tag = "open inference protocol",
    operation_id = "oip_logging",
    responses((status = 200, description = "The settings", body = LogSettings), Errors),
)]
pub(super) async fn show_logging() -> Json<LogSettings> {
    Json(settings::log_settings())
}

/// Change what is logged.
///
/// `http.model_control` allows it.
#[utoipa::path(
    post,
    path = "/v2/logging",
    tag = "open inference protocol",
    operation_id = "oip_change_logging",
    request_body = Option<Object>,
    responses((status = 200, description = "The settings from now on", body = LogSettings), Errors),
)]
pub(super) async fn change_logging(
    State(gateway): State<Gateway>,
    body: Bytes,
) -> Result<Json<LogSettings>, Problem> {
    settings::update_log(&gateway, &members(&body)?).map(Json)
}

/// How requests are traced.
#[utoipa::path(
    get,
    path = "/v2/trace/setting",
    tag = "open inference protocol",
    operation_id = "oip_trace",
    responses((status = 200, description = "The settings", body = TraceSettings), Errors),
)]
pub(super) async fn show_trace(State(gateway): State<Gateway>) -> Result<Json<TraceSettings>, Problem> {
    settings::trace_settings(&gateway, "").map(Json)
}

/// Change how requests are traced.
///
/// Tracing cannot be switched on.
#[utoipa::path(
    post,
    path = "/v2/trace/setting",
    tag = "open inference protocol",
    operation_id = "oip_change_trace",
    request_body = Option<Object>,
    responses((status = 200, description = "The settings from now on", body = TraceSettings), Errors),
)]
pub(super) async fn change_trace(
    State(gateway): State<Gateway>,
    body: Bytes,
) -> Result<Json<TraceSettings>, Problem> {
    settings::update_trace(&gateway, "", &members(&body)?).map(Json)
}

/// How requests to a model are traced.
#[utoipa::path(
    get,
    path = "/v2/models/{model}/trace/setting",
    tag = "open inference protocol",
    operation_id = "oip_model_trace",
    params(("model" = String, Path, description = "The model's name", example = "sentiment")),
    responses((status = 200, description = "The settings", body = TraceSettings), Errors),
)]
pub(super) async fn show_model_trace(
    State(gateway): State<Gateway>,
    Path(model): Path<String>,
) -> Result<Json<TraceSettings>, Problem> {
    settings::trace_settings(&gateway, &model).map(Json)
}

/// Change how requests to a model are traced.
///
/// Tracing cannot be switched on.
#[utoipa::path(
    post,
    path = "/v2/models/{model}/trace/setting",
    tag = "open inference protocol",
    operation_id = "oip_change_model_trace",
    params(("model" = String, Path, description = "The model's name", example = "sentiment")),
    request_body = Option<Object>,
    responses((status = 200, description = "The settings from now on", body = TraceSettings), Errors),
)]
pub(super) async fn change_model_trace(
    State(gateway): State<Gateway>,
    Path(model): Path<String>,
    body: Bytes,
) -> Result<Json<TraceSettings>, Problem> {
    settings::update_trace(&gateway, &model, &members(&body)?).map(Json)
}
