//! What every call goes through: it is one, its deadline, its limits, and what is told of it.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use futures_util::StreamExt as _;
use tonic::codec::CompressionEncoding;
use tonic::{Code as StatusOf, Status};
use tower::Service;

use super::arrival::Arriving;
use super::{is_call, status};
use crate::http::deadline::Deadline;
use crate::http::problem::{Code, Problem};
use crate::http::protocol::Outcome;
use crate::http::server::{Config, Gateway};
use crate::limits::DRAIN_LOOK_MS;

/// The header in which a caller says how long it waits.
const TIMEOUT: &str = "grpc-timeout";

/// What a service of tonic answers with.
type CallResponse = axum::http::Response<tonic::body::Body>;

/// What a service is made of for one call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The door's.
    pub(super) gateway: Gateway,
    /// How the answer may be compressed: as the request is, for a caller that compresses is short of bandwidth, and
    /// all others say that they could take it.
    pub(super) compression: Option<CompressionEncoding>,
}

impl Call {
    /// Bytes of one message, compressed or not.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.gateway.config.body_bytes_max
    }
}

/// A route whose calls are answered by the service that is made for each of them.
pub(super) fn answered_by<F, S>(service: F) -> MethodRouter<Gateway>
where
    F: Fn(&Call) -> S + Clone + Send + Sync + 'static,
    S: Service<Request, Response = CallResponse, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    post(async move |State(gateway): State<Gateway>, request: Request| {
        let call = Call { compression: compression(request.headers()), gateway };
        answer(&call, request, service(&call)).await
    })
}

async fn answer<S>(call: &Call, mut request: Request, mut service: S) -> Result<Response, Problem>
where
    S: Service<Request, Response = CallResponse, Error = Infallible>,
{
    if !is_call(request.headers()) {
        let detail = "expected a gRPC call, whose content type is application/grpc";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let allowed = allowed(request.headers(), &call.gateway.config)?;
    let deadline = Instant::now() + allowed;
    request.extensions_mut().insert(Deadline(deadline));
    let time = call.gateway.config.body_timeout;
    let request = request.map(|body| axum::body::Body::new(Arriving::new(body, time)));
    // The time is for calls of one message; a stream has begun to be answered at once.
    match tokio::time::timeout_at(deadline.into(), service.call(request)).await {
        Ok(Ok(response)) => told(response, call.message_bytes_max()),
        Err(_) => {
            let detail = format!("there was no answer within {} ms", allowed.as_millis());
            Err(Problem::new(Code::DeadlineExceeded, detail))
        }
    }
}

fn compression(headers: &HeaderMap) -> Option<CompressionEncoding> {
    let gzip = headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
    gzip.then_some(CompressionEncoding::Gzip)
}

/// The answer with what came of the call, which its HTTP status does not say.
fn told(response: CallResponse, bytes_max: usize) -> Result<Response, Problem> {
    let mut response = response.map(axum::body::Body::new);
    let code = response.headers().get(Status::GRPC_STATUS).map(|code| StatusOf::from_bytes(code.as_bytes()));
    match code {
        // Nothing else is out of range; to clients of other servers this is a want of resources.
        Some(StatusOf::OutOfRange) => {
            let detail = format!("the message has more than the {bytes_max} bytes that are taken");
            Err(Problem::new(Code::BodyTooLarge, detail))
        }
        Some(code) => {
            response.extensions_mut().insert(Outcome(status::outcome(code)));
            Ok(response)
        }
        None => Ok(response),
    }
}

/// The time that the call may take: what its caller waits, at most what is configured.
fn allowed(headers: &HeaderMap, config: &Config) -> Result<Duration, Problem> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(config.deadline_default) };
    let timeout = value.to_str().ok().and_then(timeout).ok_or_else(|| {
        let shown: String = String::from_utf8_lossy(value.as_bytes()).chars().take(40).collect();
        let detail = format!("{TIMEOUT} is {shown:?}, expected up to 8 digits and one of H, M, S, m, u, n");
        Problem::new(Code::InvalidHeader, detail)
    })?;
    Ok(timeout.min(config.deadline_max))
}

/// `250m` is 250 milliseconds.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Comes when the server drains: streams that have no end of their own end then.
pub(super) async fn draining(gateway: &Gateway) {
    let mut looks = tokio::time::interval(Duration::from_millis(DRAIN_LOOK_MS));
    while !gateway.draining.load(std::sync::atomic::Ordering::Acquire) {
        looks.tick().await;
    }
}

/// The same call, whose messages end when the server drains.
pub(super) fn until_draining(request: Request, gateway: Gateway) -> Request {
    request.map(|body| {
        let drained = Box::pin(async move { draining(&gateway).await });
        axum::body::Body::from_stream(body.into_data_stream().take_until(drained))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::tests::config;

    #[test]
    fn the_timeout_is_read_strictly_and_clamped() {
        let config = Config {
            deadline_default: Duration::from_secs(10),
            deadline_max: Duration::from_mins(1),
            ..config()
        };
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, value.parse().unwrap());
            allowed(&headers, &config)
        };
        assert_eq!(allowed(&HeaderMap::new(), &config).unwrap(), Duration::from_secs(10));
        let cases = [
            ("250m", Duration::from_millis(250)),
            ("1S", Duration::from_secs(1)),
            ("1M", Duration::from_mins(1)),
            ("99999999H", Duration::from_mins(1)),
            ("7u", Duration::from_micros(7)),
            ("99999999n", Duration::from_nanos(99_999_999)),
        ];
        for (value, expected) in cases {
            assert_eq!(read(value).unwrap(), expected, "{value}");
        }
        for value in ["", "m", "1", "1.5S", "-1S", "123456789S", "1s", "1 S"] {
            assert_eq!(read(value).unwrap_err().code, Code::InvalidHeader, "{value:?}");
        }
    }
}
