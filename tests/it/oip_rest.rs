//! The Open Inference Protocol over HTTP: health, metadata, inference in every form, statistics.

use axum::Router;
use axum::http::Method;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::door::{Ask, Served, config};
use crate::support::{models, pictures};

const TEXTS: [&str; 3] = ["a good film", "a bad film", "not good , not bad , so so"];

fn served() -> Served {
    Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "sign-digits", 1);
    })
}

fn texts(texts: &[&str]) -> Value {
    json!({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [texts.len()], "data": texts}]})
}

async fn infer(door: &Router, model: &str, body: &Value) -> Answer {
    Ask::json(&format!("/v2/models/{model}/infer"), body).of(door).await
}

/// The output of this name.
fn output<'a>(body: &'a Value, name: &str) -> &'a Value {
    let outputs = body["outputs"].as_array().unwrap_or_else(|| panic!("{body}"));
    outputs.iter().find(|output| output["name"] == name).unwrap_or_else(|| panic!("{body}"))
}

/// The scores of the native API, in the order of the labels.
async fn native_scores(door: &Router, text: &str) -> Vec<f32> {
    let body = json!({"input": text, "model": "sentiment"});
    let answer = Ask::json("/v1/text/classify", &body).of(door).await.json();
    let predictions = answer["results"][0]["predictions"].as_array().unwrap().clone();
    let of = |label: &str| {
        let found = predictions.iter().find(|found| found["label"] == label).unwrap();
        found["score"].to_string().parse::<f32>().unwrap()
    };
    vec![of("negative"), of("positive")]
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|score| score.to_bits()).collect()
}

fn json_scores(scores: &Value) -> Vec<f32> {
    scores["data"].as_array().unwrap().iter().map(|score| score.to_string().parse().unwrap()).collect()
}

#[tokio::test]
async fn the_server_says_what_it_is_and_that_it_is_ready() {
    let served = served();
    let said = Ask::get("/v2").of(&served.door).await.json();
    assert_eq!(
        (&said["name"], said["version"].as_str()),
        (&json!("sconce"), Some(env!("CARGO_PKG_VERSION")))
    );
    for extension in ["binary_tensor_data", "classification", "statistics", "model_repository"] {
        assert!(said["extensions"].as_array().unwrap().contains(&extension.into()), "{said}");
    }
    let live = Ask::get("/v2/health/live").of(&served.door).await;
    assert_eq!((live.status.as_u16(), live.json()), (200, json!({"live": true})));
    let ready = Ask::get("/v2/health/ready").of(&served.door).await;
    assert_eq!((ready.status.as_u16(), ready.json()), (200, json!({"ready": true, "live": true})));
    for path in ["/v2/models/sentiment/ready", "/v2/models/sentiment/versions/1/ready"] {
        let ready = Ask::get(path).of(&served.door).await;
        assert_eq!((ready.status.as_u16(), ready.json()), (200, json!({"name": "sentiment", "ready": true})));
    }
    assert_eq!(
        Ask::get("/v2/models").of(&served.door).await.json(),
        json!({"models": ["sentiment", "sign-digits"]})
    );
}

#[tokio::test]
async fn a_server_without_models_is_not_ready() {
    let door = crate::support::door::door(config());
    let ready = Ask::get("/v2/health/ready").of(&door).await;
    assert_eq!((ready.status.as_u16(), ready.json()), (400, json!({"error": "Server not ready"})));
    assert_eq!(Ask::get("/v2/health/live").of(&door).await.status, 200);
}

