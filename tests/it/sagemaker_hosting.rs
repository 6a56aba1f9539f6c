//! Amazon `SageMaker`'s hosting contract, and the same body at Azure ML's path.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::door::{Ask, Served, config, native_scores, scores};
use crate::support::server::Server;
use crate::support::{models, pictures};

const TEXT: &str = "a good film, the best thing in years";

fn served() -> Served {
    Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "digits", 1);
    })
}

fn plain(path: &str, text: impl Into<Bytes>) -> Ask {
    Ask::post(path).header("content-type", "text/plain").body(text)
}

#[tokio::test]
async fn every_wording_has_the_native_scores() {
    let served = served();
    let native = native_scores(&served.door, "sentiment", TEXT).await;
    for path in ["/invocations", "/score"] {
        let raw = plain(path, TEXT).of(&served.door).await;
        assert_eq!(scores(&raw.json()), native, "{path}");
        let own = Ask::json(path, &json!({"input": TEXT})).of(&served.door).await.json();
        assert_eq!(scores(&own["results"][0]["predictions"]), native, "{path}");
        assert_eq!((&own["model"], &own["usage"]["inputs"]), (&json!("sentiment"), &json!(1)));
        let inputs = Ask::json(path, &json!({"inputs": [TEXT]})).of(&served.door).await.json();
        assert_eq!(scores(&inputs[0]), native, "{path}");
        let instances = Ask::json(path, &json!({"instances": [TEXT]})).of(&served.door).await.json();
        assert_eq!(scores(&instances["predictions"][0]), native, "{path}");
    }
}

#[tokio::test]
async fn a_picture_is_answered_by_the_model_for_pictures() {
    let served = served();
    let png = pictures::png(3, 20, 16);
    let native = Ask::post("/v1/image/classify").header("content-type", "image/png").body(png.clone());
    let native = scores(&native.of(&served.door).await.json()["results"][0]["predictions"]);
    for content_type in ["image/png", "application/x-image", "application/octet-stream"] {
        let ask = Ask::post("/invocations").header("content-type", content_type).body(png.clone());
        assert_eq!(scores(&ask.of(&served.door).await.json()), native, "{content_type}");
    }
}

#[tokio::test]
async fn custom_attributes_choose_and_come_back() {
    let served = Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_text(folder, "intents", 2);
    });
    let attributes = "c000b4f9-df62-4c85-a0bf-7c525f9104a4,model=intents,top_k=1";
    let ask = plain("/invocations", TEXT).header("X-Amzn-SageMaker-Custom-Attributes", attributes);
    let answer = ask.header("accept", "application/vnd.unheard-of").of(&served.door).await;
    assert_eq!(answer.headers["x-amzn-sagemaker-custom-attributes"], attributes);
    let native = native_scores(&served.door, "intents", TEXT).await;
    let best = answer.json();
    assert_eq!(best.as_array().unwrap().len(), 1);
    assert_eq!(best[0]["score"].to_string(), native[best[0]["label"].as_str().unwrap()]);
    let unnamed = plain("/invocations", TEXT).of(&served.door).await;
    assert_eq!(unnamed.status, 400, "two models could answer");
}

#[tokio::test]
async fn batch_transform_has_an_answer_a_line() {
    let served = served();
    let parameters = Ask::get("/execution-parameters").of(&served.door).await.json();
    let expected =
        json!({"MaxConcurrentTransforms": 10, "BatchStrategy": "MultiRecord", "MaxPayloadInMB": 10});
    assert_eq!(parameters, expected);
    let native = native_scores(&served.door, "sentiment", TEXT).await;
    let mut lines = vec![
        json!({"inputs": TEXT}).to_string(),
        "{".to_owned(),
        json!({"instances": [TEXT, "bad"]}).to_string(),
        json!(" ").to_string(),
    ];
    // Many more than one request may bring inputs.
    lines.extend((0..1_000).map(|number| json!({"inputs": format!("a good film {number}")}).to_string()));
    let ask =
        Ask::post("/invocations").header("content-type", "application/jsonlines").body(lines.join("\n"));
    let answer = ask.of(&served.door).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["content-type"]),
        (200, &"application/jsonlines".parse().unwrap())
    );
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    let answers: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), lines.len());
    assert_eq!(scores(&answers[0]), native);
    assert_eq!(answers[1]["error"]["code"], "invalid_json");
    assert_eq!(scores(&answers[2]["predictions"][0]), native);
    assert_eq!(answers[3]["error"]["code"], "empty_text");
    assert!(answers[4..].iter().all(|answer| answer[0]["label"].is_string()));
    let last = native_scores(&served.door, "sentiment", "a good film 999").await;
    assert_eq!(scores(answers.last().unwrap()), last, "in the order of the lines");
}

