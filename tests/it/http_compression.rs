//! Content codings, whatever the protocol: bodies come compressed and answers go so, each within its limit.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use crate::support::door::{Ask, Served, config, problem};
use crate::support::models;

const CLASSIFY: &str = "/v1/text/classify";

fn served() -> Served {
    Served::with(sconce::http::Config { body_bytes_max: 100_000, ..config() }, |folder| {
        models::tiny_text(folder, "sentiment", 1);
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compressed(coding: &str, body: Vec<u8>) -> Ask {
    Ask::post(CLASSIFY)
        .header("content-type", "application/json")
        .header("content-encoding", coding)
        .body(body)
}

#[tokio::test]
async fn a_compressed_body_is_answered_as_the_plain_one() {
    let served = served();
    let body = json!({"input": "a good film"});
    let plain = Ask::json(CLASSIFY, &body).of(&served.door).await.json();
    let text = body.to_string();
    let bodies = [
        ("gzip", gzip(text.as_bytes())),
        ("deflate", zlib(text.as_bytes())),
        ("deflate", deflate(text.as_bytes())),
    ];
    for (coding, body) in bodies {
        assert_eq!(compressed(coding, body).of(&served.door).await.json(), plain, "{coding}");
    }
}

#[tokio::test]
async fn a_large_answer_goes_compressed_to_those_who_ask() {
    let served = served();
    let body = json!({"input": vec!["a good film"; 100]});
    let plain = Ask::json(CLASSIFY, &body).of(&served.door).await;
    assert!(!plain.headers.contains_key("content-encoding"));
    let gzipped =
        Ask::json(CLASSIFY, &body).header("accept-encoding", "gzip, deflate").of(&served.door).await;
    assert_eq!(
        (&gzipped.headers["content-encoding"], &gzipped.headers["vary"]),
        (&"gzip".parse().unwrap(), &"accept-encoding".parse().unwrap())
    );
    assert!(gzipped.body.len() < plain.body.len() / 4);
    let mut text = String::new();
    GzDecoder::new(&*gzipped.body).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), plain.json());
    let deflated = Ask::json(CLASSIFY, &body).header("accept-encoding", "deflate").of(&served.door).await;
    assert_eq!(deflated.headers["content-encoding"], "deflate");
    text.clear();
    ZlibDecoder::new(&*deflated.body).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), plain.json());
    let small = Ask::get("/health/live").header("accept-encoding", "gzip").of(&served.door).await;
    assert!(!small.headers.contains_key("content-encoding"), "not worth it");
}

#[tokio::test]
async fn a_bomb_is_too_large_and_damage_is_told() {
    let served = served();
    let bomb = gzip(&vec![b' '; 50_000_000]);
    assert!(bomb.len() < 100_000);
    let answer = compressed("gzip", bomb).of(&served.door).await;
    assert!(problem(&answer, 413, "body_too_large").contains("once it is decompressed"));
    let answer = compressed("gzip", b"plain".to_vec()).of(&served.door).await;
    assert!(problem(&answer, 400, "incomplete_body").contains("cannot be decompressed as gzip"));
    let answer = compressed("br", b"x".to_vec()).of(&served.door).await;
    assert_eq!(answer.headers["accept-encoding"], "gzip, deflate");
    problem(&answer, 415, "unsupported_media_type");
}

#[tokio::test]
async fn of_the_open_inference_protocol_only_inference_is_compressed() {
    let served = Served::with(config(), |folder| {
        for name in ["a", "b", "c", "d"] {
            models::tiny_text(folder, name, 1);
        }
    });
    let asked = |ask: Ask| ask.header("accept-encoding", "gzip, deflate").of(&served.door);
    let statistics = asked(Ask::get("/v2/models/stats")).await;
    assert!(statistics.body.len() > 1024, "of a size that would be compressed");
    assert!(!statistics.headers.contains_key("content-encoding"));
    let tensor =
        json!({"name": "text", "datatype": "BYTES", "shape": [100], "data": vec!["a good film"; 100]});
    let infer = asked(Ask::json("/v2/models/a/infer", &json!({"inputs": [tensor]}))).await;
    assert_eq!(infer.headers["content-encoding"], "gzip");
}
