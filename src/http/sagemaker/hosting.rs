//! Invocations, and what batch transform may send at once.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::Refusals;
use super::attributes;
use crate::http::binary::Binary;
use crate::http::deadline::Deadline;
use crate::http::invocation::{Content, invoke};
use crate::http::problem::Problem;
use crate::http::server::{Gateway, Platform};
use crate::limits::MIB;

/// What batch transform may send.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ExecutionParameters {
    /// Requests at once.
    #[schema(example = 10)]
    max_concurrent_transforms: usize,
    /// Several records in one request: a line each.
    #[schema(example = "MultiRecord")]
    batch_strategy: &'static str,
    /// Mebibytes of a body.
    #[serde(rename = "MaxPayloadInMB")]
    #[schema(example = 10)]
    max_payload_in_mb: usize,
}

/// Mebibytes that all requests of batch transform may have together.
const TRANSFORM_MIB_MAX: usize = 100;
/// Requests of batch transform at once, however small.
const TRANSFORMS_MAX: usize = 64;

/// Answer an invocation.
///
/// The body is a text, a picture, JSON (`{"input": …}`, `{"inputs": …}` or `{"instances": […]}`, each answered in its
/// own wording) or a JSON value a line. Which model answers: `model=…` in the custom attributes, else `model` in the
/// body, else the only model, else the default one of the task. The `accept` header is not looked at.
#[utoipa::path(
    post,
    path = "/invocations",
    tag = "sagemaker",
    params((
        "x-amzn-sagemaker-custom-attributes" = Option<String>, Header,
        description = "`model=…,version=…,top_k=…`, and whatever the caller wants back: it is answered with it"
    )),
    request_body(content(
        (serde_json::Value = "application/json", example = json!({"inputs": "a gripping, funny and deeply moving film"})),
        (String = "application/jsonlines"),
        (String = "text/plain", example = "a gripping, funny and deeply moving film"),
        (Binary = "image/*"),
        (Binary = "application/x-image"),
    )),
    responses(
        (status = 200, description = "The answer, in the wording of the question", content(
            (serde_json::Value = "application/json"),
            (String = "application/jsonlines"),
        )),
        Refusals,
    ),
)]
pub(super) async fn invocations(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let choice = attributes::choice(&headers)?;
    let content = Content::of(&headers, body)?;
    let mut response = invoke(&gateway, choice, content, deadline.0).await?;
    if let Some(attributes) = headers.get(attributes::HEADER) {
        response.headers_mut().insert(attributes::HEADER, attributes.clone());
    }
    Ok(response)
}

/// What may batch transform send?
#[utoipa::path(
    get,
    path = "/execution-parameters",
    tag = "sagemaker",
    responses((status = 200, description = "What batch transform may send", body = ExecutionParameters), Refusals),
)]
pub(super) async fn execution_parameters(State(gateway): State<Gateway>) -> Json<ExecutionParameters> {
    Json(parameters(gateway.config.body_bytes_max, &gateway.config.platform))
}

fn parameters(body_bytes_max: usize, platform: &Platform) -> ExecutionParameters {
    // Whole mebibytes that certainly fit; a smaller bound than one cannot be said.
    let max_payload_in_mb = (body_bytes_max / MIB).clamp(1, TRANSFORM_MIB_MAX);
    let transforms = (TRANSFORM_MIB_MAX / max_payload_in_mb).clamp(1, TRANSFORMS_MAX);
    ExecutionParameters {
        max_concurrent_transforms: platform.transforms_max.unwrap_or(transforms),
        batch_strategy: if platform.single_record { "SingleRecord" } else { "MultiRecord" },
        max_payload_in_mb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_transforms_together_stay_within_the_platforms_bound() {
        for (bytes, transforms, payload) in
            [(10 * MIB, 10, 10), (6 * MIB + 1, 16, 6), (MIB, 64, 1), (5, 64, 1), (256 * MIB, 1, 100)]
        {
            let found = parameters(bytes, &Platform::default());
            assert_eq!((found.max_concurrent_transforms, found.max_payload_in_mb), (transforms, payload));
        }
        let written = serde_json::to_value(parameters(10 * MIB, &Platform::default())).unwrap();
        let expected = serde_json::json!({
            "MaxConcurrentTransforms": 10, "BatchStrategy": "MultiRecord", "MaxPayloadInMB": 10,
        });
        assert_eq!(written, expected);
        let said = Platform { transforms_max: Some(3), single_record: true, ..Platform::default() };
        let found = parameters(10 * MIB, &said);
        assert_eq!((found.max_concurrent_transforms, found.batch_strategy), (3, "SingleRecord"));
    }
}
