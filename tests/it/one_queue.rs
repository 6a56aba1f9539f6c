//! One queue serves every protocol: the same scores to the bit, rows of all of them in the same executions, requests of
//! many rows as one, and the urgent first.

mod ways;

use std::collections::BTreeMap;
use std::pin::pin;

use axum::Router;
use futures_util::StreamExt as _;
use futures_util::future::{LocalBoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use sconce::engine::DeviceChoice;
use sconce::pipeline;
use serde_json::{Value, json};

use self::ways::{Bits, native, of_picture, of_text};
use crate::support::door::{Ask, Served, config};
use crate::support::grpc::inference::InferParameter;
use crate::support::grpc::inference::infer_parameter::ParameterChoice;
use crate::support::grpc::{Grpc, texts};
use crate::support::held::{Held, until_queued};
use crate::support::{models, pictures};

const TEXT: &str = "not good , not bad , the best thing in years !";

/// One worker a model, whose engine holds so many rows.
fn served(engine_rows: usize, queue_rows_max: usize) -> Served {
    let pipeline = pipeline::Config {
        device: DeviceChoice::Cpu,
        engine_rows: Some(engine_rows),
        queue_rows_max,
        ..pipeline::Config::default()
    };
    Served::with_pipeline(config(), pipeline, |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "sign-digits", 1);
    })
}

fn text(text: &str) -> Ask {
    Ask::json("/v1/text/classify", &json!({"model": "sentiment", "input": text}))
}

/// Holds the worker of the text model.
async fn hold_texts(door: &Router) -> Held<'_> {
    Held::by("sentiment", || {
        let two = Ask::json("/v1/text/classify", &json!({"model": "sentiment", "input": ["good", "bad"]}));
        async { drop(native(door, two).await) }
    })
    .await
}

/// What the statistics say: rows answered, executions by their size.
async fn statistics(door: &Router, model: &str) -> (u64, BTreeMap<u64, u64>) {
    let said = Ask::get(&format!("/v2/models/{model}/stats")).of(door).await.json()["model_stats"][0].clone();
    let sizes = said["batch_stats"].as_array().unwrap().iter();
    let number = |value: &Value| value.as_u64().unwrap();
    let sizes: BTreeMap<u64, u64> =
        sizes.map(|size| (number(&size["batch_size"]), number(&size["compute_infer"]["count"]))).collect();
    assert_eq!(number(&said["execution_count"]), sizes.values().sum::<u64>(), "{said}");
    let rows = sizes.iter().map(|(size, count)| size * count).sum::<u64>();
    assert_eq!(number(&said["inference_count"]), rows, "{said}");
    (rows, sizes)
}

fn names(ways: Vec<ways::Way<'_>>) -> (Vec<&'static str>, Vec<LocalBoxFuture<'_, Bits>>) {
    ways.into_iter().unzip()
}

#[tokio::test]
async fn every_protocol_gives_a_text_the_same_bits() {
    let served = served(8, 1024);
    let expected = native(&served.door, text(TEXT)).await;
    assert_eq!(expected.len(), 2);
    for (name, asked) in of_text(&served.door, TEXT) {
        assert_eq!(asked.await, expected, "{name}");
    }
}

#[tokio::test]
async fn every_protocol_gives_a_picture_the_same_bits() {
    let served = served(8, 1024);
    let png = pictures::png(3, 20, 16);
    let ask = Ask::post("/v1/image/classify").header("content-type", "image/png").body(png.clone());
    let expected = native(&served.door, ask).await;
    assert_eq!(expected.len(), 3);
    for (name, asked) in of_picture(&served.door, &png) {
        assert_eq!(asked.await, expected, "{name}");
    }
}

