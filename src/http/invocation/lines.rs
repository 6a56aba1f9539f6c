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

/// Answers every line. One that fails says why in its place, and the others are answered.
///
/// # Errors
/// There is no line, or nothing was answered and the server was why.
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
        match answer {
            Ok(line) => {
                answered = true;
                written.extend(line);
            }
            Err(problem) => {
                answered |= !problem.code.is_about_the_server();
                let error = json!({"error": {"code": problem.code.name(), "detail": problem.detail}});
                written.extend(error.to_string().into_bytes());
                servers.get_or_insert(problem);
            }
        }
        written.push(b'\n');
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
