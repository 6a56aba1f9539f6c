//! What a body is: by its content type, and where that says nothing, by its bytes.

use axum::http::HeaderMap;
use bytes::Bytes;

use super::essence;
use crate::http::instance::read;
use crate::http::problem::{Code, Problem};
use crate::value::Task;

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Content {
    /// One JSON value.
    Json(Bytes),
    /// A JSON value a line.
    Lines(Bytes),
    /// One input as it is.
    Bytes {
        /// The input.
        bytes: Bytes,
        /// The kind of model that it is meant for.
        task: Task,
    },
}

impl Content {
    /// What this body is.
    ///
    /// # Errors
    /// It is empty, or said to be something that holds no input.
    pub(in crate::http) fn of(headers: &HeaderMap, body: Bytes) -> Result<Self, Problem> {
        let essence = essence(headers).unwrap_or_default();
        let content = match essence.as_str() {
            "application/json" => Self::Json(body),
            "application/jsonlines"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/x-ndjson"
            | "application/ndjson" => Self::Lines(body),
            "text/plain" => Self::Bytes { bytes: body, task: Task::TextClassification },
            // `image/*`, and what SageMaker's examples and `curl -T` send.
            "" | "application/octet-stream" | "application/x-image" | "binary/octet-stream" => guessed(body),
            other if other.starts_with("image/") => {
                Self::Bytes { bytes: body, task: Task::ImageClassification }
            }
            other if other.ends_with("+json") => Self::Json(body),
            other => return Err(refused(other)),
        };
        match &content {
            Self::Bytes { bytes, .. } if bytes.is_empty() => {
                let detail = "the body is empty: expected a text, a picture or JSON";
                Err(Problem::new(Code::InvalidRequest, detail))
            }
            _ => Ok(content),
        }
    }
}

fn guessed(bytes: Bytes) -> Content {
    let task = read::of_bytes(&bytes);
    Content::Bytes { bytes, task }
}

fn refused(essence: &str) -> Problem {
    let shown: String = essence.chars().take(80).collect();
    let hint = if essence == "application/x-www-form-urlencoded" {
        "; curl's -d says so by itself: add -H 'content-type: application/json' or 'text/plain'"
    } else {
        ""
    };
    let detail = format!(
        "the content-type is {shown}, expected application/json, application/jsonlines, text/plain, image/* or \
         application/octet-stream{hint}"
    );
    Problem::new(Code::UnsupportedMediaType, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str, body: &'static [u8]) -> Result<Content, Problem> {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert("content-type", content_type.parse().unwrap());
        }
        Content::of(&headers, Bytes::from_static(body))
    }

    #[test]
    fn the_type_decides_and_without_one_the_bytes_do() {
        const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
        let bytes = |bytes: &'static [u8], task| Ok(Content::Bytes { bytes: bytes.into(), task });
        let (text, picture) = (Task::TextClassification, Task::ImageClassification);
        assert_eq!(of("Application/JSON; charset=utf-8", b"{}"), Ok(Content::Json("{}".into())));
        assert_eq!(of("application/vnd.x+json", b"{}"), Ok(Content::Json("{}".into())));
        assert_eq!(of("application/jsonlines", b"{}"), Ok(Content::Lines("{}".into())));
        assert_eq!(of("text/plain", b"a"), bytes(b"a", text));
        assert_eq!(of("image/png", b"a"), bytes(b"a", picture));
        assert_eq!(of("application/x-image", PNG), bytes(PNG, picture));
        assert_eq!(of("", PNG), bytes(PNG, picture));
        assert_eq!(of("", b"a text"), bytes(b"a text", text));
    }

    #[test]
    fn what_holds_no_input_is_refused() {
        let problem = of("application/x-www-form-urlencoded", b"a").unwrap_err();
        assert_eq!(problem.code, Code::UnsupportedMediaType);
        assert!(problem.detail.contains("add -H"), "{}", problem.detail);
        assert_eq!(of("text/html", b"a").unwrap_err().code, Code::UnsupportedMediaType);
        assert_eq!(of("text/plain", b"").unwrap_err().code, Code::InvalidRequest);
    }
}
