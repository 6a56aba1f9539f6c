//! `sconce health`: asks a running server whether it is alive, for a container's health check.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::settings::SettingsArguments;
use super::{Failure, output};

/// Asks a running server whether it is alive
///
/// Exit code 0: it answered 200. 1: it did not, within the time.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What to ask [default: /health/live where the configuration listens]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Seconds to wait for the answer
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,

    #[command(flatten)]
    settings: SettingsArguments,
}

/// Bytes of the answer's first line that are read: `HTTP/1.1 200 OK` and some.
const STATUS_LINE_BYTES_MAX: u64 = 256;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (authority, path) = match &arguments.url {
        Some(url) => split(url).ok_or_else(|| {
            Failure::usage(format!("{url:?}: expected http://HOST:PORT/PATH"))
                .hint("only plain http is spoken")
        })?,
        None => (configured(&arguments.settings)?, "/health/live".to_owned()),
    };
    let status = ask(&authority, &path, Duration::from_secs(arguments.timeout))
        .map_err(|error| Failure::failed(format!("http://{authority}{path}: {error}")))?;
    if status.split(' ').nth(1) != Some("200") {
        return Err(Failure::failed(format!("http://{authority}{path}: answered {status:?}, expected 200")));
    }
    output::print("alive")
}

/// Host and port, and path.
fn split(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let clean = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let with_port = match authority.rsplit_once(':') {
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => authority.to_owned(),
        _ => format!("{authority}:80"),
    };
    (!authority.is_empty() && clean(rest)).then(|| (with_port, format!("/{path}")))
}

/// Where the configuration listens, as this machine reaches it.
fn configured(settings: &SettingsArguments) -> Result<String, Failure> {
    let mut address = settings.read()?.settings.http.address;
    if address.port() == 0 {
        let message = "the configured port is 0, so the one that the server picked is not known here";
        return Err(Failure::usage(message).hint("give --url http://HOST:PORT/health/live"));
    }
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address.to_string())
}

/// The first line of the answer.
fn ask(authority: &str, path: &str, timeout: Duration) -> io::Result<String> {
    let addresses: Vec<SocketAddr> = authority.to_socket_addrs()?.collect();
    let connect = |address: &SocketAddr| TcpStream::connect_timeout(address, timeout);
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    let mut stream = addresses
        .iter()
        .map(connect)
        .reduce(|first, next| if first.is_ok() { first } else { next })
        .unwrap_or_else(|| Err(unknown()))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut begun = Vec::new();
    stream.take(STATUS_LINE_BYTES_MAX).read_to_end(&mut begun)?;
    let line = begun.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let parts = |url| split(url).map(|(authority, path)| format!("{authority} {path}"));
        assert_eq!(parts("http://a:8080/health/live").as_deref(), Some("a:8080 /health/live"));
        assert_eq!(parts("http://a").as_deref(), Some("a:80 /"));
        assert_eq!(parts("http://[::1]:8080/x").as_deref(), Some("[::1]:8080 /x"));
        for bad in ["https://a", "a:80", "http://", "http://a/b c", "http://a/\r\nx"] {
            assert_eq!(parts(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_status_line_is_read_and_silence_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            assert!(request.starts_with(b"GET /health/live HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
            drop(stream);
            listener
        });
        let second = Duration::from_secs(5);
        assert_eq!(ask(&authority, "/health/live", second).unwrap(), "HTTP/1.1 503 Service Unavailable");
        let silent = server.join().unwrap();
        ask(&authority, "/", Duration::from_millis(1)).unwrap_err();
        drop(silent);
    }
}
