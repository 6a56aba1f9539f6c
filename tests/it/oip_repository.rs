//! The model repository over HTTP: its index, and loading and unloading where that is allowed.

use std::sync::Arc;

use axum::Router;
use sconce::engine::DeviceChoice;
use sconce::http::{Control, Gateway, Parts, router};
use serde_json::{Value, json};

use crate::support::door::{Ask, Directory, Served, config, parts};
use crate::support::grpc::Grpc;
use crate::support::grpc::inference::model_repository_parameter::ParameterChoice;
use crate::support::grpc::inference::{
    ModelRepositoryParameter, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
};
use crate::support::models;

/// A door that may change its repository.
struct Controlled {
    gateway: Gateway,
    source: Arc<Directory>,
    door: Router,
    folder: tempfile::TempDir,
}

fn controlled() -> Controlled {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "sentiment", 1);
    let pipeline =
        sconce::pipeline::Config { device: DeviceChoice::Cpu, ..sconce::pipeline::Config::default() };
    let source = Arc::new(Directory::new(folder.path(), pipeline));
    let control = Some(Control(Arc::clone(&source) as _));
    let gateway = Gateway::from(Parts { control, ..parts(config()) });
    gateway.registry.reconcile(&source);
    let door = router(&gateway);
    Controlled { gateway, source, door, folder }
}

async fn post(door: &Router, path: &str, body: &Value) -> (u16, Value) {
    let answer = Ask::json(path, body).of(door).await;
    (answer.status.as_u16(), answer.json())
}

async fn index(door: &Router) -> Value {
    post(door, "/v2/repository/index", &json!({})).await.1
}

async fn is_ready(door: &Router) -> u16 {
    Ask::get("/v2/models/sentiment/ready").of(door).await.status.as_u16()
}

#[tokio::test]
async fn an_unloaded_model_stays_so_until_it_is_loaded() {
    let Controlled { gateway, source, door, folder } = controlled();
    let ready = json!([{"name": "sentiment", "version": "1", "state": "READY", "reason": ""}]);
    assert_eq!(index(&door).await, ready);
    let unloaded = post(&door, "/v2/repository/models/sentiment/unload", &json!({})).await;
    assert_eq!(unloaded, (200, json!({"name": "sentiment", "unload": true})));
    let gone = json!([{"name": "sentiment", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]);
    assert_eq!((index(&door).await, is_ready(&door).await), (gone, 400));
    assert_eq!(post(&door, "/v2/repository/index", &json!({"ready": true})).await, (200, json!([])));

    // The watcher looks, and finds even a new version: still the request holds.
    models::tiny_text(folder.path(), "sentiment", 2);
    gateway.registry.reconcile(&source);
    assert_eq!(is_ready(&door).await, 400);

    let loaded = post(&door, "/v2/repository/models/sentiment/load", &json!({})).await;
    assert_eq!(loaded, (200, json!({"name": "sentiment", "load": true})));
    assert_eq!(is_ready(&door).await, 200);
    let metadata = Ask::get("/v2/models/sentiment").of(&door).await.json();
    assert_eq!(metadata["versions"], json!(["2"]));
}

#[tokio::test]
async fn a_model_that_appears_is_loaded_by_request_and_one_that_is_not_there_is_told() {
    let Controlled { door, folder, .. } = controlled();
    models::tiny_image(folder.path(), "sign-digits", 1);
    assert_eq!(post(&door, "/v2/repository/models/sign-digits/load", &json!({})).await.0, 200);
    assert_eq!(Ask::get("/v2/models/sign-digits/ready").of(&door).await.status, 200);
    for action in ["load", "unload"] {
        let (status, body) = post(&door, &format!("/v2/repository/models/nobody/{action}"), &json!({})).await;
        let error = body["error"].as_str().unwrap();
        assert!(status == 404 && error.starts_with(&format!("failed to {action} 'nobody', ")), "{body}");
    }
    let weights = folder.path().join("sign-digits/1/weights.safetensors");
    std::fs::write(weights, "damaged").unwrap();
    let (status, body) = post(&door, "/v2/repository/models/sign-digits/load", &json!({})).await;
    // What is in memory goes on answering, and the index says nothing else.
    assert_eq!(status, 200, "{body}");
    post(&door, "/v2/repository/models/sign-digits/unload", &json!({})).await;
    let (status, body) = post(&door, "/v2/repository/models/sign-digits/load", &json!({})).await;
    assert!(
        status == 400 && body["error"].as_str().unwrap().starts_with("failed to load 'sign-digits', "),
        "{body}"
    );
}

#[tokio::test]
async fn a_load_may_say_how_the_model_is_run_until_the_next() {
    let Controlled { gateway, door, folder, .. } = controlled();
    let load = async |parameters: Value| {
        post(&door, "/v2/repository/models/sentiment/load", &json!({"parameters": parameters})).await
    };
    let config = async || Ask::get("/v2/models/sentiment/config").of(&door).await.json();
    let texts = |count: usize| json!({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [count], "data": vec!["good"; count]}]});
    let infer = async |count: usize| post(&door, "/v2/models/sentiment/infer", &texts(count)).await.0;
    assert_eq!(infer(3).await, 200);
    let before = config().await;

    // The whole configuration may come back with its changes.
    let mut changed = before.clone();
    changed["max_batch_size"] = json!(2);
    changed["instance_group"] = json!([{"count": 2, "kind": "KIND_CPU"}]);
    changed["dynamic_batching"]["default_queue_policy"] = json!({"max_queue_size": 5});
    let (status, body) = load(json!({"config": changed.to_string()})).await;
    assert_eq!(status, 200, "{body}");
    let now = config().await;
    assert_eq!((&now["max_batch_size"], &now["instance_group"][0]["count"]), (&json!(2), &json!(2)));
    assert_eq!((infer(2).await, infer(3).await), (200, 400));
    let entry = gateway.registry.resolve("sentiment", None).unwrap();
    assert_eq!((entry.handle.capacity().rows, entry.handle.queue_rows_max()), (2, 5));

    for (parameters, status, expected) in [
        (
            json!({"config": "{\"input\": []}"}),
            400,
            "failed to load 'sentiment', 'input' of its config is not supported",
        ),
        (
            json!({"config": "{}", "file:1/model.onnx": "AA=="}),
            501,
            "failed to load 'sentiment', parameter 'file:1/model.",
        ),
        (
            json!({"configuration": "{}"}),
            400,
            "failed to load 'sentiment', parameter 'configuration' is not known",
        ),
    ] {
        let (found, body) = load(parameters).await;
        assert!(found == status && body["error"].as_str().unwrap().starts_with(expected), "{body}");
    }
    assert_eq!(config().await, now, "a load that is refused changes nothing");
    let config_of = |text: &str| ModelRepositoryParameter {
        parameter_choice: Some(ParameterChoice::StringParam(text.to_owned())),
    };
    let over_grpc = RepositoryModelLoadRequest {
        model_name: "sentiment".to_owned(),
        parameters: [("config".to_owned(), config_of("{\"max_batch_size\": 4}"))].into(),
        ..RepositoryModelLoadRequest::default()
    };
    let path = "/inference.GRPCInferenceService/RepositoryModelLoad";
    Grpc::of(&door).call::<_, RepositoryModelLoadResponse>(path, over_grpc).await.unwrap();
    assert_eq!(config().await["max_batch_size"], 4);

    assert_eq!(load(json!({})).await.0, 200);
    assert_eq!(config().await, before, "a load without a config is by the settings");

    std::fs::write(folder.path().join("sentiment/1/weights.safetensors"), "damaged").unwrap();
    let (status, body) = load(json!({"config": "{\"max_batch_size\": 2}"})).await;
    assert!(
        status == 400 && body["error"].as_str().unwrap().starts_with("failed to load 'sentiment', "),
        "{body}"
    );
    assert_eq!((config().await, infer(3).await), (before, 200), "what answered before goes on");
}

