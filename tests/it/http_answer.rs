//! Answers: every way to ask gives the same answer, and everything that is documented is true.

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};

use axum::http::Method;

use crate::support::door::{Ask, Served, config, door};
use crate::support::{models, pictures};

const TEXT: &str = "/v1/text/classify";
const IMAGE: &str = "/v1/image/classify";

/// Models of the names that the documentation uses.
fn served() -> Served {
    Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "sign-digits", 1);
    })
}

fn form(files: &[Bytes]) -> Ask {
    let mut body = Vec::new();
    for file in files {
        body.extend_from_slice(
            b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n",
        );
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    Ask::post(IMAGE).header("content-type", "multipart/form-data; boundary=b").body(body)
}

#[tokio::test]
async fn a_text_is_answered_the_same_however_it_is_sent() {
    let served = served();
    let as_json = Ask::json(TEXT, &json!({"input": "good film"})).of(&served.door).await;
    assert_eq!(as_json.status, 200);
    let timing = as_json.headers["server-timing"].to_str().unwrap();
    for phase in ["prepare;dur=", "queue;dur=", "compute;dur="] {
        assert!(timing.contains(phase), "{timing}");
    }
    let body = as_json.json();
    assert_eq!((&body["model"], &body["version"]), (&json!("sentiment"), &json!("1")));
    assert_eq!(body["usage"]["inputs"], 1);
    assert!(body["usage"]["tokens"].as_u64().unwrap() >= 1, "{body}");
    assert!(body["usage"].get("pixels").is_none(), "{body}");
    let scores: Vec<f64> =
        predictions(&body, 0).iter().map(|found| found["score"].as_f64().unwrap()).collect();
    assert!(scores.len() >= 2 && scores.is_sorted_by(|left, right| left >= right), "{body}");
    assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{body}");

    let plain = Ask::post("/v1/text/classify?model=sentiment").header("content-type", "text/plain");
    assert_eq!(plain.body("good film").of(&served.door).await.json(), body);
    let named = json!({"input": "good film", "model": "sentiment", "version": "1", "top_k": 99});
    assert_eq!(Ask::json(TEXT, &named).of(&served.door).await.json(), body);
    let best = Ask::json(TEXT, &json!({"input": "good film", "top_k": 1})).of(&served.door).await.json();
    assert_eq!(predictions(&best, 0), &predictions(&body, 0)[..1]);
}

fn predictions(body: &Value, at: usize) -> &[Value] {
    body["results"][at]["predictions"].as_array().unwrap_or_else(|| panic!("{body}"))
}

#[tokio::test]
async fn a_list_is_answered_in_its_order() {
    let served = served();
    let texts = ["good film", "bad film", "good", "film film film film"];
    let all = Ask::json(TEXT, &json!({"input": texts})).of(&served.door).await.json();
    assert_eq!(all["results"].as_array().unwrap().len(), texts.len());
    assert_eq!(all["usage"]["inputs"], texts.len());
    for (at, text) in texts.iter().enumerate() {
        let alone = Ask::json(TEXT, &json!({"input": text})).of(&served.door).await.json();
        for (found, alone) in predictions(&all, at).iter().zip(predictions(&alone, 0)) {
            assert_eq!(found["label"], alone["label"], "{text}");
            let difference = found["score"].as_f64().unwrap() - alone["score"].as_f64().unwrap();
            assert!(difference.abs() < 1e-5, "{text}: {difference}");
        }
    }
}

#[tokio::test]
async fn a_long_text_is_cut_and_says_so() {
    let served = served();
    let long = Ask::json(TEXT, &json!({"input": "good film ".repeat(5_000)})).of(&served.door).await.json();
    assert_eq!(long["results"][0]["truncated"], true, "{long}");
    let short = Ask::json(TEXT, &json!({"input": "good film"})).of(&served.door).await.json();
    assert!(short["results"][0].get("truncated").is_none(), "{short}");
}

#[tokio::test]
async fn a_picture_is_answered_the_same_however_it_is_sent() {
    let served = served();
    let png = pictures::png(3, 40, 30);
    let typed = Ask::post(IMAGE).header("content-type", "image/png").body(png.clone());
    let body = typed.of(&served.door).await.json();
    assert_eq!((&body["model"], &body["usage"]["inputs"]), (&json!("sign-digits"), &json!(1)), "{body}");
    assert!(body["usage"]["pixels"].as_u64().unwrap() > 1 && body["usage"].get("tokens").is_none(), "{body}");
    assert!(predictions(&body, 0).len() >= 2, "{body}");

    let encoded = base64::engine::general_purpose::STANDARD.encode(&png);
    let others = [
        ("POST without a type", Ask::post(IMAGE).body(png.clone())),
        ("PUT, as curl -T", Ask::new(&Method::PUT, IMAGE).body(png.clone())),
        ("bytes", Ask::post(IMAGE).header("content-type", "application/octet-stream").body(png.clone())),
        ("another picture type", Ask::post(IMAGE).header("content-type", "image/jpeg").body(png.clone())),
        ("a form", form(std::slice::from_ref(&png))),
        ("base64", Ask::json(IMAGE, &json!({"input": encoded}))),
        ("a data: URL", Ask::json(IMAGE, &json!({"input": format!("data:image/png;base64,{encoded}")}))),
    ];
    for (what, ask) in others {
        assert_eq!(ask.of(&served.door).await.json(), body, "{what}");
    }
    let pair = form(&[png.clone(), png]).of(&served.door).await.json();
    assert_eq!(pair["usage"]["inputs"], 2);
    assert_eq!(predictions(&pair, 1).len(), predictions(&body, 0).len());
}

#[tokio::test]
async fn the_catalogue_says_what_a_model_is() {
    let served = served();
    let all = Ask::get("/v1/models").of(&served.door).await.json();
    let short: Vec<_> = all["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| (&model["name"], &model["state"], &model["task"]))
        .collect();
    let (ready, text, image) = (json!("ready"), json!("text-classification"), json!("image-classification"));
    assert_eq!(short, [(&json!("sentiment"), &ready, &text), (&json!("sign-digits"), &ready, &image)]);
    let model = Ask::get("/v1/models/sentiment").of(&served.door).await.json();
    let version = &model["versions"][0];
    assert_eq!(
        (&version["version"], &version["state"], &version["task"]),
        (&json!("1"), &ready, &text),
        "{model}"
    );
    assert_eq!(version["inputs"]["kind"], "text", "{model}");
    assert!(version["labels"].as_array().is_some_and(|labels| labels.len() >= 2), "{model}");
    assert_eq!(version["device"], "cpu", "{model}");
    // It was said, so nothing was measured.
    assert_eq!((&version["engine_rows"], &version["step_cost"]), (&json!(8), &json!(null)), "{model}");
    assert!(version["training"].is_object() && version["architecture"].is_object(), "{model}");
    let picture = Ask::get("/v1/models/sign-digits").of(&served.door).await.json();
    assert_eq!(picture["versions"][0]["inputs"]["kind"], "picture", "{picture}");
    let unknown = Ask::get("/v1/models/sentimnt").of(&served.door).await;
    let detail = crate::support::door::problem(&unknown, 404, "model_not_found");
    assert!(detail.contains(r#"did you mean "sentiment"?"#), "{detail}");
    let ready = Ask::get("/health/ready").of(&served.door).await;
    assert_eq!((ready.status.as_u16(), ready.json()), (200, json!({"status": "ready"})));
    let front = Ask::get("/").header("host", "here:1").of(&served.door).await;
    let front = String::from_utf8(front.body.to_vec()).unwrap();
    assert!(front.contains("curl http://here:1/v1/text/classify"), "{front}");
}

#[tokio::test]
async fn every_documented_example_is_answered() {
    let served = served();
    let document = Ask::get("/openapi.json").of(&door(config())).await.json();
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let Some(contents) = operation["requestBody"]["content"].as_object() else { continue };
            for (content_type, content) in contents {
                let named = content["examples"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(_, example)| &example["value"]);
                for example in named.chain(content.get("example")) {
                    let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                    let path = [("{name}", "sentiment"), ("{version}", "1"), ("{label}", "stable")]
                        .iter()
                        .fold(path.clone(), |path, (name, value)| path.replace(name, value));
                    let ask = Ask::new(&method, &path).header("content-type", content_type).body(body);
                    let answer = ask.of(&served.door).await;
                    let text = String::from_utf8_lossy(&answer.body);
                    assert_eq!(answer.status, 200, "{method} {path} {content_type} {example}: {text}");
                    assert!(!text.contains("\"error\""), "{text}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 4, "only {tried} examples were found");
}
