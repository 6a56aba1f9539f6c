//! The listener, over real sockets: who is answered, who is closed, and when the drain ends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sconce::http::{Config, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::door::{config, gateway};

const GET: &str = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";

/// A door that listens, and how to stop it.
struct Listening {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), String>>,
}

async fn listen(config: Config) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { stopped.await.unwrap() };
    let ended = tokio::spawn(async move { serve(listener, gateway(config), stopped).await });
    Listening { address, stop, ended }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// One answer, read to the end of its body.
fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with("\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {answer:?}");
        answer.push(char::from(byte[0]));
    }
    let length = answer.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    answer + &String::from_utf8(body).unwrap()
}

/// What is left on the connection until the server closes it; a reset is a close, too.
fn read_rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    String::from_utf8(rest).unwrap()
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_until_the_stop() {
    let door = listen(config()).await;
    let address = door.address;
    let mut stream = blocking(move || {
        let mut stream = connect(address);
        for _ in 0..3 {
            stream.write_all(GET.as_bytes()).unwrap();
            let answer = read_answer(&mut stream);
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            assert!(!answer.contains("connection: close"), "{answer}");
        }
        stream
    })
    .await;
    door.stop.send(()).unwrap();
    door.ended.await.unwrap().unwrap();
    assert_eq!(blocking(move || read_rest(&mut stream)).await, "");
    assert!(TcpStream::connect(address).is_err(), "the listener is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_were_sent_before_the_stop_are_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody has accepted them yet: they wait in the system's backlog.
    let streams: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(GET.as_bytes()).unwrap();
            stream
        })
        .collect();
    serve(listener, gateway(config()), std::future::ready(())).await.unwrap();
    for mut stream in streams {
        let answer = blocking(move || read_rest(&mut stream)).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_finished_and_ends_its_connection() {
    let door = listen(config()).await;
    let address = door.address;
    let mut stream = blocking(move || {
        let mut stream = connect(address);
        stream.write_all(GET.as_bytes()).unwrap();
        read_answer(&mut stream);
        let head = "POST /v1/text/classify HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nte";
        stream.write_all(head.as_bytes()).unwrap();
        stream
    })
    .await;
    door.stop.send(()).unwrap();
    // The listener closes when lingering is over; the request is still under way then.
    blocking(move || while TcpStream::connect(address).is_ok() {}).await;
    let answer = blocking(move || {
        stream.write_all(b"xt").unwrap();
        read_rest(&mut stream)
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("model_not_ready"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    door.ended.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_end_is_cut_off_and_told_of() {
    let door = listen(Config { drain_timeout: Duration::from_millis(50), ..config() }).await;
    let address = door.address;
    let mut stream = blocking(move || {
        let mut stream = connect(address);
        stream.write_all(GET.as_bytes()).unwrap();
        read_answer(&mut stream);
        stream.write_all(b"POST /v1/text/classify HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n").unwrap();
        stream
    })
    .await;
    door.stop.send(()).unwrap();
    let error = door.ended.await.unwrap().unwrap_err();
    assert!(error.starts_with("1 connections were cut off"), "{error}");
    assert_eq!(blocking(move || read_rest(&mut stream)).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_does_not_end_is_closed() {
    let door = listen(Config { header_timeout: Duration::from_millis(50), ..config() }).await;
    let address = door.address;
    let rest = blocking(move || {
        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").unwrap();
        read_rest(&mut stream)
    })
    .await;
    assert!(!rest.starts_with("HTTP/1.1 200"), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_too_large_is_refused() {
    let door = listen(config()).await;
    let address = door.address;
    let rest = blocking(move || {
        let mut stream = connect(address);
        let head =
            format!("GET /?{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(sconce::limits::HEADER_BYTES_MAX));
        // The server may answer and close before it was sent whole.
        stream.write_all(head.as_bytes()).ok();
        read_rest(&mut stream)
    })
    .await;
    assert!(
        rest.is_empty() || rest.starts_with("HTTP/1.1 431") || rest.starts_with("HTTP/1.1 414"),
        "{rest}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_beyond_the_bound_waits_for_another_to_close() {
    let door = listen(Config { connections_max: 1, ..config() }).await;
    let address = door.address;
    blocking(move || {
        let mut first = connect(address);
        first.write_all(GET.as_bytes()).unwrap();
        read_answer(&mut first);
        let mut second = connect(address);
        second.write_all(GET.as_bytes()).unwrap();
        second.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(second.read(&mut [0]).is_err(), "answered beside the first");
        drop(first);
        second.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert!(read_answer(&mut second).starts_with("HTTP/1.1 200 OK"));
    })
    .await;
}
