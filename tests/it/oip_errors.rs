//! What the Open Inference Protocol refuses over HTTP, with the status and in the words that Triton's clients know.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::door::{Ask, Served, config};
use crate::support::models;

const INFER: &str = "/v2/models/sentiment/infer";

fn served() -> Served {
    Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "sign-digits", 1);
    })
}

/// A request with this one input.
fn input(name: &str, datatype: &str, (shape, data): (Value, Value)) -> Value {
    json!({"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}]})
}

fn text(text: &str) -> Value {
    input("text", "BYTES", (json!([1]), json!([text])))
}

/// Asks, and checks that the answer is this status and an error that begins so.
async fn refused(served: &Served, asked: Ask, (status, expected): (u16, &str)) {
    let answer = asked.of(&served.door).await;
    assert_eq!(answer.headers["content-type"], "application/json", "{expected}");
    let body = answer.json();
    let error = body["error"].as_str().unwrap_or_else(|| panic!("{body}"));
    assert_eq!((answer.status.as_u16(), body.as_object().unwrap().len()), (status, 1), "{body}");
    assert!(error.starts_with(expected), "{error:?} does not begin with {expected:?}");
    assert!(answer.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn paths_methods_models_and_versions() {
    let served = served();
    let unknown = "Request for unknown model: 'nobody' is not found";
    let cases = [
        (Ask::get("/v2/nothing"), 404, "Not Found"),
        (Ask::get("/v2/models/sentiment/"), 404, "Not Found"),
        (Ask::get("/v2/models/sentiment/versions/one"), 404, "Not Found"),
        (Ask::get(INFER), 405, "Method Not Allowed"),
        (Ask::post("/v2/health/live"), 405, "Method Not Allowed"),
        (Ask::new(&Method::DELETE, "/v2/models/sentiment"), 405, "Method Not Allowed"),
        (Ask::get("/v2/models/nobody"), 404, unknown),
        (Ask::get("/v2/models/nobody/ready"), 404, unknown),
        (Ask::get("/v2/models/nobody/config"), 404, unknown),
        (Ask::get("/v2/models/nobody/stats"), 404, unknown),
        (Ask::get("/v2/models/nobody/trace/setting"), 404, unknown),
        (
            Ask::get("/v2/models/sentiment/versions/99999999999/ready"),
            404,
            "Request for unknown model: 'sentiment' version 99999999999 is not found",
        ),
        (
            Ask::get("/v2/models/sentiment/versions/0"),
            400,
            "failed to get model version from specified version string '0'",
        ),
    ];
    for (asked, status, expected) in cases {
        refused(&served, asked, (status, expected)).await;
    }
}

#[tokio::test]
async fn inputs_and_outputs() {
    let served = served();
    let with_outputs = |outputs: Value| {
        let mut body = text("good");
        body["outputs"] = outputs;
        body
    };
    let two = json!({"inputs": [
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]},
        {"name": "input_ids", "datatype": "INT64", "shape": [1, 1], "data": [2]},
    ]});
    let unequal = json!({"inputs": [
        {"name": "input_ids", "datatype": "INT64", "shape": [2, 1], "data": [2, 3]},
        {"name": "attention_mask", "datatype": "INT64", "shape": [1, 1], "data": [1]},
    ]});
    let many = vec!["good"; 257];
    let cases = [
        (
            input("words", "BYTES", (json!([1]), json!(["good"]))),
            "unexpected inference input 'words' for model 'sentiment'",
        ),
        (
            input("text", "BYTES", (json!([]), json!(["a"]))),
            "input 'text' has no shape but model requires batch dimension for 'sentiment'",
        ),
        (
            input("text", "BYTES", (json!([257]), json!(many))),
            "inference request batch-size must be <= 256 for 'sentiment'",
        ),
        (
            input("text", "BYTES", (json!([0]), json!([]))),
            "inference request batch-size must be >= 1 for 'sentiment'",
        ),
        (
            input("text", "BYTES", (json!([2]), json!(["a"]))),
            "Unable to parse 'data': shape does not match true shape",
        ),
        (two, "expected exactly one of the inputs that model 'sentiment' lists, got ['text','input_ids']"),
        (unequal, "input 'attention_mask' batch size does not match other inputs for 'sentiment'"),
        (
            with_outputs(json!([{"name": "logits"}])),
            "unexpected inference output 'logits' for model 'sentiment'",
        ),
        (
            with_outputs(json!([{"name": "label", "parameters": {"classification": 1}}])),
            "class result not available for output due to unsupported type 'BYTES'",
        ),
        (text(" "), "row 0 of the batch: the text is empty"),
        (json!({}), "Unable to parse 'inputs'"),
        (json!({"inputs": [{}]}), "Unable to parse 'name'"),
    ];
    for (body, expected) in cases {
        refused(&served, Ask::json(INFER, &body), (400, expected)).await;
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_and_pictures_that_are_none() {
    let served = served();
    refused(&served, Ask::post(INFER).body(""), (400, "failed to parse the request JSON buffer: ")).await;
    let deep = format!(r#"{{"inputs": [{{"data": {}"#, "[".repeat(500));
    refused(&served, Ask::post(INFER).body(deep), (400, "failed to parse the request JSON buffer: ")).await;
    let picture = input("image", "BYTES", (json!([1]), json!(["no picture"])));
    refused(&served, Ask::json("/v2/models/sign-digits/infer", &picture), (400, "row 0 of the batch: "))
        .await;
    let grey = input("pixels", "UINT8", (json!([1, 2, 2, 2]), json!([0, 1, 2, 3, 4, 5, 6, 7])));
    refused(
        &served,
        Ask::json("/v2/models/sign-digits/infer", &grey),
        (400, "row 0 of the batch: a picture of 2 x 2"),
    )
    .await;
}

#[tokio::test]
async fn settings_are_told_and_guarded() {
    let served = served();
    let logging = Ask::get("/v2/logging").of(&served.door).await.json();
    assert_eq!((&logging["log_file"], &logging["log_format"]), (&json!(""), &json!("default")));
    assert!(logging["log_verbose_level"].is_u64() && logging["log_info"].is_boolean(), "{logging}");
    let nothing = Ask::json("/v2/logging", &json!({"log_info": null})).of(&served.door).await;
    assert_eq!((nothing.status.as_u16(), nothing.json()), (200, logging));
    let change = Ask::json("/v2/logging", &json!({"log_verbose_level": 1}));
    refused(&served, change, (501, "log settings can not be updated: http.model_control is false")).await;
    let trace = Ask::get("/v2/trace/setting").of(&served.door).await.json();
    assert_eq!(trace["trace_level"], json!(["OFF"]));
    let same = Ask::json("/v2/models/sentiment/trace/setting", &json!({"trace_level": ["OFF"]}));
    assert_eq!(same.of(&served.door).await.json(), trace);
    let on = Ask::json("/v2/trace/setting", &json!({"trace_level": ["TIMESTAMPS"]}));
    refused(&served, on, (503, "the server does not support tracing")).await;
    let file = Ask::json("/v2/trace/setting", &json!({"trace_file": "x"}));
    refused(&served, file, (501, "trace file location can not be updated through network protocol")).await;
}
