//! SIGTERM under load: whoever was accepted is answered, and the process ends well.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::Client;
use crate::support::models;
use crate::support::server::Server;

const CONNECTIONS: usize = 32;

/// Sends one request on the connection and reads its answer; `None` when the server closed before taking it.
fn ask(stream: &mut TcpStream, request: &[u8]) -> Result<Option<String>, String> {
    if stream.write_all(request).is_err() {
        return Ok(None);
    }
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = match stream.read(&mut chunk) {
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

fn post(body: &str) -> Vec<u8> {
    format!(
        "POST /v1/text/classify HTTP/1.1\r\nhost: sconce\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One connection, one request after the other until the server ends it. A request is answered whole or was never
/// taken: a server closes a kept-alive connection between requests only.
fn keep_asking(address: SocketAddr, request: &[u8], answered: &AtomicUsize) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    while let Some(answer) = ask(&mut stream, request)? {
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(answer);
        }
        answered.fetch_add(1, Ordering::Relaxed);
        if answer.to_ascii_lowercase().contains("connection: close") {
            break;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_answers_every_accepted_request_and_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "drained", 3);
    let server = Server::start(folder.path());
    Client::new(server.address).ready().await;

    let request: Arc<[u8]> = post(&json!({"input": vec!["good film"; 16]}).to_string()).into();
    let answered = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (request, answered, address) = (Arc::clone(&request), Arc::clone(&answered), server.address);
            thread::spawn(move || keep_asking(address, &request, &answered))
        })
        .collect();
    let begun = Instant::now();
    while answered.load(Ordering::Relaxed) < 4 * CONNECTIONS && begun.elapsed() < Duration::from_mins(1) {
        thread::yield_now();
    }
    server.signal("TERM");
    for caller in callers {
        caller.join().unwrap().unwrap();
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered >= 4 * CONNECTIONS, "only {answered} answers");
    assert_eq!(server.wait().code(), Some(0));
    println!("{answered} requests answered, none cut off, exit 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_half_sent_at_sigterm_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "drained", 3);
    let server = Server::start(folder.path());
    let client = Client::new(server.address);
    client.ready().await;

    // A request whose body is still on its way keeps the server from ending.
    let request = post(&json!({"input": "good film"}).to_string());
    let (first, rest) = request.split_at(request.len() - 5);
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(first).unwrap();
    // An answer on another connection, asked for later, shows that the first one is accepted.
    client.get("/health/live").await;
    server.signal("TERM");
    let answer = ask(&mut slow, rest).unwrap().expect("an accepted request is answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.wait().code(), Some(0));
}
