//! Who is asked: a URL taken apart, its host resolved.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use tokio::net::TcpStream;

/// A server and a path on it.
#[derive(Clone, Debug)]
pub struct Target {
    url: String,
    authority: String,
    path: PathAndQuery,
    addresses: Vec<SocketAddr>,
}

/// Why a URL cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a URL, or one without a host.
    #[error("{0:?}: expected http://HOST[:PORT]/PATH")]
    NotAUrl(String),
    /// `https` and whatever else.
    #[error("{url:?}: {scheme} is not spoken, only plain http")]
    Scheme {
        /// The URL.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// The host has no address.
    #[error("{url:?}: the host {host} has no address: {reason}")]
    Unknown {
        /// The URL.
        url: String,
        /// Its host and port.
        host: String,
        /// What resolving said.
        reason: String,
    },
}

impl Target {
    /// Takes a URL apart and resolves its host. Blocks for as long as resolving takes.
    ///
    /// # Errors
    /// It is not an `http` URL, or its host has no address.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let bad = || TargetError::NotAUrl(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(scheme) => {
                return Err(TargetError::Scheme { url: url.to_owned(), scheme: scheme.to_owned() });
            }
            None => return Err(bad()),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        let host = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let unknown =
            |reason: String| TargetError::Unknown { url: url.to_owned(), host: host.clone(), reason };
        let addresses: Vec<_> = host.to_socket_addrs().map_err(|error| unknown(error.to_string()))?.collect();
        if addresses.is_empty() {
            return Err(unknown("resolving found none".to_owned()));
        }
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        Ok(Self { url: url.to_owned(), authority, path, addresses })
    }

    /// The URL as it was given.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host and port, as the `Host` header has them.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn path(&self) -> &PathAndQuery {
        &self.path
    }

    /// The first address where somebody listens.
    pub(super) async fn reach(&self, timeout: Duration) -> Result<SocketAddr, String> {
        let mut reason = String::new();
        for address in &self.addresses {
            match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
                Ok(Ok(_)) => return Ok(*address),
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => reason = format!("{address} does not answer within {} s", timeout.as_secs_f64()),
            }
        }
        Err(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("http://127.0.0.1:8080/v1/text/classify?top_k=1").unwrap();
        assert_eq!(
            (target.authority(), target.path().as_str()),
            ("127.0.0.1:8080", "/v1/text/classify?top_k=1")
        );
        assert_eq!(target.addresses, ["127.0.0.1:8080".parse().unwrap()]);
        let short = Target::parse("http://[::1]").unwrap();
        assert_eq!((short.path().as_str(), short.addresses[0].port()), ("/", 80));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_its_reason() {
        let refused = |url| Target::parse(url).unwrap_err().to_string();
        assert!(refused("https://a/b").contains("https is not spoken, only plain http"));
        for bad in ["localhost:80/a", "http://", "/a", "http://a b/"] {
            assert!(
                refused(bad).contains("expected http://HOST[:PORT]/PATH")
                    || refused(bad).contains("not spoken"),
                "{bad}"
            );
        }
    }
}
