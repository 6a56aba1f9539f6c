//! Many callers at once: every answer belongs to its own request, none is lost or crossed, none changes in company.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::pictures;
use crate::support::server::Server;

const REQUESTS: usize = 10_000;
const CONNECTIONS: usize = 64;

/// A request and the answer it has when nobody else asks.
struct Case {
    path: String,
    content_type: &'static str,
    body: Bytes,
    alone: Value,
}

fn sentences() -> Vec<String> {
    let openings =
        ["a gripping", "the dullest", "an unexpectedly tender", "yet another noisy", "one truly awful"];
    let subjects = ["thriller", "film about people who talk and talk", "comedy", "remake nobody asked for"];
    let endings = [
        "",
        "that stays with you for days",
        "with a script full of holes , a cast that looks bored and an ending you see coming an hour before it is there",
    ];
    let mut sentences = Vec::new();
    for opening in openings {
        for subject in subjects {
            sentences.extend(endings.map(|ending| format!("{opening} {subject} {ending}").trim().to_owned()));
        }
    }
    sentences
}

fn requests() -> Vec<(String, &'static str, Bytes)> {
    let json_body = |value: Value| Bytes::from(value.to_string());
    let mut requests = Vec::new();
    let sentences = sentences();
    for (index, text) in sentences.iter().enumerate() {
        let model = if index % 2 == 0 { "sentiment" } else { "intents" };
        let body = json!({"model": model, "input": text, "top_k": 3});
        requests.push(("/v1/text/classify".to_owned(), "application/json", json_body(body)));
        let path = format!("/v1/text/classify?model={model}");
        requests.push((path, "text/plain", Bytes::from(text.clone())));
    }
    for texts in sentences.chunks(7) {
        let body = json!({"model": "intents", "input": texts, "top_k": 2});
        requests.push(("/v1/text/classify".to_owned(), "application/json", json_body(body)));
    }
    for seed in 0..24 {
        let picture = pictures::png(seed, 60 + seed * 3, 80);
        requests.push(("/v1/image/classify".to_owned(), "image/png", picture));
    }
    requests
}

async fn ask(client: &Client, case: &(String, &'static str, Bytes)) -> Answer {
    let (path, content_type, body) = case;
    client.send(Method::POST, path, Some((*content_type, body.clone()))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_mixed_requests_are_answered_as_if_alone() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let server = Server::start_with(&models, &["--verify-invariance", "1/10"]);
    let client = Client::new(server.address);
    client.ready().await;

    let mut cases = Vec::new();
    for request in requests() {
        let answer = ask(&client, &request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
        let (path, content_type, body) = request;
        cases.push(Case { path, content_type, body, alone: answer.json() });
    }
    let distinct: std::collections::BTreeSet<String> =
        cases.iter().map(|case| case.alone["results"].to_string()).collect();
    assert!(distinct.len() > cases.len() / 3, "crossed answers would not show: {} distinct", distinct.len());

    let cases = Arc::new(cases);
    let mut callers = Vec::new();
    for caller in 0..CONNECTIONS {
        let cases = Arc::clone(&cases);
        let address = server.address;
        let share = REQUESTS / CONNECTIONS + usize::from(caller < REQUESTS % CONNECTIONS);
        callers.push(tokio::spawn(async move {
            let client = Client::new(address);
            let mut generator = ChaCha8Rng::seed_from_u64(caller as u64);
            for _ in 0..share {
                let case = &cases[generator.random_range(0..cases.len())];
                let content = Some((case.content_type, case.body.clone()));
                let answer = client.send(Method::POST, &case.path, content).await.unwrap();
                assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
                // To the last digit: an engine adds up each row by itself.
                assert_eq!(answer.json(), case.alone);
            }
            share
        }));
    }
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.unwrap();
    }
    assert_eq!(answered, REQUESTS);
    let metrics = client.send(Method::GET, "/metrics", None).await.unwrap();
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let verified = |outcome: &str| -> u64 {
        let counts = metrics.lines().filter(|line| {
            line.starts_with("sconce_verified_answers_total")
                && line.contains(&format!("outcome=\"{outcome}\""))
        });
        counts.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    assert_eq!((verified("different"), verified("failed")), (0, 0));
    assert!(verified("equal") > 0, "{metrics}");
    println!(
        "{} answers were computed again by the server, {} were skipped",
        verified("equal"),
        verified("skipped")
    );
    println!("{answered} answers from {CONNECTIONS} connections, each equal to its answer alone");
}
