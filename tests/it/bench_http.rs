//! `sconce bench http` against the real server.

use std::process::Output;

use serde_json::Value;

use crate::support::client::Client;
use crate::support::models;
use crate::support::server::{Server, sconce};

/// A server with the model `films`, ready.
struct Films {
    folder: tempfile::TempDir,
    server: Server,
}

impl Films {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        models::tiny_text(&folder.path().join("models"), "films", 1);
        let server = Server::start(&folder.path().join("models"));
        Client::new(server.address).ready().await;
        Self { folder, server }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn bench(arguments: &[&str]) -> Output {
    sconce().args(["bench", "http"]).args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

const SHORT: [&str; 5] = ["--seconds", "0.3", "--warmup", "0.05", "--json"];

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_measured_in_both_loops() {
    let films = Films::start().await;
    let lines = films.write(
        "lines",
        "{\"model\": \"films\", \"input\": [\"a good film\", \"a bad film\"]}\n\n{\"model\": \"films\", \"input\": [\"so so\", \"!\"]}\n",
    );
    let url = films.url("/v1/text/classify");
    let ask = [&url, "--lines", &lines, "--rows-per-request", "2", "--connections", "3"];
    let closed = json(&bench(&[&ask[..], &SHORT].concat()));
    let open = json(&bench(&[&ask[..], &SHORT, &["--rate", "100", "--seed", "7"]].concat()));
    for (report, mode) in [(&closed, "closed"), (&open, "open")] {
        assert_eq!(report["mode"], mode);
        assert_eq!(report["requests"], report["succeeded"], "{report}");
        assert!(report["succeeded"].as_u64().unwrap() > 5, "{report}");
        assert_eq!(report["errors"]["connection"]["count"], 0);
        let (rows, requests) = (&report["rows_per_second"], &report["requests_per_second"]);
        assert!((rows.as_f64().unwrap() / requests.as_f64().unwrap() - 2.0).abs() < 1e-9);
        let latency = |name: &str| report["latency_ms"][name].as_f64().unwrap();
        assert!(0.0 < latency("min") && latency("min") <= latency("p50"), "{report}");
        assert!(latency("p50") <= latency("p99") && latency("p99") <= latency("p99_9"), "{report}");
        assert!(report["bytes_received"].as_u64() > report["succeeded"].as_u64());
        assert!(report["generator"]["fell_behind"].is_boolean());
    }
    assert_eq!((&closed["offered_rate"], closed["connections"].as_u64()), (&Value::Null, Some(3)));
    assert_eq!((open["offered_rate"].as_f64(), open["seed"].as_u64()), (Some(100.0), Some(7)));
    let again = json(&bench(&[&ask[..], &SHORT, &["--rate", "100", "--seed", "7"]].concat()));
    assert_eq!(again["requests"], open["requests"], "the same arrivals");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_is_counted_by_status_and_fails() {
    let films = Films::start().await;
    let body = films.write("body", "{\"model\": \"flims\", \"input\": \"a good film\"}");
    let url = films.url("/v1/text/classify");
    let output = bench(&[&[url.as_str(), "--body", &body], &SHORT[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no request succeeded"));
    let report = json(&output);
    let refused = &report["errors"]["status"]["404"];
    assert_eq!((&refused["count"], report["succeeded"].as_u64()), (&report["requests"], Some(0)));
    assert!(refused["example"].as_str().unwrap().contains("did you mean \\\"films\\\"?"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_prints_a_line_a_rate_and_the_highest_in_time() {
    let films = Films::start().await;
    let url = films.url("/health/live");
    let sweep = [&url, "--rates", "50,100", "--seconds", "0.2", "--warmup", "0"];
    let output = bench(&sweep);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("offered/s") && lines[1].contains(" 50.0 ") && lines[2].contains(" 100.0 "),
        "{text}"
    );
    assert!(lines[3].starts_with("highest rate with p99 <=  5 ms: ") && lines.len() == 6, "{text}");
    let found = json(&bench(&[&sweep[..], &["--json"]].concat()));
    assert_eq!(found["runs"].as_array().unwrap().len(), 2);
    assert_eq!(found["highest"][2]["p99_ms_max"], 50.0);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let refused = |arguments: &[&str], code| {
        let output = bench(arguments);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["https://localhost/x"], 2).contains("only plain http"));
    assert!(refused(&["localhost"], 2).contains("expected http://HOST[:PORT]/PATH"));
    assert!(refused(&["http://127.0.0.1:9/", "--rate", "0"], 2).contains("expected a number"));
    assert!(refused(&["http://127.0.0.1:9/", "--header", "x"], 2).contains("Name: value"));
    assert!(refused(&["http://127.0.0.1:9/", "--lines", "/nowhere"], 64).contains("/nowhere: "));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(refused(&[&format!("http://{closed}/")], 1).contains("is the server running?"));
}
