//! TensorFlow Serving's REST API and version 1 of `KServe`'s: answers equal the native ones, errors are in their words.

use axum::http::Method;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::door::{Ask, Served, config, native_scores};
use crate::support::{models, pictures};

const TEXT: &str = "a good film, the best thing in years";

fn served() -> Served {
    Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "digits", 1);
    })
}

async fn post(served: &Served, path: &str, body: &Value) -> Value {
    let answer = Ask::json(path, body).of(&served.door).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert!(answer.headers.contains_key("server-timing"));
    answer.json()
}

#[tokio::test]
async fn rows_columns_and_examples_have_the_native_scores() {
    let served = served();
    let native = native_scores(&served.door, "sentiment", TEXT).await;
    let scores = json!([&native["negative"], &native["positive"]]);
    let as_written = |scores: &Value| -> Value {
        scores.as_array().unwrap().iter().map(|score| json!(score.to_string())).collect()
    };
    let predict = "/v1/models/sentiment:predict";
    let encoded = base64::engine::general_purpose::STANDARD.encode(TEXT);
    for instance in [json!(TEXT), json!({"b64": encoded}), json!({"text": TEXT}), json!([TEXT])] {
        let rows = post(&served, predict, &json!({"instances": [instance, "bad"]})).await;
        assert_eq!(as_written(&rows["predictions"][0]), scores, "{instance}");
        assert_eq!(rows["predictions"].as_array().unwrap().len(), 2);
    }
    for column in [json!([TEXT]), json!({"text": [TEXT]})] {
        let outputs = post(&served, predict, &json!({"inputs": column})).await;
        assert_eq!(as_written(&outputs["outputs"][0]), scores, "{column}");
    }
    let one = post(&served, predict, &json!({"inputs": TEXT})).await;
    assert_eq!(as_written(&one["outputs"]), scores);
    for path in ["/v1/models/sentiment/versions/1:predict", "/v1/models/sentiment/labels/stable:Predict"] {
        let rows =
            post(&served, path, &json!({"signature_name": "serving_default", "instances": [TEXT]})).await;
        assert_eq!(as_written(&rows["predictions"][0]), scores, "{path}");
    }
    let results =
        post(&served, "/v1/models/sentiment:classify", &json!({"examples": [{"text": TEXT}]})).await;
    let rows = results["results"][0].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row[1].to_string(), native[row[0].as_str().unwrap()]);
    }
    assert!(rows[0][1].as_f64() >= rows[1][1].as_f64(), "the best comes first: {results}");
}