#[tokio::test]
async fn a_model_lists_what_it_takes_and_gives() {
    let served = served();
    let metadata = Ask::get("/v2/models/sign-digits").of(&served.door).await.json();
    let expected = json!({
        "name": "sign-digits", "versions": ["1"], "platform": "sconce_safetensors",
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1, -1]},
            {"name": "tensor", "datatype": "FP32", "shape": [-1, 3, 8, 8]},
        ],
        "outputs": [
            {"name": "scores", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
        ],
    });
    assert_eq!(metadata, expected);
    let of_version = Ask::get("/v2/models/sign-digits/versions/1").of(&served.door).await.json();
    assert_eq!(of_version, expected);
    let config = Ask::get("/v2/models/sentiment/config").of(&served.door).await.json();
    assert_eq!((&config["name"], &config["max_batch_size"]), (&json!("sentiment"), &json!(256)));
    assert_eq!(config["input"][0]["data_type"], "TYPE_STRING");
    assert_eq!(config["input"][0]["dims"], json!([1]));
    assert_eq!(config["output"][0], json!({"name": "scores", "data_type": "TYPE_FP32", "dims": [2]}));
}

#[tokio::test]
async fn scores_are_those_of_the_native_api_to_the_bit() {
    let served = served();
    let answer = infer(&served.door, "sentiment", &texts(&TEXTS)).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!((&body["model_name"], &body["model_version"]), (&json!("sentiment"), &json!("1")));
    assert_eq!(body.get("id"), None);
    let scores = output(&body, "scores");
    assert_eq!((&scores["datatype"], &scores["shape"]), (&json!("FP32"), &json!([3, 2])));
    let mut native = Vec::new();
    for text in TEXTS {
        native.extend(native_scores(&served.door, text).await);
    }
    assert_eq!(bits(&json_scores(scores)), bits(&native));
    let (labels, best) = (output(&body, "label"), json_scores(output(&body, "score")));
    for (row, scores) in native.chunks(2).enumerate() {
        let expected = if scores[1] > scores[0] { "positive" } else { "negative" };
        assert_eq!(labels["data"][row], expected);
        assert_eq!(best[row].to_bits(), scores[0].max(scores[1]).to_bits());
    }
}

#[tokio::test]
async fn nested_data_a_second_dimension_and_a_version_change_nothing() {
    let served = served();
    let flat = infer(&served.door, "sentiment", &texts(&TEXTS)).await.json();
    let column = json!({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [3, 1],
        "data": [[TEXTS[0]], [TEXTS[1]], [TEXTS[2]]]}]});
    assert_eq!(infer(&served.door, "sentiment", &column).await.json(), flat);
    let versioned = Ask::json("/v2/models/sentiment/versions/1/infer", &texts(&TEXTS)).of(&served.door).await;
    assert_eq!(versioned.json(), flat);
}

#[tokio::test]
async fn id_outputs_classes_and_parameters_are_heeded() {
    let served = served();
    let mut body = texts(&TEXTS[..1]);
    body["id"] = json!("42");
    body["parameters"] = json!({"priority": 1, "timeout": 5_000_000, "anything": "else"});
    body["outputs"] = json!([{"name": "label"}, {"name": "scores", "parameters": {"classification": 2}}]);
    let answer = infer(&served.door, "sentiment", &body).await.json();
    assert_eq!(answer["id"], "42");
    let outputs = answer["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 2, "{answer}");
    assert_eq!((&outputs[0]["name"], &outputs[1]["name"]), (&json!("label"), &json!("scores")));
    assert_eq!((&outputs[1]["datatype"], &outputs[1]["shape"]), (&json!("BYTES"), &json!([1, 2])));
    let classes: Vec<&str> =
        outputs[1]["data"].as_array().unwrap().iter().map(|class| class.as_str().unwrap()).collect();
    let parts: Vec<Vec<&str>> = classes.iter().map(|class| class.split(':').collect()).collect();
    assert_eq!(parts[0][2], outputs[0]["data"][0].as_str().unwrap(), "best first: {classes:?}");
    let mut labels: Vec<&str> = parts.iter().map(|parts| parts[2]).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["negative", "positive"]);
    for parts in &parts {
        assert_eq!(parts[1], if parts[2] == "negative" { "0" } else { "1" });
        assert!(parts[0].parse::<f32>().unwrap() <= 1.0 && parts[0].len() == "0.123456".len(), "{parts:?}");
    }
    body["parameters"] = json!({"timeout": 1});
    let late = infer(&served.door, "sentiment", &body).await;
    assert_eq!(late.status, 503);
    assert!(late.json()["error"].as_str().unwrap().starts_with("Request timeout expired"), "{late:?}");
}

