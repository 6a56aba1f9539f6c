//! The load generator against toy servers that stall, refuse, hang up and count.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// How a toy server behaves.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers at once.
    Well,
    /// Answers nobody between these moments after the first request.
    Stalls { from: Duration, to: Duration },
    /// Answers 429 to every third request.
    Refuses,
    /// Takes requests and says nothing.
    Silent,
    /// Hangs up on every request.
    HangsUp,
    /// Answers when so many requests wait.
    InCompany(usize),
}

/// A server on a thread of its own.
struct Toy {
    manner: Manner,
    begun: std::sync::OnceLock<Instant>,
    requests: AtomicUsize,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
    enough: tokio::sync::Notify,
}

fn serve(manner: Manner) -> (SocketAddr, Arc<Toy>) {
    let toy = Arc::new(Toy {
        manner,
        begun: std::sync::OnceLock::new(),
        requests: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
        most_waiting: AtomicUsize::new(0),
        enough: tokio::sync::Notify::new(),
    });
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let shared = Arc::clone(&toy);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            send.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).converse(stream));
            }
        });
    });
    (receive.recv().unwrap(), toy)
}

impl Toy {
    async fn converse(self: Arc<Self>, stream: TcpStream) -> Option<()> {
        let mut bytes = Vec::new();
        loop {
            // Every request of these tests has the body "x" and ends with it.
            while !bytes.ends_with(b"\r\n\r\nx") {
                let mut part = [0; 1024];
                stream.readable().await.ok()?;
                match stream.try_read(&mut part) {
                    Ok(0) => return None,
                    Ok(read) => bytes.extend_from_slice(&part[..read]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return None,
                }
            }
            bytes.clear();
            let status = self.decide().await?;
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\nbody");
            stream.writable().await.ok()?;
            // A few bytes: an empty socket takes them whole.
            assert_eq!(stream.try_write(answer.as_bytes()).ok()?, answer.len());
        }
    }

    /// The status to answer with; `None` hangs up.
    async fn decide(&self) -> Option<&'static str> {
        let begun = *self.begun.get_or_init(Instant::now);
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        match self.manner {
            Manner::Stalls { from, to } => {
                if (from..to).contains(&begun.elapsed()) {
                    tokio::time::sleep_until((begun + to).into()).await;
                }
            }
            Manner::Refuses if number % 3 == 2 => return Some("429 Too Many Requests"),
            Manner::Well | Manner::Refuses => {}
            Manner::Silent => std::future::pending().await,
            Manner::HangsUp => return None,
            Manner::InCompany(company) => {
                let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
                self.most_waiting.fetch_max(waiting, Ordering::Relaxed);
                if waiting == company {
                    self.waiting.store(0, Ordering::Relaxed);
                    self.enough.notify_waiters();
                } else {
                    self.enough.notified().await;
                }
            }
        }
        Some("200 OK")
    }
}

fn settings(address: SocketAddr, pace: Pace) -> Settings {
    let target = Target::parse(&format!("http://{address}/ask")).unwrap();
    let payload =
        Payload { method: "POST".into(), bodies: vec![Bytes::from_static(b"x")], ..Payload::default() };
    let ms = Duration::from_millis;
    Settings {
        requests: Requests::new(&target, payload).unwrap(),
        target,
        pace,
        connections: 4,
        seed: 1,
        span: Span { warmup: ms(20), measured: ms(300), timeout: ms(2_000) },
        rows_per_request: 3,
    }
}

#[test]
fn a_well_server_is_measured_in_both_loops() {
    let (address, toy) = serve(Manner::Well);
    for pace in [Pace::Closed, Pace::Open(400.0)] {
        let report = run(&settings(address, pace)).unwrap();
        assert_eq!((report.requests, report.errors.total()), (report.succeeded, 0), "{report}");
        assert!(report.succeeded > 10 && report.achieved_rate > 0.0, "{report}");
        assert!((report.rows_per_second / report.requests_per_second - 3.0).abs() < 1e-9);
        assert_eq!((report.bytes_sent, report.bytes_received), (report.succeeded, 4 * report.succeeded));
        let latency = report.latency_ms;
        assert!(latency.min > 0.0 && latency.min <= latency.p50 && latency.p99 <= latency.max, "{report}");
    }
    assert!(toy.requests.load(Ordering::Relaxed) > 20);
}

