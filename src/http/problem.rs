//! Problem documents (RFC 9457): the closed list of codes, the one table that gives each its status, and the document.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What kind of problem it is; programs decide by this. The list is closed: a new code is a new version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    /// The body is not UTF-8.
    InvalidUtf8,
    /// The body is not JSON.
    InvalidJson,
    /// The JSON is nested too deep.
    JsonTooDeep,
    /// A field is missing, unknown, repeated or of the wrong kind.
    InvalidRequest,
    /// A query parameter is unknown, repeated or cannot be read.
    InvalidParameter,
    /// A header cannot be read.
    InvalidHeader,
    /// The multipart body cannot be read.
    InvalidMultipart,
    /// The body broke off.
    IncompleteBody,
    /// More inputs than one request may bring.
    TooManyInputs,
    /// No model was named and several could answer.
    ModelRequired,
    /// The model named does another task.
    WrongTask,
    /// The text has no character but white space.
    EmptyText,
    /// The text cannot be tokenized.
    UnreadableText,
    /// The text is not base64.
    InvalidBase64,
    /// The picture is damaged or cut off.
    DamagedPicture,
    /// The network refuses this input.
    InputRefused,
    /// There is nothing at this path.
    NotFound,
    /// There is no model of this name.
    ModelNotFound,
    /// The model has no such version.
    VersionNotFound,
    /// The path is there, for other methods.
    MethodNotAllowed,
    /// The model that is to be loaded is loaded already.
    ModelExists,
    /// The model that is to be loaded is refused.
    ModelRefused,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is larger than this server takes.
    BodyTooLarge,
    /// The text is longer than any that is taken.
    TextTooLong,
    /// The picture has more pixels than are taken.
    PictureTooLarge,
    /// The content type is none that this path takes.
    UnsupportedMediaType,
    /// The bytes are no picture of a known format.
    UnsupportedPicture,
    /// The queue of the model is full.
    QueueFull,
    /// More header lines than are taken.
    TooManyHeaders,
    /// The server is at fault.
    Internal,
    /// The network's answer is not a finite number.
    NonFiniteOutput,
    /// This server does not do what was asked.
    NotSupported,
    /// The server is not ready to answer.
    NotReady,
    /// The model exists and does not answer.
    ModelNotReady,
    /// The server is shutting down.
    ShuttingDown,
    /// The deadline passed.
    DeadlineExceeded,
    /// There is no room for the model that is to be loaded.
    NoRoom,
}

impl Code {
    /// The one table: status, and the title that goes with the code.
    fn row(self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidUtf8 => (S::BAD_REQUEST, "Invalid UTF-8"),
            Self::InvalidJson => (S::BAD_REQUEST, "Invalid JSON"),
            Self::JsonTooDeep => (S::BAD_REQUEST, "JSON too deep"),
            Self::InvalidRequest => (S::BAD_REQUEST, "Invalid request"),
            Self::InvalidParameter => (S::BAD_REQUEST, "Invalid parameter"),
            Self::InvalidHeader => (S::BAD_REQUEST, "Invalid header"),
            Self::InvalidMultipart => (S::BAD_REQUEST, "Invalid multipart body"),
            Self::IncompleteBody => (S::BAD_REQUEST, "Incomplete body"),
            Self::TooManyInputs => (S::BAD_REQUEST, "Too many inputs"),
            Self::ModelRequired => (S::BAD_REQUEST, "Model required"),
            Self::WrongTask => (S::BAD_REQUEST, "Wrong task"),
            Self::EmptyText => (S::BAD_REQUEST, "Empty text"),
            Self::UnreadableText => (S::BAD_REQUEST, "Unreadable text"),
            Self::InvalidBase64 => (S::BAD_REQUEST, "Invalid base64"),
            Self::DamagedPicture => (S::BAD_REQUEST, "Damaged picture"),
            Self::InputRefused => (S::BAD_REQUEST, "Input refused"),
            Self::NotFound => (S::NOT_FOUND, "Not found"),
            Self::ModelNotFound => (S::NOT_FOUND, "Model not found"),
            Self::VersionNotFound => (S::NOT_FOUND, "Version not found"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "Method not allowed"),
            Self::ModelExists => (S::CONFLICT, "Model exists"),
            Self::ModelRefused => (S::BAD_REQUEST, "Model refused"),
            Self::BodyTimeout => (S::REQUEST_TIMEOUT, "Body timeout"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "Body too large"),
            Self::TextTooLong => (S::PAYLOAD_TOO_LARGE, "Text too long"),
            Self::PictureTooLarge => (S::PAYLOAD_TOO_LARGE, "Picture too large"),
            Self::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type"),
            Self::UnsupportedPicture => (S::UNSUPPORTED_MEDIA_TYPE, "Unsupported picture"),
            Self::QueueFull => (S::TOO_MANY_REQUESTS, "Queue full"),
            Self::TooManyHeaders => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "Too many headers"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "Internal error"),
            Self::NonFiniteOutput => (S::INTERNAL_SERVER_ERROR, "Non-finite output"),
            Self::NotSupported => (S::NOT_IMPLEMENTED, "Not supported"),
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "Not ready"),
            Self::ModelNotReady => (S::SERVICE_UNAVAILABLE, "Model not ready"),
            Self::ShuttingDown => (S::SERVICE_UNAVAILABLE, "Shutting down"),
            Self::DeadlineExceeded => (S::GATEWAY_TIMEOUT, "Deadline exceeded"),
            Self::NoRoom => (S::INSUFFICIENT_STORAGE, "No room"),
        }
    }

    /// The status that goes with the code.
    pub(super) fn status(self) -> StatusCode {
        self.row().0
    }

    /// The code of an answer that axum made by itself, from its status.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::BodyTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            status if status.is_client_error() => Self::InvalidRequest,
            _ => Self::Internal,
        }
    }

    /// Whether the server, not the input, is why there is no answer: the same input may be answered later.
    pub(super) fn is_about_the_server(self) -> bool {
        let status = self.status();
        status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
    }

    /// The code as it is written.
    pub(super) fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// Why a request, or one input of it, has no answer. As a response it is rendered by `layers`, which knows the
