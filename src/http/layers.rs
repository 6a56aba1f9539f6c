//! What every request goes through on its way to its route, and its answer on the way back: one layer, in one order.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::compression::{self, Coding};
use super::problem::{Code, Problem};
use super::protocol::{Outcome, Protocol, Refused};
use super::request_id::{RequestId, RequestIds};
use super::server::Gateway;
use super::{body, deadline};
use crate::telemetry::metrics::record_request;

/// The label of requests that no route matched: never the path itself, of which there are endlessly many.
const UNMATCHED: &str = "unmatched";

/// Which protocol a path belongs to.
pub(super) type ProtocolOf = fn(&str) -> Protocol;

/// The routes with all that is around them.
pub(super) fn around(routes: Router, gateway: &Gateway, protocol_of: ProtocolOf) -> Router {
    let door = Door { gateway: gateway.clone(), ids: RequestIds::default(), protocol_of };
    // One layer for everything: each layer costs every request a copy of all that lies within it. The body is received
    // within its limit there, and axum's own would only be a second one.
    routes.layer(DefaultBodyLimit::disable()).layer(from_fn_with_state(Arc::new(door), pass))
}

/// What is around the routes.
struct Door {
    gateway: Gateway,
    ids: RequestIds,
    protocol_of: ProtocolOf,
}

/// The way there and back.
async fn pass(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    // The id comes first: everything below may name it.
    let id = door.ids.identify(request.headers());
    request.extensions_mut().insert(id.clone());
    let asked = Asked::of(&request, id);
    let span = asked.span();
    let answered = async {
        // A panic of a handler, or of what is around it, is a problem like any other.
        let worked = AssertUnwindSafe(door.work(request, next)).catch_unwind().await;
        let response = worked.unwrap_or_else(|panic| panicked(&*panic));
        // Problems are written where id and path are known; until here they are values.
        let response = door.write_problem(response, &asked);
        let mut response = compression::answer(asked.coding, response).await;
        door.finish(response.headers_mut(), &asked);
        // Counted last, so that refusals are counted too.
        door.record(&asked, &response, begun.elapsed());
        response
    };
    answered.instrument(span).await
}

impl Door {
    /// What may refuse a request, the cheapest first, and then its route.
    async fn work(&self, request: Request, next: Next) -> Response {
        let config = &self.gateway.config;
        if let Err(problem) = body::check_headers(request.headers()) {
            return problem.into_response();
        }
        match body::receive(request, config).await {
            // The deadline comes last: it is for the work, not for the caller's network.
            Ok(request) => deadline::enforce(request, config, next).await.into_response(),
            Err(refused) => refused,
        }
    }

    /// Writes problems as the protocol of the path does, and what axum refused by itself in plain text as well.
    fn write_problem(&self, mut response: Response, asked: &Asked) -> Response {
        let status = response.status();
        let ours = response.extensions_mut().remove::<Problem>();
        let other = ours.is_none();
        let problem = match ours {
            Some(problem) => problem,
            None if status.is_client_error() || status.is_server_error() => {
                of_status(Code::of_status(status), &asked.method, &asked.uri)
            }
            None => return response,
        };
        if problem.code == Code::Internal {
            tracing::error!(detail = problem.detail, "internal error");
        }
        let path = asked.uri.path();
        let refused = Refused { request_id: &asked.id.0, method: &asked.method, path };
        let mut written = ((self.protocol_of)(path).write)(&problem, &refused);
        // The length is that of the body before.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().remove(header::CONTENT_TYPE);
        if other && problem.code.status() != status {
            // Codes are fewer than statuses. Where they agree, the protocol knows best.
            *written.status_mut() = status;
        }
        written.headers_mut().extend(std::mem::take(response.headers_mut()));
        written
    }

