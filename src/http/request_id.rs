//! Request ids: taken over from the caller when sane, made otherwise; in the log, in problems and in every answer.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::REQUEST_ID_BYTES_MAX;

/// The header that carries the id, both ways.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) Arc<str>);

impl RequestId {
    /// Gives the answer the id of its request.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            headers.insert(HEADER, value);
        }
    }
}

/// Makes ids: a keyed hash of a count, so they do not repeat in a process and differ between processes.
#[derive(Debug, Default)]
pub(super) struct RequestIds {
    key: RandomState,
    count: AtomicU64,
}

impl RequestIds {
    /// The id of a request with these headers.
    pub(super) fn identify(&self, headers: &HeaderMap) -> RequestId {
        RequestId(given(headers).map_or_else(|| self.make(), str::to_owned).into())
    }

    fn make(&self) -> String {
        format!("{:016x}", self.key.hash_one(self.count.fetch_add(1, Ordering::Relaxed)))
    }
}

/// The caller's id, when it is short and of characters that mean nothing to a log or a terminal.
fn given(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    (!id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(sane)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_differ() {
        let ids = RequestIds::default();
        let made: std::collections::BTreeSet<String> = (0..1_000).map(|_| ids.make()).collect();
        assert_eq!(made.len(), 1_000);
        assert!(made.iter().all(|id| id.len() == 16));
        assert_ne!(RequestIds::default().make(), RequestIds::default().make());
    }

    #[test]
    fn a_callers_id_is_taken_over_when_it_is_sane() {
        let given_id = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
            given(&headers).map(str::to_owned)
        };
        let longest = "a".repeat(REQUEST_ID_BYTES_MAX);
        for good in ["x", "4bf92f35-77b3:4da6/a3ce=929d+0e_0e.4736", &longest] {
            assert_eq!(given_id(good.as_bytes()).as_deref(), Some(good));
        }
        let too_long = format!("{longest}a");
        for bad in [&b""[..], b"a b", b"a\"b", b"<b>", "ä".as_bytes(), too_long.as_bytes()] {
            assert_eq!(given_id(bad), None);
        }
    }
}