#[tokio::test]
async fn texts_of_every_protocol_are_one_execution() {
    let served = served(64, 1024);
    let others = ["a good film", "a bad film", "so so"];
    let mut alone = Vec::new();
    for other in others {
        alone.push(native(&served.door, text(other)).await);
    }
    let mut expected = Vec::new();
    let mut asked = Vec::new();
    for (name, other) in of_text(&served.door, TEXT).iter().map(|(name, _)| *name).zip(others.iter().cycle())
    {
        let (own, found) = of_text(&served.door, other).into_iter().find(|(of, _)| *of == name).unwrap();
        let at = others.iter().position(|of| of == other).unwrap();
        expected.push((own, alone[at].clone()));
        asked.push(found);
    }
    let held = hold_texts(&served.door).await;
    let (rows_before, sizes_before) = statistics(&served.door, "sentiment").await;
    let ways = asked.len();
    let mut asked = pin!(join_all(asked));
    until_queued(&served, ("sentiment", ways), asked.as_mut()).await;
    held.release().await;
    let found: Vec<(&str, Bits)> = expected.iter().map(|(name, _)| *name).zip(asked.await).collect();
    assert_eq!(found, expected, "each protocol is answered its own text");
    let (rows, mut sizes) = statistics(&served.door, "sentiment").await;
    assert_eq!(rows - rows_before, ways as u64);
    assert_eq!(sizes.remove(&(ways as u64)), Some(1), "one execution of all: {sizes:?}");
    assert_eq!(sizes, sizes_before, "and no other");
}

#[tokio::test]
async fn pictures_of_every_protocol_are_one_execution() {
    let served = served(64, 1024);
    let png = pictures::png(5, 12, 20);
    let ask = || Ask::post("/v1/image/classify").header("content-type", "image/png").body(png.clone());
    let expected = native(&served.door, ask()).await;
    let (names, asked) = names(of_picture(&served.door, &png));
    let held = Held::by("sign-digits", || async {
        let two = {
            use base64::Engine as _;
            vec![base64::engine::general_purpose::STANDARD.encode(&png); 2]
        };
        Ask::json("/v1/models/sign-digits:predict", &json!({"instances": two})).of(&served.door).await;
    })
    .await;
    let (rows_before, sizes_before) = statistics(&served.door, "sign-digits").await;
    let mut asked = pin!(join_all(asked));
    until_queued(&served, ("sign-digits", names.len()), asked.as_mut()).await;
    held.release().await;
    for (name, found) in names.iter().zip(asked.await) {
        assert_eq!(found, expected, "{name}");
    }
    let (rows, mut sizes) = statistics(&served.door, "sign-digits").await;
    assert_eq!(rows - rows_before, names.len() as u64);
    assert_eq!(sizes.remove(&(names.len() as u64)), Some(1), "one execution of all: {sizes:?}");
    assert_eq!(sizes, sizes_before, "and no other");
}

/// Requests with these texts, of the protocols that take many, and where the number of their answers is.
fn of_many(texts: &[&str]) -> Vec<(&'static str, Ask, &'static str)> {
    let shape = [texts.len(), 1];
    let oip = json!({"inputs": [{"name": "text", "datatype": "BYTES", "shape": shape, "data": texts}],
        "outputs": [{"name": "label"}]});
    let instances = json!({"instances": texts});
    vec![
        (
            "native",
            Ask::json("/v1/text/classify", &json!({"model": "sentiment", "input": texts})),
            "/results",
        ),
        ("OIP", Ask::json("/v2/models/sentiment/infer", &oip), "/outputs/0/data"),
        ("v1 predict", Ask::json("/v1/models/sentiment:predict", &instances), "/predictions"),
        ("TorchServe", Ask::json("/predictions/sentiment", &instances), "/predictions"),
        (
            "TEI",
            Ask::json("/predict", &json!({"inputs": texts.iter().map(|text| [text]).collect::<Vec<_>>()})),
            "",
        ),
        (
            "SageMaker",
            Ask::json("/invocations", &json!({"instances": texts, "parameters": {"model": "sentiment"}})),
            "/predictions",
        ),
    ]
}

#[tokio::test]
async fn a_request_of_many_rows_is_one_execution_of_an_idle_server() {
    let served = served(64, 1024);
    let sentences: Vec<String> = (0..64).map(|number| format!("film {number}")).collect();
    let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
    let mut executions = 0;
    for (name, ask, at) in of_many(&sentences) {
        let answer = ask.of(&served.door).await.json();
        let answers = answer.pointer(at).and_then(Value::as_array);
        assert_eq!(answers.map(Vec::len), Some(64), "{name}: {answer}");
        executions += 1;
        let expected = (64 * executions, BTreeMap::from([(64, executions)]));
        assert_eq!(statistics(&served.door, "sentiment").await, expected, "{name}");
    }
    Grpc::of(&served.door).infer(texts("sentiment", &sentences)).await.unwrap();
    executions += 1;
    let expected = (64 * executions, BTreeMap::from([(64, executions)]));
    assert_eq!(statistics(&served.door, "sentiment").await, expected, "gRPC");
}

