//! text-embeddings-inference's API and the shape of Hugging Face's pipelines.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::door::{Ask, Served, config, native_scores, problem, scores};
use crate::support::{models, pictures};

const TEXT: &str = "a good film, the best thing in years";

fn served() -> Served {
    Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "digits", 1);
    })
}

#[tokio::test]
async fn texts_have_the_native_scores() {
    let served = served();
    let native = native_scores(&served.door, "sentiment", TEXT).await;
    let answer = Ask::json("/predict", &json!({"inputs": TEXT, "raw_scores": false})).of(&served.door).await;
    assert_eq!(scores(&answer.json()), native);
    for name in
        ["x-compute-type", "x-compute-time", "x-compute-characters", "x-compute-tokens", "x-total-time"]
    {
        assert!(answer.headers.contains_key(name), "{name}");
    }
    assert_eq!(answer.headers["x-compute-type"], "cpu");
    assert_eq!(answer.headers["x-compute-characters"], TEXT.len().to_string().as_str());
    let batch = Ask::json("/predict", &json!({"inputs": [[TEXT], ["bad"]]})).of(&served.door).await.json();
    assert_eq!(scores(&batch[0]), native);
    assert_eq!(batch.as_array().unwrap().len(), 2);

    // As Hugging Face's API, of whose answer its clients take the first.
    let pipeline = Ask::json("/", &json!({"inputs": TEXT, "parameters": {}})).of(&served.door).await.json();
    assert_eq!(scores(&pipeline[0]), native);
    assert_eq!(pipeline.as_array().unwrap().len(), 1);
    let list = json!({"inputs": [TEXT, "bad"], "parameters": {"top_k": 1, "function_to_apply": "softmax"}});
    let list = Ask::json("/", &list).of(&served.door).await.json();
    assert_eq!((list[0].as_array().unwrap().len(), list.as_array().unwrap().len()), (1, 2));
    assert_eq!(list[0][0]["score"].to_string(), native[list[0][0]["label"].as_str().unwrap()]);
    let plain = Ask::post("/").header("content-type", "text/plain").body(TEXT).of(&served.door).await;
    assert_eq!(scores(&plain.json()[0]), native);
}

#[tokio::test]
async fn raw_scores_are_what_scores_are_made_of() {
    let served = served();
    let ask = async |inputs: Value, raw: bool| {
        Ask::json("/predict", &json!({"inputs": inputs, "raw_scores": raw})).of(&served.door).await.json()
    };
    let (scores, logits) = (ask(json!(TEXT), false).await, ask(json!(TEXT), true).await);
    let logit = |place: usize| logits[place]["score"].as_f64().unwrap();
    assert!(logit(0) > logit(1), "the best comes first: {logits}");
    assert_eq!((&logits[0]["label"], &logits[1]["label"]), (&scores[0]["label"], &scores[1]["label"]));
    let best = 1.0 / (1.0 + (logit(1) - logit(0)).exp());
    assert!((best - scores[0]["score"].as_f64().unwrap()).abs() < 1e-6, "{scores} of {logits}");
    assert_eq!(ask(json!([[TEXT], ["bad"]]), true).await[0], logits);
}

#[tokio::test]
async fn the_url_of_a_pipeline_may_name_its_model() {
    let served = served();
    let encoded = base64::engine::general_purpose::STANDARD.encode(pictures::png(3, 20, 16));
    // What Hugging Face's client sends of a picture when it asks for anything besides: nothing says that it is one.
    let picture = json!({"inputs": encoded, "parameters": {"top_k": 2}});
    let answer = Ask::json("/?model=digits", &picture).of(&served.door).await.json();
    assert_eq!((answer[0]["label"].is_string(), answer.as_array().unwrap().len()), (true, 2), "{answer}");
    problem(&Ask::json("/?modle=digits", &picture).of(&served.door).await, 400, "invalid_request");
}

