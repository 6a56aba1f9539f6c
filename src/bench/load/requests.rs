//! What is sent: requests made once, in a shuffled order, round robin.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
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
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    bodies: Vec<Bytes>,
}

/// Why requests cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not a method.
    #[error("{0:?} is not a method: expected POST, GET, PUT or the like")]
    Method(String),
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
            headers.insert(name, HeaderValue::from_str(text.trim()).map_err(|_| bad())?);
        }
        let bodies = if payload.bodies.is_empty() { vec![Bytes::new()] } else { payload.bodies };
        Ok(Self { method, uri: Uri::from(target.path().clone()), headers, bodies })
    }

    /// The requests in the order that a seed gives.
    pub(super) fn ordered(&self, seed: u64) -> Ordered {
        let mut requests = self.clone();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(ORDER_STREAM);
        requests.bodies.shuffle(&mut generator);
        Ordered { requests, next: AtomicUsize::new(0) }
    }
}

/// Requests in the order in which they are sent, again and again.
#[derive(Debug)]
pub(super) struct Ordered {
    requests: Requests,
    next: AtomicUsize,
}

impl Ordered {
    /// The next request, and the bytes of its body.
    pub(super) fn next(&self) -> (Request<Full<Bytes>>, usize) {
        let Requests { method, uri, headers, bodies } = &self.requests;
        let body = &bodies[self.next.fetch_add(1, Ordering::Relaxed) % bodies.len()];
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers.clone();
        (request, body.len())
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
            (0..16).map(|_| ordered.next().1).collect::<Vec<_>>()
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
        let requests = Requests::new(&target(), payload(&["x"], &["X-One:  1 ", "accept: */*"])).unwrap();
        let (request, _) = requests.ordered(1).next();
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::POST, "/a?b=c"));
        let header = |name| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-one"), "1");
        assert_eq!((header("host").as_str(), header("content-type").as_str()), ("127.0.0.1:9", "text/plain"));
        let bare = Requests::new(&target(), payload(&[], &[])).unwrap().ordered(1).next();
        assert!(bare.1 == 0 && !bare.0.headers().contains_key("content-type"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let refused = |payload| Requests::new(&target(), payload).unwrap_err().to_string();
        assert!(refused(payload(&[], &["no colon"])).contains("expected \"Name: value\""));
        assert!(refused(payload(&[], &["a b: c"])).contains("a b: c"));
        assert!(refused(Payload { method: "PO ST".into(), ..payload(&[], &[]) }).contains("is not a method"));
    }
}