#[tokio::test]
async fn the_words_of_a_path_may_be_in_any_case() {
    let served = served();
    let native = native_scores(&served.door, "sentiment", TEXT).await;
    for path in ["/V1/Models/sentiment:Predict", "/v1/MODELS/sentiment/Versions/1:PREDICT"] {
        let rows = post(&served, path, &json!({"instances": [TEXT]})).await;
        assert_eq!(rows["predictions"][0][0].to_string(), native["negative"], "{path}");
    }
    for (path, small) in [
        ("/V1/models?x=1", "/v1/models"),
        ("/v1/Models/sentiment", "/v1/models/sentiment"),
        ("/V1/MODELS/sentiment/LABELS/stable/Metadata", "/v1/models/sentiment/labels/stable/metadata"),
    ] {
        let (found, expected) =
            (Ask::get(path).of(&served.door).await, Ask::get(small).of(&served.door).await);
        assert_eq!((found.status.as_u16(), found.json()), (200, expected.json()), "{path}");
    }
    let name =
        Ask::post("/V1/Models/Sentiment:predict").body(r#"{"instances": ["a"]}"#).of(&served.door).await;
    let error = json!({"error": "Servable not found for request: Latest(Sentiment)"});
    assert_eq!((name.status.as_u16(), name.json()), (404, error), "a name has its case");
    let other = Ask::get("/V1/Models/sentiment/Pages").of(&served.door).await;
    assert_eq!(other.status, 404, "{other:?}");
}

#[tokio::test]
async fn a_picture_is_the_same_encoded_and_as_its_pixels() {
    let served = served();
    let png = pictures::png(3, 8, 8);
    let native = Ask::new(&Method::PUT, "/v1/image/classify?model=digits").body(png.clone());
    let native = native.of(&served.door).await.json();
    let picture = image::load_from_memory(&png).unwrap().to_rgb8();
    let pixels: Vec<Vec<[u8; 3]>> = picture.rows().map(|row| row.map(|pixel| pixel.0).collect()).collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&png);
    for instance in
        [json!({"b64": encoded}), json!(encoded), json!({"image_bytes": {"b64": encoded}}), json!(pixels)]
    {
        let body = json!({"examples": [{"x": instance}]});
        let results = post(&served, "/v1/models/digits:classify", &body).await;
        for (row, expected) in results["results"][0]
            .as_array()
            .unwrap()
            .iter()
            .zip(native["results"][0]["predictions"].as_array().unwrap())
        {
            assert_eq!((&row[0], row[1].to_string()), (&expected["label"], expected["score"].to_string()));
        }
    }
    let outputs = post(&served, "/v1/models/digits:predict", &json!({"inputs": [pixels, pixels]})).await;
    assert_eq!(outputs["outputs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_page_of_a_model_is_for_all_clients_and_versions_have_a_status() {
    let served = served();
    let page = Ask::get("/v1/models/sentiment").of(&served.door).await.json();
    assert_eq!((&page["name"], &page["ready"]), (&json!("sentiment"), &json!(true)));
    assert_eq!(page["versions"][0]["state"], "ready", "the native page is still there");
    let status = json!([
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]);
    assert_eq!(page["model_version_status"], status);
    for path in ["/v1/models/sentiment/versions/1", "/v1/models/sentiment/labels/stable"] {
        let found = Ask::get(path).of(&served.door).await.json();
        assert_eq!(found, json!({"model_version_status": status}), "{path}");
    }
    let metadata = Ask::get("/v1/models/sentiment/metadata").of(&served.door).await.json();
    assert_eq!(metadata["model_spec"], json!({"name": "sentiment", "signature_name": "", "version": "1"}));
    let signature = &metadata["metadata"]["signature_def"]["signature_def"]["serving_default"];
    assert_eq!(signature["inputs"]["text"]["dtype"], "DT_STRING");
    assert_eq!(signature["outputs"]["scores"]["tensor_shape"]["dim"][1]["size"], "2");
    for path in ["/v1/models/digits/versions/1/metadata", "/v1/models/digits/labels/stable/metadata"] {
        let metadata = Ask::get(path).of(&served.door).await.json();
        let signature = &metadata["metadata"]["signature_def"]["signature_def"]["serving_default"];
        assert!(signature["inputs"]["image_bytes"].is_object(), "{metadata}");
    }
}

#[tokio::test]
async fn refusals_have_the_status_and_the_words_that_clients_know() {
    let served = served();
    let predict = "/v1/models/sentiment:predict";
    let instances = |instances: Value| json!({"instances": instances}).to_string();
    let cases: Vec<(Ask, u16, String)> = vec![
        (
            Ask::post("/v1/models/sentiment/versions/99999999999:predict").body(instances(json!(["a"]))),
            404,
            "Servable not found for request: Specific(sentiment, 99999999999)".into(),
        ),
        (
            Ask::post("/v1/models/sentiment/labels/canary:predict").body(instances(json!(["a"]))),
            400,
            "Unrecognized servable version label: canary".into(),
        ),
        (Ask::post(predict).body(""), 400, "JSON Parse error: The document is empty".into()),
        (
            Ask::post("/v1/models/digits:predict").body(r#"{"instances": [[NaN]]}"#),
            400,
            "JSON Parse error: NaN at offset: 16: no model here takes a number that is not finite".into(),
        ),
        (
            Ask::post(predict).body(r#"{"signature_name": "x", "instances": ["a"]}"#),
            400,
            "Serving signature name: \"x\" not found in signature def".into(),
        ),
        (
            Ask::post(predict).body(instances(json!(["a", " "]))),
            400,
            "instances[1]: the text is empty".into(),
        ),
        (Ask::post(predict).body(instances(json!(vec!["a"; 257]))), 400, "more than 256 inputs".into()),
        (
            Ask::post(predict).body(instances(json!(["a ".repeat(40_000)]))),
            413,
            "instances[0]: the text has 80000 bytes".into(),
        ),
        (
            Ask::post("/v1/models/sentiment:regress").body("{}"),
            400,
            "Expected regression signature method_name to be tensorflow/serving/regress".into(),
        ),
        (Ask::post("/v1/models/sentiment:explain").body("{}"), 501, "explanations are not computed".into()),
        (Ask::get(predict), 400, format!("Malformed request: GET {predict}")),
        (Ask::new(&Method::DELETE, predict), 400, format!("Malformed request: DELETE {predict}")),
        (Ask::post("/v1/models/sentiment:x"), 400, "Malformed request: POST /v1/models/sentiment:x".into()),
        (Ask::post("/v1/models/sentiment"), 400, "Malformed request: POST /v1/models/sentiment".into()),
        (
            Ask::post("/v1/models/sentiment/metadata"),
            400,
            "Malformed request: POST /v1/models/sentiment/metadata".into(),
        ),
        (Ask::get("/v1/models/none/versions/1"), 404, "Could not find any versions of model none".into()),
        (
            Ask::get("/v1/models/sentiment/versions/7"),
            404,
            "Could not find version 7 of model sentiment".into(),
        ),
        (Ask::get("/v1/models/sentiment/versions/x"), 400, "Failed to convert version: x to numeric.".into()),
        (Ask::get("/v1/models/none/metadata"), 404, "Servable not found for request: Latest(none)".into()),
        (Ask::get("/v1/models/sentiment/else/where"), 404, "there is nothing at".into()),
    ];
    for (ask, status, error) in cases {
        let answer = ask.of(&served.door).await;
        let body = answer.json();
        assert_eq!(answer.status.as_u16(), status, "{error}: {body}");
        assert!(body["error"].as_str().unwrap().starts_with(&error), "{error}: {body}");
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        assert!(answer.headers.contains_key("x-request-id"));
    }
}

#[tokio::test]
async fn an_unknown_model_has_a_page_of_errors_for_all_clients() {
    let served = served();
    let answer = Ask::get("/v1/models/none").of(&served.door).await;
    let detail = crate::support::door::problem(&answer, 404, "model_not_found");
    assert!(detail.contains("models: digits, sentiment"), "{detail}");
    assert_eq!(answer.json()["error"], "Could not find any versions of model none");
}