#[tokio::test]
async fn refusals_are_typed() {
    let served = served();
    let json = |body: Value| Ask::json("/invocations", &body);
    let cases = [
        (json(json!({"inputs": [TEXT, " "]})), 400, "BadRequestException", "inputs[1]: the text is empty"),
        (json(json!({"instances": "a"})), 400, "BadRequestException", "\"instances\" is a string"),
        (
            plain("/invocations", "a").header("X-Amzn-SageMaker-Custom-Attributes", "top_k=0"),
            400,
            "BadRequestException",
            "x-amzn-sagemaker-custom-attributes: top_k",
        ),
        (
            Ask::post("/invocations").header("content-type", "application/jsonlines").body("\n \n"),
            400,
            "BadRequestException",
            "the body has no line",
        ),
        (Ask::get("/invocations"), 405, "MethodNotAllowedException", "Requested method is not allowed"),
    ];
    for (ask, status, kind, message) in cases {
        let answer = ask.of(&served.door).await;
        let body = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &body["type"], &body["code"]),
            (status, &json!(kind), &json!(status)),
            "{body}"
        );
        assert!(body["message"].as_str().unwrap().starts_with(message), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_come_and_go_by_request() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "m", 1);
    models::tiny_text(folder.path(), "n", 2);
    let server = Server::start_with(folder.path(), &["--set", "platform.multi_model=true"]);
    let client = Client::new(server.address);
    client.until("/ping", |answer| answer.status == 200).await;
    assert_eq!(client.get("/models").await.json(), json!({"models": []}), "nothing is loaded by itself");

    // One that holds versions, and one that is a version.
    let versions = folder.path().join("m").display().to_string();
    let version = folder.path().join("n/1").display().to_string();
    let load = |name: &str, url: &str| json!({"model_name": name, "url": url});
    let name = "8d5f2cf7b7f9e0a1";
    for (name, url) in [(name, &versions), ("other", &version)] {
        let answer = client.post_json("/models", &load(name, url)).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    let again = client.post_json("/models", &load(name, &versions)).await;
    assert_eq!((again.status.as_u16(), &again.json()["type"]), (409, &json!("ConflictStatusException")));
    let nowhere = client.post_json("/models", &load("x", "/nowhere")).await;
    assert_eq!(nowhere.status, 400, "{}", nowhere.json());
    let listed = client.get("/models").await.json();
    assert_eq!(listed["models"][0], json!({"modelName": name, "modelUrl": versions}));
    assert_eq!(listed["models"].as_array().unwrap().len(), 2);
    assert_eq!(client.get("/models/other").await.json(), json!({"modelName": "other", "modelUrl": version}));
    assert_eq!(client.get("/models/none").await.status, 404);

    let invoke = format!("/models/{name}/invoke");
    let text = || Some(("text/plain", Bytes::from_static(TEXT.as_bytes())));
    let answer = client.send(Method::POST, &invoke, text()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    let other = client.send(Method::POST, "/models/other/invoke", text()).await.unwrap().json();
    assert_ne!(answer.json(), other, "each model answers for itself");
    let native = json!({"model": name, "input": TEXT});
    let native = client.post_json("/v1/text/classify", &native).await.json();
    assert_eq!(scores(&answer.json()), scores(&native["results"][0]["predictions"]));

    let gone = client.send(Method::DELETE, &format!("/models/{name}"), None).await.unwrap();
    assert_eq!(gone.status, 200, "{}", gone.json());
    for (method, path) in [(Method::POST, &invoke), (Method::DELETE, &format!("/models/{name}"))] {
        let answer = client.send(method, path, text()).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (404, &json!("ModelNotFoundException")));
    }
    assert_eq!(client.post_json("/models", &load(name, &versions)).await.status, 200, "it may come back");
}

#[tokio::test]
async fn models_are_not_brought_unless_the_platform_says_so() {
    let served = served();
    for ask in [Ask::get("/models"), Ask::json("/models", &json!({"model_name": "x", "url": "/x"}))] {
        let answer = ask.of(&served.door).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["type"]),
            (404, &json!("ResourceNotFoundException"))
        );
    }
}
