//! `TorchServe`'s inference API, and its management API on the admin listener alone.

use axum::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::door::{Ask, Served, config, door, native_scores};
use crate::support::server::Server;
use crate::support::{models, pictures};

const TEXT: &str = "a good film, the best thing in years";
const PATH: &str = "/predictions/sentiment";

fn served() -> Served {
    Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "digits", 1);
    })
}

fn form(parts: &[&[u8]]) -> Ask {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(
            b"--b\r\ncontent-disposition: form-data; name=\"data\"; filename=\"x\"\r\n\r\n",
        );
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    Ask::post(PATH).header("content-type", "multipart/form-data; boundary=b").body(body)
}

#[tokio::test]
async fn an_input_has_the_native_scores_however_it_is_sent() {
    let served = served();
    let native = native_scores(&served.door, "sentiment", TEXT).await;
    let json = |path: &str, body: &Value| Ask::json(path, body);
    for ask in [
        Ask::new(&Method::PUT, PATH).body(TEXT),
        Ask::post(PATH).header("content-type", "text/plain").body(TEXT),
        Ask::post("/predictions/sentiment/1").body(TEXT),
        Ask::new(&Method::PUT, "/predictions/sentiment/1.0").body(TEXT),
        form(&[TEXT.as_bytes()]),
        json(PATH, &json!(TEXT)),
        json(PATH, &json!({"data": TEXT})),
    ] {
        let answer = ask.of(&served.door).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        check(&answer.json(), &native);
    }
    for (ask, at) in [
        (form(&[TEXT.as_bytes(), b"bad"]), "/0"),
        (json(PATH, &json!([TEXT, "bad"])), "/0"),
        (json(PATH, &json!({"instances": [TEXT, "bad"]})), "/predictions/0"),
    ] {
        check(ask.of(&served.door).await.json().pointer(at).unwrap(), &native);
    }
}

fn check(found: &Value, native: &std::collections::BTreeMap<String, String>) {
    let found = found.as_object().unwrap();
    assert_eq!(found.len(), native.len());
    for (label, score) in found {
        assert_eq!(score.to_string(), native[label]);
    }
}

#[tokio::test]
async fn the_best_label_of_a_picture_comes_first() {
    let served = served();
    let png: Bytes = pictures::png(3, 20, 16);
    let answer = Ask::new(&Method::PUT, "/predictions/digits").body(png.clone()).of(&served.door).await;
    let native = Ask::new(&Method::PUT, "/v1/image/classify").body(png).of(&served.door).await.json();
    let written: String = native["results"][0]["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|prediction| format!("{}:{}", prediction["label"], prediction["score"]))
        .collect::<Vec<_>>()
        .join(",");
    assert_eq!(String::from_utf8_lossy(&answer.body), format!("{{{written}}}"));
}

#[tokio::test]
async fn health_and_the_description_are_there() {
    let served = served();
    assert_eq!(Ask::get("/ping").of(&served.door).await.json(), json!({"status": "Healthy"}));
    let answer = Ask::get("/ping").of(&door(config())).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (500, json!({"status": "Unhealthy"})));
    let description = Ask::new(&Method::OPTIONS, "/").of(&served.door).await.json();
    assert!(description["paths"]["/predictions/{name}"].is_object());
}

fn error(code: u16, kind: &str, message: &str) -> Value {
    json!({"code": code, "type": kind, "message": message})
}

#[tokio::test]
async fn refusals_have_the_types_that_clients_know() {
    let served = served();
    let exact = [
        (
            Ask::post("/predictions/sentiment/x").body("a"),
            error(
                404,
                "ModelVersionNotFoundException",
                "Model version: x does not exist for model: sentiment",
            ),
        ),
        (
            Ask::get(PATH),
            error(
                405,
                "MethodNotAllowedException",
                "Requested method is not allowed, please refer to API document.",
            ),
        ),
        (
            Ask::post("/predictions/a/b/c").body("a"),
            error(
                404,
                "ResourceNotFoundException",
                "Requested resource is not found, please refer to API document.",
            ),
        ),
    ];
    for (ask, expected) in exact {
        let answer = ask.of(&served.door).await;
        assert_eq!((json!(answer.status.as_u16()), answer.json()), (expected["code"].clone(), expected));
        assert!(answer.headers.contains_key("x-request-id"));
    }
    let begun = [
        (Ask::post(PATH).body(" "), 400, "BadRequestException", "the text is empty"),
        (Ask::post(PATH).body(&b"\xff"[..]), 400, "BadRequestException", "the text is not UTF-8"),
        (Ask::post("/predictions/digits").body("a"), 415, "BadRequestException", "not a PNG"),
        (Ask::post("/explanations/sentiment").body("a"), 501, "NotImplementedException", "model sentiment"),
        (
            Ask::post(PATH).body("a ".repeat(40_000)),
            413,
            "RequestEntityTooLargeException",
            "the text has 80000 bytes",
        ),
    ];
    for (ask, status, kind, message) in begun {
        let answer = ask.of(&served.door).await;
        let body = answer.json();
        assert_eq!((answer.status.as_u16(), &body["type"]), (status, &json!(kind)), "{body}");
        assert!(body["message"].as_str().unwrap().starts_with(message), "{body}");
    }
}

