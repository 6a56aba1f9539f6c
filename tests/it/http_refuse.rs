//! The table of bad inputs: each with its status, its code and what the message says.

use std::time::Duration;

use axum::Router;
use axum::http::Method;
use base64::Engine as _;
use bytes::Bytes;
use futures_util::future::join_all;
use sconce::http::Config;
use serde_json::json;

use crate::support::door::{Ask, Served, config, problem};
use crate::support::{models, pictures};

const TEXT: &str = "/v1/text/classify";
const IMAGE: &str = "/v1/image/classify";

/// One bad request: what it is, how it is asked, its status, its code, words of its detail.
type Case = (&'static str, Ask, u16, &'static str, &'static [&'static str]);

fn served(config: Config) -> Served {
    Served::with(config, |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "digits", 1);
    })
}

async fn check(door: &Router, cases: Vec<Case>) {
    for (what, ask, status, code, words) in cases {
        let answer = ask.of(door).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", String::from_utf8_lossy(&answer.body));
        let detail = problem(&answer, status, code);
        for word in words {
            assert!(detail.contains(word), "{what}: {detail:?} does not say {word:?}");
        }
        assert!(detail.len() < 600, "{what}: {} bytes of detail", detail.len());
    }
}

fn text(body: impl Into<Bytes>) -> Ask {
    Ask::post(TEXT).header("content-type", "text/plain").body(body)
}

fn json_text(body: impl Into<Bytes>) -> Ask {
    Ask::post(TEXT).header("content-type", "application/json").body(body)
}

fn picture(body: impl Into<Bytes>) -> Ask {
    Ask::post(IMAGE).header("content-type", "image/png").body(body)
}

