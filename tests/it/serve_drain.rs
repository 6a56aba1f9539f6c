//! SIGTERM under load: whoever was accepted is answered, and the process ends well.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::Client;
use crate::support::models;
use crate::support::server::Server;

const CONNECTIONS: usize = 32;

/// Sends one request on the connection and reads its answer; `None` when the server closed before taking it.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> Result<Option<String>, String> {
    if stream.write_all(request).await.is_err() {
        return Ok(None);
    }
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = match stream.read(&mut chunk).await {
            Ok(read) => read,
            Err(_) if answer.is_empty() => return Ok(None),
            Err(error) => return Err(format!("cut off after {} bytes: {error}", answer.len())),
        };
        if read == 0 {
            let cut = format!("closed after {} bytes", answer.len());
            return if answer.is_empty() { Ok(None) } else { Err(cut) };
        }
        answer.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
            .and_then(|length| length.trim().parse::<usize>().ok())
            .ok_or_else(|| format!("no length: {head}"))?;
        if body.len() >= length {
            return Ok(Some(text.into_owned()));
        }
    }
}

fn post(body: &Bytes) -> Vec<u8> {
    let head = format!(
        "POST /v1/text/classify HTTP/1.1\r\nhost: sconce\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_answers_every_accepted_request_and_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "drained", 3);
    let server = Server::start(folder.path());
    Client::new(server.address).ready().await;

    let request = post(&Bytes::from(json!({"input": vec!["good film"; 16]}).to_string()));
    let answered = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (request, answered) = (request.clone(), Arc::clone(&answered));
            let address = server.address;
            tokio::spawn(async move {
                // One connection a caller. A request on it is either answered whole or never taken: the server
                // closes a kept-alive connection only between requests.
                let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
                loop {
                    let Some(answer) = ask(&mut stream, &request).await? else { return Ok::<(), String>(()) };
                    if !answer.starts_with("HTTP/1.1 200") {
                        return Err(answer);
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                    if answer.to_ascii_lowercase().contains("connection: close") {
                        return Ok(());
                    }
                }
            })
        })
        .collect();
    let begun = Instant::now();
    while answered.load(Ordering::Relaxed) < 4 * CONNECTIONS && begun.elapsed() < Duration::from_secs(30) {
        tokio::task::yield_now().await;
    }
    server.signal("TERM");
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) >= 4 * CONNECTIONS);
    let status = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    println!("{} requests answered, none cut off, exit 0", answered.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_half_sent_at_sigterm_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "drained", 3);
    let server = Server::start(folder.path());
    let client = Client::new(server.address);
    client.ready().await;

    // A request whose body is still on its way keeps the server from ending.
    let body = Bytes::from(json!({"input": "good film"}).to_string());
    let request = post(&body);
    let (first, rest) = request.split_at(request.len() - 5);
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(first).await.unwrap();
    // An answer on another connection, asked for later, shows that the first one is accepted.
    client.get("/health/live").await;
    server.signal("TERM");
    let answer = ask(&mut slow, rest).await.unwrap().expect("an accepted request is answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let status = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}
