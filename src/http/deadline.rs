//! Deadlines: how long a request may take, and giving it up when it took longer.

use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;

use super::problem::{Code, Problem};
use super::router::frames_messages;
use super::server::Config;

/// The header in which a caller says how long it waits.
const HEADER: &str = "x-request-timeout-ms";

/// When the caller of a request stops waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

/// Runs the rest until the deadline, counted from here: the body is in. What still runs then is dropped, and with
/// it its rows.
pub(super) async fn enforce(mut request: Request, config: &Config, next: Next) -> Result<Response, Problem> {
    if frames_messages(request.uri().path()) {
        return Ok(next.run(request).await);
    }
    let allowed = allowed(request.headers(), config)?;
    let deadline = Instant::now() + allowed;
    request.extensions_mut().insert(Deadline(deadline));
    tokio::time::timeout_at(deadline.into(), next.run(request)).await.map_err(|_| {
        let detail = format!("there was no answer within {} ms", allowed.as_millis());
        Problem::new(Code::DeadlineExceeded, detail)
    })
}

/// The time that the request may take: what its header asks for, at most what is configured.
fn allowed(headers: &HeaderMap, config: &Config) -> Result<Duration, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(config.deadline_default) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    // More digits than any number has are more than is allowed, not a mistake.
    let ms = digits.filter(|text| !text.is_empty()).map(|text| text.parse().unwrap_or(u64::MAX));
    match (ms, values.next()) {
        (Some(ms), None) if ms > 0 => Ok(Duration::from_millis(ms).min(config.deadline_max)),
        _ => {
            let shown: String = String::from_utf8_lossy(value.as_bytes()).chars().take(40).collect();
            let detail = format!("{HEADER} is {shown:?}, expected one whole number of milliseconds from 1");
            Err(Problem::new(Code::InvalidHeader, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::tests::config;

    fn allowed_ms(values: &[&str]) -> Result<u128, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, value.parse().unwrap());
        }
        let config = Config {
            deadline_default: Duration::from_secs(10),
            deadline_max: Duration::from_mins(1),
            ..config()
        };
        allowed(&headers, &config).map(|allowed| allowed.as_millis())
    }

    #[test]
    fn the_header_is_read_strictly_and_clamped() {
        let cases = [
            (&[][..], 10_000),
            (&["1"], 1),
            (&["250"], 250),
            (&["60000"], 60_000),
            (&["60001"], 60_000),
            (&["99999999999999999999999"], 60_000),
        ];
        for (values, ms) in cases {
            assert_eq!(allowed_ms(values).unwrap(), ms, "{values:?}");
        }
        for values in [&["0"][..], &[""], &["-1"], &["+1"], &["1.5"], &["1s"], &["1", "2"]] {
            assert_eq!(allowed_ms(values).unwrap_err().code, Code::InvalidHeader, "{values:?}");
        }
    }
}