/// A PNG whose header promises 100,000 × 100,000 pixels.
fn bomb() -> Bytes {
    let mut png = pictures::png(1, 8, 8).to_vec();
    for at in [16, 20] {
        png[at..at + 4].copy_from_slice(&100_000_u32.to_be_bytes());
    }
    // The checksum of the header has to be right, or it is refused for that.
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    png.into()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, a bad request a row")]
async fn bad_texts_are_refused() {
    let served = served(config());
    let deep = format!("{}\"x\"{}", r#"{"input":"#.repeat(1_000), "}".repeat(1_000));
    let inputs = format!(r#"{{"input": [{}"x"]}}"#, r#""x","#.repeat(256));
    let cases: Vec<Case> = vec![
        (
            "empty text",
            text(""),
            400,
            "empty_text",
            &["the text is empty", "expected at least one character"],
        ),
        ("white space", text(" \n\t"), 400, "empty_text", &["the text is empty"]),
        ("empty in JSON", json_text(r#"{"input": ""}"#), 400, "empty_text", &["the text is empty"]),
        (
            "1 MB text",
            text("good ".repeat(200_000)),
            413,
            "text_too_long",
            &["1000000 bytes", "at most 65536"],
        ),
        ("invalid UTF-8", text(&b"good \xff"[..]), 400, "invalid_utf8", &["not UTF-8 from byte 5"]),
        (
            "invalid UTF-8 in JSON",
            json_text(&b"{\"input\": \"\xc3\x28\"}"[..]),
            400,
            "invalid_utf8",
            &["byte 11"],
        ),
        ("JSON 1,000 deep", json_text(deep), 400, "json_too_deep", &["more than 32 deep"]),
        ("no JSON", json_text("{'input': 1}"), 400, "invalid_json", &["line 1 column 2"]),
        ("trailing data", json_text(r#"{"input": "a"} b"#), 400, "invalid_json", &["trailing characters"]),
        (
            "unknown field",
            json_text(r#"{"imput": "a"}"#),
            400,
            "invalid_request",
            &[r#"did you mean "input"?"#],
        ),
        (
            "repeated field",
            json_text(r#"{"input": "a", "input": "b"}"#),
            400,
            "invalid_request",
            &["duplicate"],
        ),
        (
            "wrong kind",
            json_text(r#"{"input": 7}"#),
            400,
            "invalid_request",
            &["/input", "expected a string"],
        ),
        ("no input", json_text("{}"), 400, "invalid_request", &["missing field `input`"]),
        ("empty list", json_text(r#"{"input": []}"#), 400, "invalid_request", &["expected at least one"]),
        ("too many inputs", json_text(inputs), 400, "too_many_inputs", &["more than 256 inputs"]),
        ("top_k 0", json_text(r#"{"input": "a", "top_k": 0}"#), 400, "invalid_request", &["/top_k"]),
        (
            "bad version",
            json_text(r#"{"input": "a", "version": "x"}"#),
            400,
            "invalid_request",
            &["positive integer"],
        ),
        (
            "unknown model",
            json_text(r#"{"input": "a", "model": "sentimnt"}"#),
            404,
            "model_not_found",
            &[r#"no model "sentimnt""#, r#"did you mean "sentiment"?"#, "models: digits, sentiment"],
        ),
        (
            "model that is no name",
            json_text(r#"{"input": "a", "model": "../x"}"#),
            404,
            "model_not_found",
            &["not a model name"],
        ),
        (
            "unknown version",
            json_text(r#"{"input": "a", "model": "sentiment", "version": "9"}"#),
            404,
            "version_not_found",
            &["sentiment has no version 9", "versions that answer: 1"],
        ),
        (
            "wrong task",
            json_text(r#"{"input": "a", "model": "digits"}"#),
            400,
            "wrong_task",
            &["digits does image-classification", "models for text-classification: sentiment"],
        ),
        ("wrong method", Ask::new(&Method::PUT, TEXT), 405, "method_not_allowed", &["does not take PUT"]),
        (
            "curl -d without a type",
            Ask::post(TEXT)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(r#"{"input": "a"}"#),
            415,
            "unsupported_media_type",
            &["expected application/json or text/plain", "-H 'content-type: application/json'"],
        ),
        (
            "no content type",
            Ask::post(TEXT).body("good"),
            415,
            "unsupported_media_type",
            &["there is no content-type"],
        ),
        (
            "another encoding",
            Ask::post(TEXT).header("content-type", "text/plain; charset=latin1").body("good"),
            415,
            "unsupported_media_type",
            &["latin1, expected utf-8"],
        ),
        (
            "picture bytes as text",
            text(pictures::png(1, 8, 8)),
            400,
            "invalid_utf8",
            &["looks like a picture", IMAGE],
        ),
        (
            "picture bytes as JSON",
            json_text(pictures::png(1, 8, 8)),
            400,
            "invalid_utf8",
            &["looks like a picture"],
        ),
        (
            "unknown parameter",
            Ask::post("/v1/text/classify?topk=1").header("content-type", "text/plain").body("a"),
            400,
            "invalid_parameter",
            &[r#"did you mean "top_k"?"#],
        ),
        ("timeout 0", text("good").header("x-request-timeout-ms", "0"), 400, "invalid_header", &["from 1"]),
    ];
    check(&served.door, cases).await;
}

#[tokio::test]
async fn bad_pictures_are_refused() {
    let served = served(config());
    let whole = pictures::png(1, 64, 64);
    let cut = whole.slice(..whole.len() / 2);
    let jpeg = pictures::jpeg(1, 64, 64);
    let cut_jpeg = jpeg.slice(..20);
    let encoded = |bytes: &Bytes| base64::engine::general_purpose::STANDARD.encode(bytes);
    let form = |part: &str| {
        let body = format!("--b\r\ncontent-disposition: form-data; name=\"{part}\"\r\n\r\nx\r\n--b--\r\n");
        Ask::post(IMAGE).header("content-type", "multipart/form-data; boundary=b").body(body)
    };
    let cases: Vec<Case> = vec![
        ("truncated PNG", picture(cut.clone()), 400, "damaged_picture", &["PNG", "damaged"]),
        ("truncated JPEG", picture(cut_jpeg), 400, "damaged_picture", &["JPEG", "damaged"]),
        (
            "100,000 x 100,000",
            picture(bomb()),
            413,
            "picture_too_large",
            &["100000 x 100000 pixels", "16384 a side"],
        ),
        (
            "no picture",
            picture("good film"),
            415,
            "unsupported_picture",
            &["not a PNG, JPEG, WebP, BMP or GIF"],
        ),
        ("empty", picture(""), 400, "invalid_request", &["the body is empty", "curl -T"]),
        (
            "picture bytes as text",
            Ask::post(IMAGE).header("content-type", "text/plain").body(whole.clone()),
            415,
            "unsupported_media_type",
            &["the content-type is text/plain", "content-type image/png"],
        ),
        (
            "picture bytes as JSON",
            Ask::json(IMAGE, &json!(null)).body(whole.clone()),
            400,
            "invalid_utf8",
            &["looks like a picture", "content-type image/png"],
        ),
        ("no base64", Ask::json(IMAGE, &json!({"input": "a$b"})), 400, "invalid_base64", &["not base64"]),
        (
            "truncated in base64",
            Ask::json(IMAGE, &json!({"input": encoded(&cut)})),
            400,
            "damaged_picture",
            &["PNG"],
        ),
        ("wrong part", form("flie"), 400, "invalid_multipart", &[r#"did you mean "file"?"#]),
        (
            "text model",
            Ask::post("/v1/image/classify?model=sentiment").body(whole),
            400,
            "wrong_task",
            &["digits"],
        ),
        ("wrong method", Ask::get(IMAGE), 405, "method_not_allowed", &["does not take GET"]),
    ];
    check(&served.door, cases).await;
}

#[tokio::test]
async fn a_single_failing_input_has_its_place_and_a_list_has_it_in_place() {
    let served = served(config());
    let single = Ask::json(TEXT, &json!({"input": " "})).of(&served.door).await;
    assert_eq!(single.json()["errors"][0]["pointer"], "/input");
    let list = Ask::json(TEXT, &json!({"input": ["good film", " ", "bad film"]})).of(&served.door).await;
    assert_eq!(list.status, 200);
    let list = list.json();
    assert_eq!(list["results"][1]["error"]["code"], "empty_text", "{list}");
    assert!(list["results"][1]["error"]["detail"].as_str().unwrap().contains("empty"), "{list}");
    for answered in [0, 2] {
        assert!(list["results"][answered]["predictions"][0]["label"].is_string(), "{list}");
    }
    assert_eq!(list["usage"]["inputs"], 2, "{list}");
    let none = Ask::json(TEXT, &json!({"input": ["", " "]})).of(&served.door).await;
    assert_eq!(none.status, 200, "each input is at fault on its own");
}

#[tokio::test]
async fn several_models_of_a_task_want_a_name() {
    let two = Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_text(folder, "intents", 2);
    });
    let unnamed = || Ask::json(TEXT, &json!({"input": "good film"}));
    let detail = problem(&unnamed().of(&two.door).await, 400, "model_required");
    assert!(detail.contains("models: intents, sentiment"), "{detail}");
    let mut configured = config();
    let task = sconce::value::Task::TextClassification;
    configured.default_models.insert(task, "intents".parse().unwrap());
    let two = Served::with(configured, |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_text(folder, "intents", 2);
    });
    assert_eq!(unnamed().of(&two.door).await.json()["model"], "intents");
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let served = Served::with_queue(config(), 1, |folder| {
        models::tiny_text(folder, "sentiment", 1);
    });
    // More than fit the one row of the engine and the one of the queue, all at once.
    let ask = || Ask::json(TEXT, &json!({"input": "good film ".repeat(1_000)})).of(&served.door);
    let answers = join_all((0..200).map(|_| ask())).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!refused.is_empty() && refused.len() < answers.len(), "{} of 200 refused", refused.len());
    for answer in refused {
        let detail = problem(answer, 429, "queue_full");
        assert!(detail.contains("queue") && detail.contains("try again"), "{detail}");
        let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        let wait = Duration::from_millis(answer.json()["retry_after_ms"].as_u64().unwrap());
        assert!(seconds >= 1 && Duration::from_secs(seconds) >= wait, "{seconds} s, {wait:?}");
    }
}