#[tokio::test]
async fn a_pipeline_takes_pictures() {
    let served = served();
    let png = pictures::png(3, 20, 16);
    let native = Ask::post("/v1/image/classify").header("content-type", "image/png").body(png.clone());
    let native = scores(&native.of(&served.door).await.json()["results"][0]["predictions"]);
    let raw = Ask::post("/").header("content-type", "image/png").body(png.clone()).of(&served.door).await;
    assert_eq!(scores(&raw.json()), native);
    let untyped = Ask::post("/").body(png.clone()).of(&served.door).await;
    assert_eq!(scores(&untyped.json()), native);
    let encoded = base64::engine::general_purpose::STANDARD.encode(&png);
    let in_json = json!({"inputs": {"b64": encoded}, "parameters": {"model": "digits"}});
    assert_eq!(scores(&Ask::json("/", &in_json).of(&served.door).await.json()), native);
}

#[tokio::test]
async fn the_model_and_its_tokens_are_told() {
    let served = served();
    let info = Ask::get("/info").of(&served.door).await.json();
    assert_eq!(info["model_id"], "sentiment");
    assert_eq!(info["model_type"]["classifier"]["id2label"], json!({"0": "negative", "1": "positive"}));
    assert_eq!(info["model_type"]["classifier"]["label2id"]["positive"], 1);
    assert_eq!((&info["max_input_length"], &info["max_client_batch_size"]), (&json!(32), &json!(256)));
    assert_eq!(info["model_sha"].as_str().unwrap().len(), 64);
    let tokens = Ask::json("/tokenize", &json!({"inputs": ["a Film"]})).of(&served.door).await.json();
    let texts: Vec<&Value> = tokens[0].as_array().unwrap().iter().map(|token| &token["text"]).collect();
    assert_eq!(texts, ["a", "Film"], "{tokens}");
    assert_eq!((&tokens[0][1]["start"], &tokens[0][1]["stop"]), (&json!(2), &json!(6)));
    let one = Ask::json("/tokenize", &json!({"inputs": "a Film", "add_special_tokens": false}));
    assert_eq!(one.of(&served.door).await.json(), tokens, "this tokenizer adds none");
    let health = Ask::get("/health").of(&served.door).await;
    assert_eq!((health.status.as_u16(), health.body.len()), (200, 0));
}

#[tokio::test]
async fn refusals_have_the_types_that_clients_know() {
    let served = served();
    let predict = |body: Value| Ask::json("/predict", &body);
    let cases = [
        (predict(json!({"inputs": []})), 400, "Empty", "`inputs` cannot be empty"),
        (predict(json!({"inputs": " "})), 422, "Validation", "the text is empty"),
        (predict(json!({"inputs": [["a"], [" "]]})), 422, "Validation", "inputs[1]: the text is empty"),
        (
            predict(json!({"inputs": "good ".repeat(40), "truncate": false})),
            422,
            "Validation",
            "`inputs` must have at most 32 tokens",
        ),
        (predict(json!({"inputs": vec![["a"]; 257]})), 422, "Validation", "batch size 257 > maximum allowed"),
        (Ask::get("/predict"), 405, "Validation", "/predict does not take GET"),
        (Ask::json("/tokenize", &json!({"inputs": [1]})), 422, "Validation", "`inputs` is numbers"),
    ];
    for (ask, status, error_type, error) in cases {
        let answer = ask.of(&served.door).await;
        let body = answer.json();
        assert_eq!((answer.status.as_u16(), &body["error_type"]), (status, &json!(error_type)), "{body}");
        assert!(body["error"].as_str().unwrap().starts_with(error), "{body}");
    }
}

#[tokio::test]
async fn at_the_root_an_error_is_for_all_clients() {
    let served = served();
    let answer = Ask::json("/", &json!({"inputs": "a", "topk": 1})).of(&served.door).await;
    let detail = problem(&answer, 400, "invalid_request");
    let body = answer.json();
    assert_eq!((body["error"].as_str(), &body["error_type"]), (Some(detail.as_str()), &json!("Validation")));
    let function = json!({"inputs": "a", "parameters": {"function_to_apply": "sigmoid"}});
    let detail = problem(&Ask::json("/", &function).of(&served.door).await, 400, "invalid_request");
    assert!(detail.contains("softmax"), "{detail}");
}
