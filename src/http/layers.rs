//! The layers around every route, as one list.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use super::problem::{Code, Problem};
use super::protocol::{Outcome, Protocol, Refused};
use super::request_id::{RequestId, RequestIds, identify};
use super::server::Gateway;
use super::{body, compression, deadline};
use crate::telemetry::metrics::record_request;

/// The label of requests that no route matched: never the path itself, of which there are endlessly many.
const UNMATCHED: &str = "unmatched";

/// Which protocol a path belongs to.
pub(super) type ProtocolOf = fn(&str) -> Protocol;

/// The routes within all layers, outermost first.
pub(super) fn around(routes: Router, gateway: &Gateway, protocol_of: ProtocolOf) -> Router {
    // A layer's state is cloned for every request: each has what it uses and no more.
    let (config, draining) = (&gateway.config, &gateway.draining);
    routes.layer(
        ServiceBuilder::new()
            // The id comes first: everything below may name it.
            .layer(from_fn_with_state(RequestIds::default(), identify))
            // The span comes next: every event below carries the request's fields.
            .layer(from_fn(trace))
            // Counting is outside all that may refuse, so that refusals are counted.
            .layer(from_fn(count))
            // Header lines that every answer has, refusals too.
            .layer(from_fn_with_state(Arc::clone(draining), finish))
            // Whatever is answered is compressed for those who ask for it.
            .layer(from_fn(compression::answer))
            // Problems are written where id and path are known; below they are values.
            .layer(from_fn_with_state(protocol_of, write_problem))
            // A panic of a handler or of a layer below is a problem like any other.
            .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panicked(&*panic)))
            // Cheapest refusal first.
            .layer(from_fn(body::count_headers))
            // The body is received whole, within its size and time, and decompressed within its size; axum's own
            // limit would only be a second one.
            .layer(DefaultBodyLimit::disable())
            .layer(from_fn_with_state(Arc::clone(config), body::receive))
            // The deadline is innermost: it is for the work, not for the caller's network.
            .layer(from_fn_with_state(Arc::clone(config), deadline::enforce)),
    )
}

/// The matched route as a label.
fn route(request: &Request) -> MatchedRoute {
    MatchedRoute(request.extensions().get::<MatchedPath>().cloned())
}

struct MatchedRoute(Option<MatchedPath>);

impl MatchedRoute {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or(UNMATCHED, MatchedPath::as_str)
    }
}

async fn trace(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request.extensions().get::<RequestId>().map_or("", |id| &*id.0);
    // What machines ask every few seconds would bury the rest.
    let probed =
        ["/health/live", "/health/ready", "/metrics", "/ping", "/health"].contains(&route(&request).as_str());
    let span = tracing::info_span!(
        "request",
        request_id = id,
        method = method(request.method()),
        route = route(&request).as_str(),
    );
    async {
        let response = next.run(request).await;
        let ms = begun.elapsed().as_secs_f64() * 1000.0;
        let status = outcome(&response);
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), ms, "answered");
        } else if probed {
            tracing::debug!(status = status.as_u16(), ms, "answered");
        } else {
            tracing::info!(status = status.as_u16(), ms, "answered");
        }
        response
    }
    .instrument(span)
    .await
}

async fn count(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (route, method) = (route(&request), method(request.method()));
    let response = next.run(request).await;
    record_request(route.as_str(), method, outcome(&response).as_u16(), begun.elapsed());
    response
}

/// What came of a request: the status, unless that is always the same.
fn outcome(response: &Response) -> StatusCode {
    response.extensions().get::<Outcome>().map_or_else(|| response.status(), |Outcome(status)| *status)
}

/// A method as a label: of the closed set, whatever a caller makes up.
fn method(method: &Method) -> &'static str {
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

/// No answer may be taken for another type than it says; and while draining, a connection ends with its answer.
async fn finish(State(draining): State<Arc<AtomicBool>>, request: Request, next: Next) -> Response {
    // In HTTP/2 a connection is ended by a frame, and this header is none of it.
    let by_header = request.version() < Version::HTTP_2;
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if by_header && draining.load(Ordering::Acquire) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Writes problems as the protocol of the path does, and what axum refused by itself in plain text as well.
async fn write_problem(State(protocol_of): State<ProtocolOf>, request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let id = request.extensions().get::<RequestId>().cloned();
    let asked = request.method().clone();
    let mut response = next.run(request).await;
    let status = response.status();
    let ours = response.extensions_mut().remove::<Problem>();
    let other = ours.is_none();
    let problem = match ours {
        Some(problem) => problem,
        None if status.is_client_error() || status.is_server_error() => {
            of_status(Code::of_status(status), &asked, &uri)
        }
        None => return response,
    };
    let id = id.as_ref().map_or("", |id| &*id.0);
    if problem.code == Code::Internal {
        tracing::error!(detail = problem.detail, "internal error");
    }
    let refused = Refused { request_id: id, method: &asked, path: uri.path() };
    let mut written = (protocol_of(uri.path()).write)(&problem, &refused);
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
