//! Inference.

use std::time::Instant;

use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;

use super::body::InferBody;
use super::read::read;
use super::write::{AnswerBody, write};
use super::{Errors, digits};
use crate::http::binary::Binary;
use crate::http::deadline::Deadline;
use crate::http::oip::model;
use crate::http::problem::Problem;
use crate::http::server::Gateway;

/// Infer.
///
/// Text models take `text` (BYTES), or `input_ids` (INT64) with or without `attention_mask`; image models take `image`
/// (BYTES, an encoded picture), `pixels` (UINT8, rows × height × width × channels) or `tensor` (FP32, as the network
/// sees it). Both give `scores`, `label` and `score`. Tensors may come and go as bytes after the JSON (the binary
/// tensor extension); with `inference-header-content-length: 0` the body is the bytes of one text or picture.
#[utoipa::path(
    post,
    path = "/v2/models/{model}/infer",
    tag = "open inference protocol",
    operation_id = "oip_infer",
    params(
        ("model" = String, Path, description = "The model's name", example = "sentiment"),
        ("inference-header-content-length" = Option<u64>, Header, description = "How many bytes of the body are JSON"),
    ),
    request_body(content((InferBody = "application/json"), (Binary = "application/octet-stream"))),
    responses(
        (status = 200, description = "The outputs", content(
            (AnswerBody<'static> = "application/json"),
            (Binary = "application/octet-stream"),
        )),
        Errors,
    ),
)]
pub(super) async fn infer(
    State(gateway): State<Gateway>,
    Path(model): Path<String>,
    Extension(deadline): Extension<Deadline>,
    (headers, body): (HeaderMap, Bytes),
) -> Result<Response, Problem> {
    answer(&gateway, (&model, ""), deadline.0, (&headers, &body)).await
}

/// Infer with a version of a model.
#[utoipa::path(
    post,
    path = "/v2/models/{model}/versions/{version}/infer",
    tag = "open inference protocol",
    operation_id = "oip_version_infer",
    params(
        ("model" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = u32, Path, description = "The version", example = 1),
        ("inference-header-content-length" = Option<u64>, Header, description = "How many bytes of the body are JSON"),
    ),
    request_body(content((InferBody = "application/json"), (Binary = "application/octet-stream"))),
    responses(
        (status = 200, description = "The outputs", content(
            (AnswerBody<'static> = "application/json"),
            (Binary = "application/octet-stream"),
        )),
        Errors,
    ),
)]
pub(super) async fn infer_version(
    State(gateway): State<Gateway>,
    Path((model, version)): Path<(String, String)>,
    Extension(deadline): Extension<Deadline>,
    (headers, body): (HeaderMap, Bytes),
) -> Result<Response, Problem> {
    answer(&gateway, (&model, digits(&version)?), deadline.0, (&headers, &body)).await
}

async fn answer(
    gateway: &Gateway,
    model: (&str, &str),
    deadline: Instant,
    (headers, body): (&HeaderMap, &Bytes),
) -> Result<Response, Problem> {
    // A request for a model that is not there is told so, whatever its body.
    model::Model::find(gateway, model.0, model.1)?;
    let (request, binary) = read(model, headers, body)?;
    let response = model::infer(gateway, request, deadline).await?;
    write(&response, &binary)
}
