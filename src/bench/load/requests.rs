//! What is sent: requests made once, in a shuffled order, round robin.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hyper::Method;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::Target;

/// Of the order of requests; arrivals have stream 0 of the same seed.
const ORDER_STREAM: u64 = 1;

/// What requests are made of.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    /// The method's name.
    pub method: String,
    /// The type of the bodies, where there are some.
    pub content_type: String,
    /// Further headers, each `Name: value`.
    pub headers: Vec<String>,
    /// The bodies; without any, requests have none.
    pub bodies: Vec<Bytes>,
}

/// Requests to one path: the same head, each its body.
#[derive(Clone, Debug)]
pub struct Requests {
    messages: Vec<Message>,
}

/// A request as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) bytes: Bytes,
    /// Bytes of its body.
    pub(super) body: usize,
    /// Whether answers have no body: it is a `HEAD`.
    pub(super) headless: bool,
}

/// Why requests cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not a method.
    #[error("{0:?} is not a method: expected POST, GET, PUT or the like")]
    Method(String),
    /// A header that says where the body ends.
    #[error("{0:?} cannot be set: it is told by the body")]
    Length(String),
    /// Not a header.
    #[error("{0:?} is not a header: expected \"Name: value\"")]
    Header(String),
}

impl Requests {
    /// Requests to the target's path.
    ///
    /// # Errors
    /// The method or a header cannot be sent.
    pub fn new(target: &Target, payload: Payload) -> Result<Self, RequestError> {
        let method = Method::from_bytes(payload.method.as_bytes())
            .map_err(|_| RequestError::Method(payload.method.clone()))?;
        let value =
            |text: &str| HeaderValue::from_str(text).map_err(|_| RequestError::Header(text.to_owned()));
        let mut headers = HeaderMap::new();
        headers.insert(HOST, value(target.authority())?);
        if !payload.bodies.is_empty() {
            headers.insert(CONTENT_TYPE, value(&payload.content_type)?);
        }
        for header in &payload.headers {
            let bad = || RequestError::Header(header.clone());
            let (name, text) = header.split_once(':').ok_or_else(bad)?;
            let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
            if [CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
                return Err(RequestError::Length(header.clone()));
            }
            headers.insert(name, HeaderValue::from_str(text.trim()).map_err(|_| bad())?);
        }
        let line = format!("{method} {} HTTP/1.1", target.path());
        let mut head = line.into_bytes();
        for (name, value) in &headers {
            head.extend_from_slice(b"\r\n");
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
        }
        let message = |body: &Bytes| {
            let length = if headers.contains_key(CONTENT_TYPE) || !body.is_empty() {
                format!("\r\ncontent-length: {}", body.len())
            } else {
                String::new()
            };
            let bytes = [&head, length.as_bytes(), b"\r\n\r\n", body].concat();
            Message { bytes: bytes.into(), body: body.len(), headless: method == Method::HEAD }
        };
        let bodies = if payload.bodies.is_empty() { vec![Bytes::new()] } else { payload.bodies };
        Ok(Self { messages: bodies.iter().map(message).collect() })
    }

    /// The requests in the order that a seed gives.
    pub(super) fn ordered(&self, seed: u64) -> Ordered {
        let mut messages = self.messages.clone();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(ORDER_STREAM);
        messages.shuffle(&mut generator);
        Ordered { messages, next: AtomicUsize::new(0) }
    }
}

/// Requests in the order in which they are sent, again and again.
#[derive(Debug)]
pub(super) struct Ordered {
    messages: Vec<Message>,
    next: AtomicUsize,
}

impl Ordered {
    /// The next request.
    pub(super) fn next(&self) -> &Message {
        &self.messages[self.next.fetch_add(1, Ordering::Relaxed) % self.messages.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(bodies: &[&'static str], headers: &[&str]) -> Payload {
        Payload {
            method: "POST".into(),
            content_type: "text/plain".into(),
            headers: headers.iter().map(ToString::to_string).collect(),
            bodies: bodies.iter().map(|body| Bytes::from_static(body.as_bytes())).collect(),
        }
    }

    fn target() -> Target {
        Target::parse("http://127.0.0.1:9/a?b=c").unwrap()
    }

    #[test]
    fn bodies_are_sent_round_robin_in_the_order_of_the_seed() {
        let bodies = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg", "hhhhhhhh"];
        let requests = Requests::new(&target(), payload(&bodies, &[])).unwrap();
        let lengths = |seed| {
            let ordered = requests.ordered(seed);
            (0..16).map(|_| ordered.next().body).collect::<Vec<_>>()
        };
        assert_eq!(lengths(1), lengths(1));
        assert_ne!(lengths(1), lengths(2));
        let mut found = lengths(1);
        assert_eq!(found[..8], found[8..]);
        found.truncate(8);
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_request_says_what_it_was_told_to() {
        let sent = |payload| {
            let ordered = Requests::new(&target(), payload).unwrap().ordered(1);
            let message = ordered.next().clone();
            (String::from_utf8(message.bytes.to_vec()).unwrap(), message.body, message.headless)
        };
        let (request, body, headless) = sent(payload(&["xyz"], &["X-One:  1 ", "accept: */*"]));
        let head = "POST /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:9\r\ncontent-type: text/plain\r\nx-one: 1\r\n\
                    accept: */*\r\ncontent-length: 3\r\n\r\nxyz";
        assert_eq!((request.as_str(), body, headless), (head, 3, false));
        let bare = sent(Payload { method: "HEAD".into(), ..payload(&[], &[]) });
        assert_eq!(bare, ("HEAD /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\n".into(), 0, true));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let refused = |payload| Requests::new(&target(), payload).unwrap_err().to_string();
        assert!(refused(payload(&[], &["no colon"])).contains("expected \"Name: value\""));
        assert!(refused(payload(&[], &["a b: c"])).contains("a b: c"));
        for framing in ["Content-Length: 5", "transfer-encoding: chunked"] {
            assert!(refused(payload(&["x"], &[framing])).contains("told by the body"), "{framing}");
        }
        assert!(refused(Payload { method: "PO ST".into(), ..payload(&[], &[]) }).contains("is not a method"));
    }
}
