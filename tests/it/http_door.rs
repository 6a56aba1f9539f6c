//! The door around the models: routes, refusals before any model is asked, ids, health, documentation.

use axum::http::Method;
use sconce::http::{Config, Cors, router};
use serde_json::json;

use crate::support::door::{Ask, config, door, gateway, problem};

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let door = door(config());
    let detail = problem(&Ask::get("/v1/nothing").of(&door).await, 404, "not_found");
    assert_eq!(detail, "there is nothing at /v1/nothing; GET / says what is here");
    let docs = Ask::get("/docs/nothing.js").of(&door).await;
    problem(&docs, 404, "not_found");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let door = door(config());
    for (method, path, allowed) in [
        (Method::GET, "/v1/text/classify", "POST"),
        (Method::DELETE, "/v1/image/classify", "POST,PUT"),
        (Method::POST, "/v1/models", "GET,HEAD"),
        (Method::PUT, "/health/live", "GET,HEAD"),
    ] {
        let answer = Ask::new(&method, path).of(&door).await;
        let detail = problem(&answer, 405, "method_not_allowed");
        assert_eq!(answer.headers["allow"], allowed, "{path}");
        assert_eq!(
            detail,
            format!("{path} does not take {method}; the allow header lists the methods that it takes")
        );
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let door = door(config());
    for path in ["/", "/health/live", "/v1/models", "/v1/models/none", "/openapi.json", "/docs/"] {
        let whole = Ask::get(path).header("x-request-id", "same").of(&door).await;
        let head = Ask::new(&Method::HEAD, path).header("x-request-id", "same").of(&door).await;
        assert_eq!(head.status, whole.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.headers["content-length"], whole.body.len().to_string(), "{path}");
        assert_eq!(head.headers["content-type"], whole.headers["content-type"], "{path}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_only_where_that_is_configured() {
    let page = "https://example.org";
    let preflight = |origin: &str| {
        Ask::new(&Method::OPTIONS, "/v1/text/classify")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
    };
    let off = door(config());
    let answer = Ask::get("/health/live").header("origin", page).of(&off).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    assert_eq!(preflight(page).of(&off).await.status, 405);

    let one = door(Config { cors: Cors::Origins(vec![page.parse().unwrap()]), ..config() });
    let answer = preflight(page).of(&one).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-origin"], page);
    assert_eq!(answer.headers["access-control-allow-headers"], "content-type");
    assert!(answer.headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    let refused = Ask::get("/nothing").header("origin", page).of(&one).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["access-control-allow-origin"]),
        (404, &page.parse().unwrap())
    );
    assert!(refused.headers["access-control-expose-headers"].to_str().unwrap().contains("x-request-id"));
    let other = preflight("https://elsewhere.example").of(&one).await;
    assert!(!other.headers.contains_key("access-control-allow-origin"));
    // Of no page: what TorchServe's clients ask.
    let description = Ask::new(&Method::OPTIONS, "/").of(&one).await;
    assert!(description.json()["openapi"].is_string());

    let any = door(Config { cors: Cors::Any, ..config() });
    assert_eq!(preflight(page).of(&any).await.headers["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn every_answer_has_the_requests_id() {
    let door = door(config());
    let taken_over = Ask::get("/nothing").header("x-request-id", "abc-1").of(&door).await;
    assert_eq!(taken_over.headers["x-request-id"], "abc-1");
    assert_eq!(taken_over.json()["request_id"], "abc-1");
    let refused = Ask::get("/health/live").header("x-request-id", "a b").of(&door).await;
    let made = refused.headers["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(made.len(), 16, "{made}");
    let other = Ask::get("/health/live").of(&door).await;
    assert_ne!(other.headers["x-request-id"], made.as_str());
}

#[tokio::test]
async fn bodies_and_headers_have_bounds() {
    let small = door(Config { body_bytes_max: 100, ..config() });
    let path = "/v1/text/classify";
    let large = || Ask::post(path).header("content-type", "text/plain").body("x".repeat(101));
    let detail = problem(&large().of(&small).await, 413, "body_too_large");
    assert_eq!(detail, "the body has more than the 100 bytes that are taken");
    let announced = large().header("content-length", "101").of(&small).await;
    let detail = problem(&announced, 413, "body_too_large");
    assert_eq!(detail, "the body has 101 bytes, at most 100 are taken");

    let mut many = Ask::get("/health/live");
    for index in 0..sconce::limits::HEADERS_MAX {
        many = many.header(&format!("x-{index}"), "1");
    }
    assert_eq!(many.of(&small).await.status, 200);
    let mut too_many = Ask::get("/health/live");
    for index in 0..=sconce::limits::HEADERS_MAX {
        too_many = too_many.header(&format!("x-{index}"), "1");
    }
    problem(&too_many.of(&small).await, 431, "too_many_headers");
}

#[tokio::test]
async fn a_timeout_that_cannot_be_read_is_refused() {
    let answer = Ask::get("/health/live").header("x-request-timeout-ms", "soon").of(&door(config())).await;
    let detail = problem(&answer, 400, "invalid_header");
    assert_eq!(detail, "x-request-timeout-ms is \"soon\", expected one whole number of milliseconds from 1");
}

#[tokio::test]
async fn without_models_the_door_is_live_and_not_ready() {
    let door = door(config());
    let live = Ask::get("/health/live").of(&door).await;
    assert_eq!((live.status.as_u16(), live.json()), (200, json!({"status": "live"})));
    let ready = Ask::get("/health/ready").of(&door).await;
    assert_eq!(problem(&ready, 503, "not_ready"), "models are still being looked for");
    assert_eq!(ready.headers["retry-after"], "1");
    assert_eq!(Ask::get("/v1/models").of(&door).await.json(), json!({"models": []}));
    let text = Ask::json("/v1/text/classify", &json!({"input": "x"})).of(&door).await;
    problem(&text, 503, "model_not_ready");
    let named = Ask::json("/v1/text/classify", &json!({"input": "x", "model": "a"})).of(&door).await;
    problem(&named, 503, "model_not_ready");
    let front = Ask::get("/").of(&door).await;
    assert_eq!(front.headers["content-type"], "text/plain; charset=utf-8");
    assert!(String::from_utf8_lossy(&front.body).contains("No model is ready"));
}

#[tokio::test]
async fn draining_ends_readiness_and_keep_alive() {
    let gateway = gateway(config());
    gateway.draining.store(true, std::sync::atomic::Ordering::Release);
    let door = router(&gateway);
    let live = Ask::get("/health/live").of(&door).await;
    assert_eq!((live.status.as_u16(), &live.headers["connection"]), (200, &"close".parse().unwrap()));
    let detail = problem(&Ask::get("/health/ready").of(&door).await, 503, "not_ready");
    assert_eq!(detail, "the server is shutting down");
}

#[tokio::test]
async fn the_documentation_is_served_from_here_alone() {
    let door = door(config());
    let redirect = Ask::get("/docs").of(&door).await;
    assert_eq!((redirect.status.as_u16(), &redirect.headers["location"]), (303, &"/docs/".parse().unwrap()));
    let page = Ask::get("/docs/").of(&door).await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
    // Whatever the page would like to fetch from elsewhere, the browser refuses it.
    assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    for file in ["swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "swagger-ui.css", "index.css"] {
        assert_eq!(Ask::get(&format!("/docs/{file}")).of(&door).await.status, 200, "{file}");
    }
    let script = Ask::get("/docs/swagger-initializer.js").of(&door).await;
    let script = String::from_utf8(script.body.to_vec()).unwrap();
    assert!(script.contains("/openapi.json") && script.contains("\"tryItOutEnabled\": true"), "{script}");
}

#[tokio::test]
async fn browsers_get_a_page() {
    let page = Ask::get("/").header("accept", "text/html,*/*;q=0.8").of(&door(config())).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert!(String::from_utf8_lossy(&page.body).starts_with("<!doctype html>"));
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let door = door(config());
    Ask::get("/v1/models/counted-once").of(&door).await;
    Ask::get("/counted/at/random").of(&door).await;
    let metrics = Ask::get("/metrics").of(&door).await;
    assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("route=\"/v1/models/{name}\""), "{metrics}");
    assert!(metrics.contains("route=\"unmatched\""), "{metrics}");
    assert!(!metrics.contains("counted"), "{metrics}");
}
