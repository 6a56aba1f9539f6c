//! What a body is said to be: the content type, read strictly, and what to say when it is none that is taken.

use axum::http::{HeaderMap, header};

use super::looks_like;
use crate::http::problem::{Code, Problem};

/// What a body is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// `application/json`, or anything that ends in `+json`.
    Json,
    /// `text/plain` in UTF-8.
    Text,
    /// `image/*`.
    Picture,
    /// `application/octet-stream`.
    Bytes,
    /// `multipart/form-data`.
    Multipart,
    /// There is no content type, as with `curl -T`.
    None,
    /// Something else.
    Other(String),
}

impl Content {
    /// Reads the `content-type` header.
    ///
    /// # Errors
    /// A text is said to be in another encoding than UTF-8, or the header cannot be read.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::None) };
        let unreadable =
            || Problem::new(Code::UnsupportedMediaType, "the content-type header cannot be read");
        let value = value.to_str().map_err(|_| unreadable())?.to_ascii_lowercase();
        let (essence, parameters) = value.split_once(';').unwrap_or((&value, ""));
        let content = match essence.trim() {
            "application/json" => Self::Json,
            "text/plain" => Self::Text,
            "application/octet-stream" => Self::Bytes,
            "multipart/form-data" => Self::Multipart,
            essence if essence.ends_with("+json") => Self::Json,
            essence if essence.starts_with("image/") => Self::Picture,
            essence => Self::Other(essence.chars().take(80).collect()),
        };
        if matches!(content, Self::Json | Self::Text) {
            check_charset(parameters)?;
        }
        Ok(content)
    }

    /// The problem of a body that is none of those expected, with what would help.
    pub(super) fn refused(&self, expected: &str, body: &[u8]) -> Problem {
        let found = match self {
            Self::None => "there is no content-type".to_owned(),
            Self::Other(essence) => format!("the content-type is {essence}"),
            Self::Json => "the content-type is application/json".to_owned(),
            Self::Text => "the content-type is text/plain".to_owned(),
            Self::Picture | Self::Bytes => "the body is said to be a picture or bytes".to_owned(),
            Self::Multipart => "the content-type is multipart/form-data".to_owned(),
        };
        let hint = match self {
            Self::Other(essence) if essence == "application/x-www-form-urlencoded" => {
                "; curl's -d says so by itself: add -H 'content-type: application/json'".to_owned()
            }
            _ => looks_like(body),
        };
        Problem::new(Code::UnsupportedMediaType, format!("{found}, expected {expected}{hint}"))
    }
}

fn check_charset(parameters: &str) -> Result<(), Problem> {
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    match charset.map(|charset| charset.trim_matches('"')) {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(()),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            let detail =
                format!("the charset is {shown}, expected utf-8: convert the text before sending it");
            Err(Problem::new(Code::UnsupportedMediaType, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Result<Content, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
        Content::of(&headers)
    }

    #[test]
    fn content_types_are_told_apart() {
        let cases = [
            ("application/json", Content::Json),
            ("Application/JSON; charset=UTF-8", Content::Json),
            ("application/vnd.x+json", Content::Json),
            ("text/plain", Content::Text),
            ("text/plain;charset=\"utf-8\"", Content::Text),
            ("image/png", Content::Picture),
            ("application/octet-stream", Content::Bytes),
            ("multipart/form-data; boundary=x", Content::Multipart),
            ("text/html", Content::Other("text/html".to_owned())),
            ("", Content::Other(String::new())),
        ];
        for (value, expected) in cases {
            assert_eq!(of(value).unwrap(), expected, "{value}");
        }
        assert_eq!(Content::of(&HeaderMap::new()).unwrap(), Content::None);
    }

    #[test]
    fn other_encodings_are_refused_by_name() {
        let problem = of("text/plain; charset=ISO-8859-1").unwrap_err();
        assert_eq!(problem.code, Code::UnsupportedMediaType);
        assert!(problem.detail.contains("iso-8859-1, expected utf-8"), "{}", problem.detail);
    }

    #[test]
    fn a_refusal_says_what_would_help() {
        let form = Content::Other("application/x-www-form-urlencoded".to_owned());
        let problem = form.refused("application/json or text/plain", b"{}");
        assert!(problem.detail.contains("-H 'content-type: application/json'"), "{}", problem.detail);
        let problem = Content::Text.refused("a picture", b"\x89PNG\r\n\x1a\n");
        assert!(problem.detail.ends_with("with content-type image/png"), "{}", problem.detail);
    }
}