#[tokio::test]
async fn what_is_not_allowed_or_not_understood_is_refused() {
    let served = Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
    });
    for action in ["load", "unload"] {
        let (status, body) =
            post(&served.door, &format!("/v2/repository/models/sentiment/{action}"), &json!({})).await;
        let error = body["error"].as_str().unwrap();
        assert!(status == 503 && error.starts_with("explicit model load / unload is not allowed"), "{body}");
    }
    assert_eq!(is_ready(&served.door).await, 200);
    let cases = [
        ("/v2/repository/index", json!({"ready": 1}), "Invalid value for 'ready': expected a boolean"),
        ("/v2/repository/index", json!([]), "failed to parse the request JSON buffer"),
        ("/v2/repository/models/sentiment/load", json!({"parameters": 1}), "Unable to parse 'parameters'"),
        (
            "/v2/repository/models/sentiment/unload",
            json!({"parameters": {"unload_dependents": 1}}),
            "Unable to parse 'unload_dependents'",
        ),
    ];
    for (path, body, expected) in cases {
        let (status, answer) = post(&served.door, path, &body).await;
        assert!(status == 400 && answer["error"].as_str().unwrap().starts_with(expected), "{answer}");
    }
    let empty = Ask::post("/v2/repository/index").of(&served.door).await;
    assert_eq!(empty.json()[0]["name"], "sentiment");
}

#[tokio::test]
async fn the_public_models_are_counted_loaded_and_unloaded_as_the_examples_ask() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = sconce::pipeline::Config::default();
    let control = Some(Control(Arc::new(Directory::new(folder.path(), pipeline))));
    let config = sconce::http::Config { conformance_models: true, ..config() };
    let door = router(&Gateway::from(Parts { control, ..parts(config) }));
    let load = "/v2/repository/models/simple/load";
    let config = |config: &str| json!({"parameters": {"config": config}});
    assert_eq!(post(&door, load, &config(r#"{"max_batch_size": "16"}"#)).await.0, 200);
    let size = async || Ask::get("/v2/models/simple/config").of(&door).await.json()["max_batch_size"].clone();
    assert_eq!(size().await, 16);
    let (status, body) = post(&door, load, &config("wrong")).await;
    assert!(status == 400 && body["error"].as_str().unwrap().starts_with("failed to load"), "{body}");
    assert_eq!(size().await, 16, "a load that is refused changes nothing");
    let tensor = |name| json!({"name": name, "datatype": "INT32", "shape": [1, 16], "data": vec![1; 16]});
    let body = json!({"inputs": [tensor("INPUT0"), tensor("INPUT1")]});
    assert_eq!(post(&door, "/v2/models/simple/infer", &body).await.0, 200);
    let counted = Ask::get("/v2/models/simple/stats").of(&door).await.json()["model_stats"][0].clone();
    assert_eq!(
        (&counted["inference_count"], &counted["execution_count"]),
        (&json!(1), &json!(1)),
        "{counted}"
    );
    assert_eq!(counted["inference_stats"]["success"]["count"], 1, "{counted}");
    assert_eq!(post(&door, "/v2/repository/models/simple/unload", &json!({})).await.0, 200);
    assert_eq!(Ask::get("/v2/models/simple/ready").of(&door).await.status, 400);
    assert_eq!(post(&door, "/v2/models/simple/infer", &body).await.0, 404);
}