/// request's id and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// What kind.
    pub(super) code: Code,
    /// What was wrong, where, what was expected, what to do.
    pub(super) detail: String,
    /// The places that are at fault.
    pub(super) errors: Vec<Place>,
    /// When trying again may help.
    pub(super) retry_after: Option<Duration>,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Place {
    /// The place in the JSON body (RFC 6901), when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/input/2")]
    pub(super) pointer: Option<String>,
    /// What is wrong there.
    pub(super) detail: String,
}

impl Problem {
    /// A problem of this kind.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// The same, at a place of the JSON body.
    pub(super) fn at(mut self, pointer: impl Into<String>) -> Self {
        let detail = self.detail.clone();
        self.errors.push(Place { pointer: Some(pointer.into()), detail });
        self
    }

    /// The document for a request with this id and path.
    pub(super) fn document(&self, request_id: &str, path: &str) -> ProblemDocument {
        let (status, title) = self.code.row();
        ProblemDocument {
            kind: format!("urn:sconce:problem:{}", self.code.name()),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            instance: path.to_owned(),
            code: self.code,
            request_id: request_id.to_owned(),
            retry_after_ms: self.retry_after.map(milliseconds),
            errors: self.errors.clone(),
            error: None,
            error_type: None,
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Whole seconds for `Retry-After`, rounded up: a caller that keeps to them never comes too early.
fn retry_after_seconds(duration: Duration) -> u64 {
    milliseconds(duration).div_ceil(1000)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if let Some(retry_after) = self.retry_after {
            let seconds = HeaderValue::from(retry_after_seconds(retry_after));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// A name for the kind of problem; it says the same as `code`.
    #[serde(rename = "type")]
    #[schema(example = "urn:sconce:problem:model_not_found")]
    kind: String,
    /// The kind of problem in words.
    #[schema(example = "Model not found")]
    title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What was wrong, where, what was expected, what to do.
    #[schema(
        example = "there is no model \"sentimnt\"; did you mean \"sentiment\"? models: intents, sentiment"
    )]
    detail: String,
    /// The path of the request.
    #[schema(example = "/v1/text/classify")]
    instance: String,
    /// What kind of problem it is; programs decide by this.
    code: Code,
    /// The request's id, as in the `x-request-id` header and in the server's log.
    #[schema(example = "3f9c2a51d07be864")]
    request_id: String,
    /// Milliseconds after which trying again may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// The places at fault, where they are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Place>,
    /// What was wrong, in the words of another protocol that has the same path.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What kind of problem that is to the other protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'static str>,
}

impl ProblemDocument {
    /// The same for clients of another protocol that has the same path and reads `error`.
    pub(super) fn with_error(self, error: String) -> Self {
        Self { error: Some(error), ..self }
    }

    /// The same for those that read `error_type` as well.
    pub(super) fn with_error_type(self, error_type: &'static str) -> Self {
        Self { error_type: Some(error_type), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_every_member_of_the_standard_and_ours() {
        let mut problem = Problem::new(Code::QueueFull, "the queue is full").at("/input/1");
        problem.retry_after = Some(Duration::from_millis(1500));
        let document = serde_json::to_value(problem.document("id-1", "/v1/text/classify")).unwrap();
        let expected = serde_json::json!({
            "type": "urn:sconce:problem:queue_full", "title": "Queue full", "status": 429,
            "detail": "the queue is full", "instance": "/v1/text/classify", "code": "queue_full",
            "request_id": "id-1", "retry_after_ms": 1500,
            "errors": [{"pointer": "/input/1", "detail": "the queue is full"}],
        });
        assert_eq!(document, expected);
        let response = problem.into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (429, &"2".parse().unwrap())
        );
    }

    #[test]
    fn retry_after_is_never_too_early() {
        for (wait_ms, seconds) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (2500, 3)] {
            assert_eq!(retry_after_seconds(Duration::from_millis(wait_ms)), seconds, "{wait_ms} ms");
        }
    }

    #[test]
    fn the_server_is_to_blame_for_what_may_work_later() {
        for code in [Code::QueueFull, Code::DeadlineExceeded, Code::ShuttingDown, Code::NonFiniteOutput] {
            assert!(code.is_about_the_server(), "{code:?}");
        }
        for code in [Code::EmptyText, Code::DamagedPicture, Code::PictureTooLarge, Code::TextTooLong] {
            assert!(!code.is_about_the_server(), "{code:?}");
        }
    }
}