#[tokio::test]
async fn token_ids_are_those_of_the_text() {
    let served = served();
    // The ids of "a good film" by the tiny model's tokenizer, found by asking: any ids of its vocabulary do.
    let of = |shape: Value, ids: Value, mask: Option<Value>| {
        let mut inputs = vec![json!({"name": "input_ids", "datatype": "INT64", "shape": shape, "data": ids})];
        inputs.extend(mask.map(
            |mask| json!({"name": "attention_mask", "datatype": "INT64", "shape": shape, "data": mask}),
        ));
        json!({"inputs": inputs})
    };
    let scores = async |body: Value| {
        let answer = infer(&served.door, "sentiment", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        bits(&json_scores(output(&answer.json(), "scores")))
    };
    let plain = scores(of(json!([1, 3]), json!([2, 3, 4]), None)).await;
    assert_eq!(
        scores(of(json!([1, 5]), json!([2, 3, 4, 0, 0]), None)).await,
        plain,
        "zeros at the end are padding"
    );
    let masked = of(json!([1, 5]), json!([2, 3, 4, 7, 7]), Some(json!([1, 1, 1, 0, 0])));
    assert_eq!(scores(masked).await, plain, "the mask says how many count");
    let both = scores(of(json!([2, 3]), json!([[2, 3, 4], [5, 0, 0]]), None)).await;
    assert_eq!(both[..2], plain);
    for (body, expected) in [
        (of(json!([1, 2]), json!([2, -3]), None), "token id -3"),
        (of(json!([1, 2]), json!([0, 0]), None), "row 0 of the batch"),
        (of(json!([1, 2]), json!([2, 3]), Some(json!([0, 1]))), "padding comes after the tokens"),
        (of(json!([1, 2]), json!([2, 3_000_000_000_i64]), None), "token"),
    ] {
        let refused = infer(&served.door, "sentiment", &body).await;
        let error = refused.json()["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(refused.status, 400, "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_picture_may_be_the_body_or_a_ready_tensor() {
    let served = served();
    let png = pictures::png(3, 20, 16);
    let raw = Ask::post("/v2/models/sign-digits/infer").header("inference-header-content-length", "0");
    let raw = raw.body(png.clone()).of(&served.door).await;
    assert_eq!(raw.status, 200, "{raw:?}");
    let length: usize = raw.headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    let head: Value = serde_json::from_slice(&raw.body[..length]).unwrap();
    assert_eq!(head["outputs"][0]["parameters"]["binary_data_size"], 12);
    let ready = vec![0.25_f32; 3 * 8 * 8];
    let body =
        json!({"inputs": [{"name": "tensor", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": ready}]});
    let answer = infer(&served.door, "sign-digits", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn tensors_come_and_go_as_bytes() {
    let served = served();
    let tail: Vec<u8> = TEXTS
        .iter()
        .flat_map(|text| {
            let length = u32::try_from(text.len()).unwrap().to_le_bytes();
            [&length[..], text.as_bytes()].concat()
        })
        .collect();
    let head = json!({
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [3], "parameters": {"binary_data_size": tail.len()}}],
        "outputs": [{"name": "scores", "parameters": {"binary_data": true}}, {"name": "label"}],
    }).to_string();
    let asked = Ask::post("/v2/models/sentiment/infer")
        .header("content-type", "application/octet-stream")
        .header("inference-header-content-length", &head.len().to_string());
    let answer = asked.body([head.as_bytes(), &tail].concat()).of(&served.door).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let length: usize = answer.headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(answer.body.len(), length + 3 * 2 * 4);
    let json: Value = serde_json::from_slice(&answer.body[..length]).unwrap();
    assert_eq!(output(&json, "scores").get("data"), None);
    assert_eq!(output(&json, "label")["data"].as_array().unwrap().len(), 3);
    let scores: Vec<u32> =
        answer.body[length..].as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    let in_json = infer(&served.door, "sentiment", &texts(&TEXTS)).await.json();
    assert_eq!(scores, bits(&json_scores(output(&in_json, "scores"))));
    let text = in_json.to_string();
    assert!(!text.contains("binary_data_size"));
}

#[tokio::test]
async fn statistics_count_rows_requests_and_executions() {
    let served = served();
    let stats = async || {
        let all = Ask::get("/v2/models/sentiment/stats").of(&served.door).await.json();
        assert_eq!(all["model_stats"].as_array().unwrap().len(), 1, "{all}");
        all["model_stats"][0].clone()
    };
    let before = stats().await;
    assert_eq!((&before["inference_count"], &before["execution_count"]), (&json!(0), &json!(0)), "{before}");
    infer(&served.door, "sentiment", &texts(&TEXTS)).await;
    native_scores(&served.door, TEXTS[0]).await;
    infer(&served.door, "sentiment", &texts(&[" "])).await;
    let after = stats().await;
    assert_eq!(after["inference_count"], 4, "of every protocol: {after}");
    assert_eq!(after["inference_stats"]["success"]["count"], 2, "{after}");
    assert_eq!(after["inference_stats"]["fail"]["count"], 1, "{after}");
    assert!(after["inference_stats"]["compute_infer"]["ns"].as_u64().unwrap() > 0, "{after}");
    assert!(after["last_inference"].as_u64().unwrap() > 1_600_000_000_000, "{after}");
    let batches = after["batch_stats"].as_array().unwrap();
    let sum = |of: &dyn Fn(&Value) -> u64| batches.iter().map(of).sum::<u64>();
    let count = |batch: &Value| batch["compute_infer"]["count"].as_u64().unwrap();
    assert_eq!(sum(&count), after["execution_count"].as_u64().unwrap());
    assert_eq!(sum(&|batch| count(batch) * batch["batch_size"].as_u64().unwrap()), 4, "{after}");
    let every = Ask::get("/v2/models/stats").of(&served.door).await.json();
    assert_eq!(every["model_stats"].as_array().unwrap().len(), 2, "{every}");
    let of_version = Ask::get("/v2/models/sentiment/versions/1/stats").of(&served.door).await.json();
    assert_eq!(of_version["model_stats"][0]["inference_count"], 4);
}

#[tokio::test]
async fn the_public_models_answer_when_they_are_switched_on() {
    let on = Served::with(sconce::http::Config { conformance_models: true, ..config() }, |folder| {
        models::tiny_text(folder, "sentiment", 1);
    });
    assert_eq!(Ask::get("/v2").of(&on.door).await.json()["name"], "triton");
    let numbers: Vec<i32> = (0..16).collect();
    let input = |name: &str, data: Vec<i32>| json!({"name": name, "datatype": "INT32", "shape": [1, 16], "data": data});
    let body = json!({"inputs": [input("INPUT0", numbers.clone()), input("INPUT1", vec![1; 16])]});
    let answer = infer(&on.door, "simple", &body).await.json();
    assert_eq!(output(&answer, "OUTPUT0")["data"], json!((1..17).collect::<Vec<i32>>()));
    assert_eq!(output(&answer, "OUTPUT1")["data"], json!((-1..15).collect::<Vec<i32>>()));
    let off = served();
    assert_eq!(infer(&off.door, "simple", &body).await.status, 404);
    let other = Ask::new(&Method::GET, "/v2/models/simple/versions/2").of(&on.door).await;
    assert_eq!(other.json(), json!({"error": "Request for unknown model: 'simple' version 2 is not found"}));
}