    /// Header lines that every answer has: its request's id; that it may not be taken for another type than it says;
    /// and while draining, that its connection ends with it.
    fn finish(&self, headers: &mut HeaderMap, asked: &Asked) {
        asked.id.put(headers);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // In HTTP/2 a connection is ended by a frame, and this header is none of it.
        if asked.version < Version::HTTP_2 && self.gateway.draining.load(Ordering::Acquire) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Counts the request and logs it.
    fn record(&self, asked: &Asked, response: &Response, took: Duration) {
        // The outcome is the status, unless that is always the same.
        let told = response.extensions().get::<Outcome>();
        let outcome = told.map_or_else(|| response.status(), |Outcome(status)| *status);
        let route = asked.route();
        record_request(route, label(&asked.method), outcome.as_u16(), took);
        let (status, ms) = (outcome.as_u16(), took.as_secs_f64() * 1000.0);
        if outcome.is_server_error() {
            tracing::warn!(status, ms, "answered");
        } else if (self.protocol_of)(asked.uri.path()).probes.contains(&route) {
            tracing::debug!(status, ms, "answered");
        } else {
            tracing::info!(status, ms, "answered");
        }
    }
}

/// What is known of a request when its route has taken it.
struct Asked {
    id: RequestId,
    method: Method,
    uri: Uri,
    version: Version,
    route: Option<MatchedPath>,
    /// How its answer may be compressed.
    coding: Coding,
}

impl Asked {
    fn of(request: &Request, id: RequestId) -> Self {
        Self {
            id,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            route: request.extensions().get().cloned(),
            coding: Coding::wanted(request.headers()),
        }
    }

    /// The matched route as a label.
    fn route(&self) -> &str {
        self.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str)
    }

    /// Every event within it carries these fields.
    fn span(&self) -> tracing::Span {
        let (request_id, method) = (&*self.id.0, label(&self.method));
        tracing::info_span!("request", request_id, method, route = self.route())
    }
}

/// A method as a label: of the closed set, whatever a caller makes up.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// The problem of an answer that axum made by itself.
fn of_status(code: Code, method: &Method, uri: &Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    let detail = match code {
        Code::NotFound => format!("there is nothing at {path}; GET / says what is here"),
        Code::MethodNotAllowed => {
            // The header itself is axum's and comes after all layers.
            format!("{path} does not take {method}; the allow header lists the methods that it takes")
        }
        _ => "the request cannot be answered".to_owned(),
    };
    Problem::new(code, detail)
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let message =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message.unwrap_or("of an unknown kind"), "a handler panicked");
    Problem::new(Code::Internal, "the server failed; its log has more under this request's id")
        .into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;
    use crate::http::server::tests::gateway;

    async fn ask(routes: Router, wait_ms: &str) -> (StatusCode, serde_json::Value) {
        let request =
            Request::builder().uri("/").header("x-request-timeout-ms", wait_ms).body(Body::empty()).unwrap();
        let response =
            around(routes, &gateway(), |_| crate::http::native::PROTOCOL).oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing_of_the_inside() {
        async fn panicking() -> &'static str {
            panic!("secret")
        }
        let (status, problem) = ask(Router::new().route("/", get(panicking)), "1000").await;
        assert_eq!((status.as_u16(), &problem["code"]), (500, &"internal".into()));
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }

    #[tokio::test]
    async fn what_does_not_end_is_given_up_at_the_deadline() {
        let hanging = get(std::future::pending::<&'static str>);
        let (status, problem) = ask(Router::new().route("/", hanging), "5").await;
        assert_eq!((status.as_u16(), &problem["code"]), (504, &"deadline_exceeded".into()));
        assert_eq!(problem["detail"], "there was no answer within 5 ms");
    }

    #[tokio::test]
    async fn a_refusal_of_another_hand_becomes_a_problem() {
        let plain = get(|| async { (StatusCode::IM_A_TEAPOT, "short and stout") });
        let (status, problem) = ask(Router::new().route("/", plain), "1000").await;
        assert_eq!((status.as_u16(), &problem["code"]), (418, &"invalid_request".into()));
    }
}
