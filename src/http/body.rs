//! Receiving a body: whole, within its size and its time, before anything else happens to the request.
//!
//! Every route of ours needs the whole of its body, and the size is bounded, so one place receives it.

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::compression::{Coding, decoded};
use super::problem::{Code, Problem};
use super::router::frames_messages;
use super::server::Config;
use crate::limits::HEADERS_MAX;

/// Refuses a request with too many header lines.
///
/// # Errors
/// How many there are, and how many are taken.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let count = headers.len();
    if count > HEADERS_MAX {
        let detail = format!("the request has {count} header lines, at most {HEADERS_MAX} are taken");
        return Err(Problem::new(Code::TooManyHeaders, detail));
    }
    Ok(())
}

/// The request with the whole of its body, not compressed.
///
/// # Errors
/// The refusal as a response.
pub(super) async fn receive(request: Request, config: &Config) -> Result<Request, Response> {
    if request.body().is_end_stream() || frames_messages(request.uri().path()) {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    let Some(coding) = Coding::of(&parts.headers) else { return Err(unknown_coding()) };
    let mut body = received(&parts.headers, body, config).await.map_err(Problem::into_response)?;
    if coding != Coding::Identity {
        body = decoded(coding, body, config.body_bytes_max).await.map_err(Problem::into_response)?;
        parts.headers.remove(header::CONTENT_ENCODING);
        parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// A refusal that says which codings are taken.
fn unknown_coding() -> Response {
    let detail = "the body's content-encoding is none that is taken: expected gzip or deflate, or none";
    let mut response = Problem::new(Code::UnsupportedMediaType, detail).into_response();
    let taken = HeaderValue::from_static("gzip, deflate");
    response.headers_mut().insert(header::ACCEPT_ENCODING, taken);
    response
}

async fn received(headers: &HeaderMap, body: Body, config: &Config) -> Result<Bytes, Problem> {
    let bytes_max = config.body_bytes_max;
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(bytes) = announced.filter(|bytes| *bytes > bytes_max as u64) {
        let detail = format!("the body has {bytes} bytes, at most {bytes_max} are taken");
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    let collected = tokio::time::timeout(config.body_timeout, Limited::new(body, bytes_max).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("the body has more than the {bytes_max} bytes that are taken");
            Err(Problem::new(Code::BodyTooLarge, detail))
        }
        Ok(Err(_)) => Err(Problem::new(Code::IncompleteBody, "the body broke off before its end")),
        Err(_) => {
            let detail = format!("the body did not arrive within {} ms", config.body_timeout.as_millis());
            Err(Problem::new(Code::BodyTimeout, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;

    use super::*;
    use crate::http::server::tests::config;

    async fn receive(announced: Option<&str>, body: Body) -> Result<Bytes, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(announced) = announced {
            headers.insert(header::CONTENT_LENGTH, announced.parse().unwrap());
        }
        let config = Config { body_bytes_max: 8, body_timeout: Duration::from_millis(50), ..config() };
        received(&headers, body, &config).await
    }

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<_> = sizes.iter().map(|size| Ok::<_, std::io::Error>("x".repeat(*size))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn the_bound_is_exact_with_and_without_an_announced_length() {
        assert_eq!(receive(Some("8"), Body::from("12345678")).await.unwrap(), "12345678");
        assert_eq!(receive(None, chunks(&[4, 4])).await.unwrap().len(), 8);
        let announced = receive(Some("9"), Body::from("123456789")).await.unwrap_err();
        assert_eq!(announced.code, Code::BodyTooLarge);
        assert_eq!(announced.detail, "the body has 9 bytes, at most 8 are taken");
        assert_eq!(receive(None, chunks(&[4, 5])).await.unwrap_err().code, Code::BodyTooLarge);
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_given_up() {
        // Something at every turn: it is the whole body that has the time, not each of its parts.
        let trickle = stream::unfold((), |()| async {
            tokio::task::yield_now().await;
            Some((Ok::<_, std::io::Error>(""), ()))
        });
        let problem = receive(None, Body::from_stream(trickle)).await.unwrap_err();
        assert_eq!(problem.code, Code::BodyTimeout);
        assert_eq!(problem.detail, "the body did not arrive within 50 ms");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_said_to() {
        let broken = stream::iter([Ok("x"), Err(std::io::Error::other("reset"))]);
        let problem = receive(None, Body::from_stream(broken)).await.unwrap_err();
        assert_eq!(problem.code, Code::IncompleteBody);
    }
}