#[test]
fn a_schedule_is_kept_request_by_request() {
    let (address, _) = serve(Manner::Well);
    let settings = settings(address, Pace::Open(500.0));
    let Span { warmup, measured, .. } = settings.span;
    let due = arrivals::Arrivals::new(500.0, 1);
    let expected = due.skip_while(|time| *time < warmup).take_while(|time| *time < warmup + measured).count();
    let report = run(&settings).unwrap();
    assert_eq!(report.requests, expected as u64);
    assert!(report.connections <= 4);
}

#[test]
fn an_open_loop_sees_a_stall_that_a_closed_one_hides() {
    let ms = Duration::from_millis;
    let stalls = Manner::Stalls { from: ms(100), to: ms(250) };
    let measure = |pace| {
        let (address, _) = serve(stalls);
        let span = Span { warmup: ms(0), measured: ms(500), timeout: ms(5_000) };
        run(&Settings { span, ..settings(address, pace) }).unwrap()
    };
    let open = measure(Pace::Open(200.0));
    // Requests that were due early in the 150 ms were kept waiting for most of them, sent or not.
    assert!(open.latency_ms.p90 > 50.0 && open.latency_ms.p99 > 100.0, "{open}");
    let closed = measure(Pace::Closed);
    assert!(closed.latency_ms.max > 100.0, "{closed}");
    assert!(closed.latency_ms.p90 < open.latency_ms.p90, "{closed}\n{open}");
}

#[test]
fn a_closed_loop_keeps_every_connection_busy() {
    let (address, toy) = serve(Manner::InCompany(4));
    let report = run(&Settings { rows_per_request: 1, ..settings(address, Pace::Closed) }).unwrap();
    assert!(report.succeeded >= 4, "{report}");
    assert_eq!((report.connections, toy.most_waiting.load(Ordering::Relaxed)), (4, 4));
}

#[test]
fn errors_are_counted_by_kind_with_an_example() {
    let short = |address, pace| {
        let settings = settings(address, pace);
        Settings { span: Span { timeout: Duration::from_millis(60), ..settings.span }, ..settings }
    };
    for pace in [Pace::Closed, Pace::Open(200.0)] {
        let report = run(&settings(serve(Manner::Refuses).0, pace)).unwrap();
        let refused = &report.errors.status[&429];
        assert_eq!(refused.example.as_deref(), Some("body"));
        assert!(report.succeeded > 0 && report.errors.total() == refused.count, "{report}");
        assert_eq!(report.requests, report.succeeded + refused.count);

        let report = run(&short(serve(Manner::Silent).0, pace)).unwrap();
        assert!(report.succeeded == 0 && report.errors.timeout.count == report.requests, "{report}");
        assert!(report.requests > 0 && report.errors.timeout.example.is_some());

        let report = run(&settings(serve(Manner::HangsUp).0, pace)).unwrap();
        assert!(report.succeeded == 0 && report.errors.connection.count == report.requests, "{report}");
        assert!(report.requests > 0 && report.to_string().contains("connection"), "{report}");
    }
}

#[test]
fn where_nobody_listens_nothing_is_measured() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = run(&settings(address, Pace::Closed)).unwrap_err().to_string();
    assert!(error.contains(&format!("http://{address}/ask: ")) && error.contains("refused"), "{error}");
}

#[test]
fn a_sweep_finds_the_capacity_and_tries_shares_of_it() {
    let (address, _) = serve(Manner::Well);
    let ms = Duration::from_millis;
    let short = Settings {
        span: Span { warmup: ms(10), measured: ms(60), timeout: ms(1_000) },
        ..settings(address, Pace::Closed)
    };
    let mut told = 0;
    let found = sweep(&short, &Rates::These(vec![100.0, 200.0]), |_| told += 1).unwrap();
    assert_eq!((found.runs.len(), told, found.capacity.is_some()), (2, 2, false));
    assert_eq!(found.runs[1].offered_rate, Some(200.0));
    let found = sweep(&short, &Rates::OfCapacity, |_| {}).unwrap();
    let capacity = found.capacity.as_ref().unwrap().achieved_rate;
    let first = found.runs[0].offered_rate.unwrap();
    assert!((first / capacity - 0.1).abs() < 1e-9 && found.succeeded());
}