#[tokio::test]
async fn a_request_that_does_not_fit_the_queue_is_refused_whole() {
    let served = served(8, 8);
    let held = hold_texts(&served.door).await;
    let (_, mut expected) = statistics(&served.door, "sentiment").await;
    let five = ["good"; 5];
    let mut waits = pin!(async {
        let (_, ask, _) = of_many(&five).swap_remove(1);
        ask.of(&served.door).await
    });
    until_queued(&served, ("sentiment", 5), waits.as_mut()).await;
    for (name, ask, _) in of_many(&five) {
        let refused = ask.of(&served.door).await;
        assert!([429, 503].contains(&refused.status.as_u16()), "{name}: {refused:?}");
        assert!(refused.headers.contains_key("retry-after"), "{name}: {refused:?}");
        let said = String::from_utf8_lossy(&refused.body);
        assert!(said.contains("5 inputs are waiting, 5 came and at most 8 may"), "{name}: {said}");
    }
    for (name, ask, _) in of_many(&["good"; 9]) {
        let never = ask.of(&served.door).await;
        let said = String::from_utf8_lossy(&never.body);
        assert!([400, 422].contains(&never.status.as_u16()), "{name}: {never:?}");
        assert!(said.contains("this request brings 9 inputs and at most 8 may wait"), "{name}: {said}");
    }
    held.release().await;
    assert_eq!(waits.await.status, 200);
    expected.insert(5, 1);
    let (_, sizes) = statistics(&served.door, "sentiment").await;
    assert_eq!(sizes, expected, "of those refused no row was computed");
}

/// What [`of_many`] asks of OIP about one text, with this parameter of the request.
fn with_parameter(name: &str, value: u64) -> Ask {
    let input = json!({"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]});
    Ask::json("/v2/models/sentiment/infer", &json!({"inputs": [input], "parameters": {name: value}}))
}

#[tokio::test]
async fn urgent_requests_go_before_those_that_wait() {
    let served = served(1, 1024);
    let door = &served.door;
    let rest = |name: &'static str, ask: Ask| -> LocalBoxFuture<'_, &'static str> {
        Box::pin(async move {
            assert_eq!(ask.of(door).await.status, 200);
            name
        })
    };
    let grpc = |name: &'static str, level: u64| -> LocalBoxFuture<'_, &'static str> {
        let mut request = texts("sentiment", &["good"]);
        let level = InferParameter { parameter_choice: Some(ParameterChoice::Uint64Param(level)) };
        request.parameters.insert("priority".to_owned(), level);
        Box::pin(async move {
            Grpc::of(door).infer(request).await.unwrap();
            name
        })
    };
    let asked = [
        rest("last", with_parameter("priority", 5)),
        rest("unnamed", text("good")),
        rest("zero", with_parameter("priority", 0)),
        rest("first", with_parameter("priority", 1)),
        grpc("no level", 99),
        grpc("first over gRPC", 1),
    ];
    let held = hold_texts(door).await;
    let mut waiting = FuturesUnordered::new();
    for (asked, rows) in asked.into_iter().zip(1..) {
        waiting.push(asked);
        // They come one after the other.
        until_queued(&served, ("sentiment", rows), pin!(waiting.next()).as_mut()).await;
    }
    held.release().await;
    let order: Vec<&str> = waiting.collect().await;
    assert_eq!(order, ["first", "first over gRPC", "unnamed", "zero", "no level", "last"]);
}

#[tokio::test]
async fn a_timeout_is_a_deadline_that_needs_no_worker() {
    let served = served(1, 1024);
    let _held = hold_texts(&served.door).await;
    let answer = with_parameter("timeout", 2000).of(&served.door).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("deadline") || error.contains("timeout"), "{error}");
    let mut request = texts("sentiment", &["good"]);
    let micros = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(2000)) };
    request.parameters.insert("timeout".to_owned(), micros);
    let status = Grpc::of(&served.door).infer(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
}
