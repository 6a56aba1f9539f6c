//! JSON lines: a question a line, an answer a line, in the same order.

use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{Choice, Envelope, answer, answering};
use crate::http::instance::Instance;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::limits::LINES_ANSWER_BYTES_MAX;

/// Answers every line. One that fails says why in its place, and the others are answered.
///
/// # Errors
/// There is no line, nothing was answered and the server was why, or the answers are too large together.
pub(super) async fn answer_each(
    gateway: &Gateway,
    choice: &Choice,
    body: &Bytes,
    deadline: Instant,
) -> Result<Response, Problem> {
    let is_blank = |line: &Bytes| line.iter().all(u8::is_ascii_whitespace);
    let lines = body.split(|byte| *byte == b'\n').map(|line| body.slice_ref(line));
    let lines: Vec<Bytes> = lines.filter(|line| !is_blank(line)).collect();
    let at_once = gateway.config.request_inputs_max;
    // As many inputs wait at once as one request may bring, however many lines there are.
    let permits = Semaphore::new(at_once);
    let answers = stream::iter(lines).map(|line| one(gateway, choice, line, (deadline, &permits)));
    let mut answers = std::pin::pin!(answers.buffered(at_once));
    let mut written = Vec::new();
    let (mut answered, mut servers) = (false, None);
    while let Some(answer) = answers.next().await {
        let line = match answer {
            Ok(line) => {
                answered = true;
                line
            }
            Err(problem) => {
                answered |= !problem.code.is_about_the_server();
                let error = json!({"error": {"code": problem.code.name(), "detail": problem.detail}});
                servers.get_or_insert(problem);
                error.to_string().into_bytes()
            }
        };
        put(&mut written, &line, LINES_ANSWER_BYTES_MAX)?;
        // Lines that are refused are answered without ever waiting, and others, and the deadline, wait for that.
        tokio::task::consume_budget().await;
    }
    match servers {
        Some(problem) if !answered => Err(problem),
        _ if written.is_empty() => {
            Err(Problem::new(Code::InvalidRequest, "the body has no line: expected a JSON value a line"))
        }
        _ => {
            let mut response = Response::new(Body::from(written));
            let content_type = HeaderValue::from_static("application/jsonlines");
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            Ok(response)
        }
    }
}

/// The answer to a line, without its end.
async fn one(
    gateway: &Gateway,
    choice: &Choice,
    line: Bytes,
    (deadline, permits): (Instant, &Semaphore),
) -> Result<Vec<u8>, Problem> {
    let envelope = Envelope::parse(&line)?;
    let choice = choice.clone().or(envelope.choice.clone());
    let entry = answering(gateway, &choice, envelope.values.task())?;
    let inputs = inputs(&envelope.values).min(gateway.config.request_inputs_max);
    let inputs = u32::try_from(inputs).unwrap_or(u32::MAX);
    let _permit = permits.acquire_many(inputs).await;
    let reply = answer(gateway, &entry, envelope, choice.asked(deadline)).await?;
    reply.written()
}

/// Inputs in a line, at most.
fn inputs(values: &Instance) -> usize {
    match values {
        Instance::List(items) => items.len().max(1),
        Instance::Numbers(numbers) => numbers.shape().first().copied().unwrap_or(1),
        _ => 1,
    }
}

/// Adds a line to the answers.
fn put(written: &mut Vec<u8>, line: &[u8], bytes_max: usize) -> Result<(), Problem> {
    if written.len() + line.len() + 1 > bytes_max {
        let detail = format!(
            "the answers have more than {bytes_max} bytes: send fewer lines, or ask for fewer labels with top_k"
        );
        return Err(Problem::new(Code::TooManyInputs, detail));
    }
    written.extend_from_slice(line);
    written.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_lines_within_a_bound() {
        let mut written = Vec::new();
        put(&mut written, b"[1]", 8).unwrap();
        put(&mut written, b"[2]", 8).unwrap();
        let problem = put(&mut written, b"", 8).unwrap_err();
        assert_eq!(problem.code, Code::TooManyInputs);
        assert!(problem.detail.starts_with("the answers have more than 8 bytes"), "{}", problem.detail);
        assert_eq!(written, b"[1]\n[2]\n");
    }
}