#[tokio::test]
async fn management_is_on_the_admin_listener_alone() {
    let served = served();
    let list = Ask::get("/models").of(&served.admin).await.json();
    let listed = json!({"models": [
        {"modelName": "digits", "modelUrl": "digits"}, {"modelName": "sentiment", "modelUrl": "sentiment"},
    ]});
    assert_eq!(list, listed);
    let first = Ask::get("/models?limit=1").of(&served.admin).await.json();
    assert_eq!((&first["nextPageToken"], first["models"].as_array().unwrap().len()), (&json!("1"), 1));
    let second = Ask::get("/models?limit=1&next_page_token=1").of(&served.admin).await.json();
    assert_eq!((second.get("nextPageToken"), &second["models"][0]["modelName"]), (None, &json!("sentiment")));
    for path in ["/models/sentiment", "/models/sentiment/1.0", "/models/sentiment/all"] {
        let described = Ask::get(path).of(&served.admin).await.json();
        assert_eq!(
            (&described[0]["modelName"], &described[0]["modelVersion"]),
            (&json!("sentiment"), &json!("1"))
        );
        assert_eq!(described[0]["workers"].as_array().unwrap().len(), 1, "{described}");
        assert_eq!(described[0]["jobQueueStatus"]["pendingRequests"], 0);
    }
    let put = |path: &str| Ask::new(&Method::PUT, path);
    let scaled = put("/models/sentiment?min_worker=1").of(&served.admin).await;
    assert_eq!(scaled.json(), json!({"status": "Workers scaled to 1 for model: sentiment"}));
    let more = put("/models/sentiment/1.0?min_worker=3").of(&served.admin).await;
    assert_eq!((more.status.as_u16(), &more.json()["type"]), (501, &json!("NotImplementedException")));
    let default = put("/models/sentiment/1.0/set-default").of(&served.admin).await;
    assert_eq!(default.status, 200, "{}", default.json());
    let unknown = Ask::get("/models/none").of(&served.admin).await;
    assert_eq!(unknown.json(), error(404, "ModelNotFoundException", "Model not found: none"));
    let refused = Ask::post("/models?url=sentiment").of(&served.admin).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["type"]), (501, &json!("NotImplementedException")));
    assert_eq!(Ask::get("/metrics").of(&served.admin).await.status, 200);
    assert_eq!(Ask::post("/predictions/sentiment").body("a").of(&served.admin).await.status, 404);
    assert_eq!(Ask::get("/models/sentiment").of(&served.door).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_is_a_second_one() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "sentiment", 1);
    let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start_with(folder.path(), &["--admin", &admin.to_string()]);
    let (public, admin) = (Client::new(server.address), Client::new(admin));
    public.ready().await;
    let described = admin.get("/models/sentiment").await;
    assert_eq!(described.json()[0]["modelName"], "sentiment");
    assert!(String::from_utf8_lossy(&admin.get("/metrics").await.body).contains("sconce_"));
    assert_eq!(public.get("/models/sentiment").await.status, 404);
    server.signal("TERM");
    assert!(server.wait().success(), "both listeners drain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_registered_and_unregistered_by_an_operator() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "sentiment", 1);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let arguments = ["--admin", &free.to_string(), "--set", "http.model_control=true"];
    let server = Server::start_with(folder.path(), &arguments);
    let (public, admin) = (Client::new(server.address), Client::new(free));
    public.ready().await;
    let send = async |method: Method, path: &str| admin.send(method, path, None).await.unwrap();
    let again = send(Method::POST, "/models?url=sentiment").await;
    assert_eq!((again.status.as_u16(), &again.json()["type"]), (409, &json!("ConflictStatusException")));
    let gone = send(Method::DELETE, "/models/sentiment").await;
    assert_eq!(gone.json(), json!({"status": "Model \"sentiment\" unregistered"}));
    let text = || Some(("text/plain", Bytes::from_static(TEXT.as_bytes())));
    let silent = public.send(Method::POST, PATH, text()).await.unwrap();
    assert_eq!(silent.json(), error(404, "ModelNotFoundException", "Model not found: sentiment"));
    let back = send(Method::POST, "/models?url=sentiment&model_name=sentiment&synchronous=true").await;
    assert!(back.json()["status"].as_str().unwrap().starts_with("Model \"sentiment\" Version: 1 registered"));
    assert_eq!(public.send(Method::POST, PATH, text()).await.unwrap().status, 200);
    let unknown = send(Method::POST, "/models?url=none").await;
    assert_eq!(unknown.json(), error(404, "ModelNotFoundException", "Model not found at: none"));
    let unknown = send(Method::DELETE, "/models/none").await;
    assert_eq!(unknown.json(), error(404, "ModelNotFoundException", "Model not found: none"));
    assert_eq!(send(Method::DELETE, "/models/sentiment/1.0").await.status, 501);
}
