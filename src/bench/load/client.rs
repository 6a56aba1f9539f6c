//! One kept-alive connection to the server, opened when it is needed.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::tally::Fault;

/// Bytes of an error's body that are kept as its example.
const EXAMPLE_BYTES_MAX: usize = 300;

/// A connection, or the place for one.
#[derive(Debug, Default)]
pub(super) struct Link {
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Link {
    /// Sends a request and reads its whole answer; the bytes of its body.
    pub(super) async fn ask(
        &mut self,
        to: SocketAddr,
        request: Request<Full<Bytes>>,
    ) -> Result<usize, Fault> {
        let lost = |error: hyper::Error| Fault::Connection(reason(&error));
        let sender = self.sender(to).await?;
        let response = match sender.send_request(request).await {
            Ok(response) => response,
            Err(error) => {
                self.close();
                return Err(lost(error));
            }
        };
        let status = response.status();
        let example_bytes_max = if status.is_success() { 0 } else { EXAMPLE_BYTES_MAX };
        match read(response.into_body(), example_bytes_max).await {
            Ok((bytes, _)) if status.is_success() => Ok(bytes),
            Ok((_, example)) => {
                Err(Fault::Status(status.as_u16(), String::from_utf8_lossy(&example).into_owned()))
            }
            Err(error) => {
                self.close();
                Err(lost(error))
            }
        }
    }

    /// Gives the connection up, and whatever it may still answer.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// The open connection, or a new one where the server has closed it.
    async fn sender(&mut self, to: SocketAddr) -> Result<&mut SendRequest<Full<Bytes>>, Fault> {
        let usable = match &mut self.open {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.open = None;
        }
        match &mut self.open {
            Some(sender) => Ok(sender),
            empty => Ok(empty.insert(connect(to).await?)),
        }
    }
}

async fn connect(to: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Fault> {
    let failed = |error: std::io::Error| Fault::Connection(format!("connecting: {error}"));
    let stream = TcpStream::connect(to).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| Fault::Connection(reason(&error)))?;
    // What ends it is told to whoever sends next.
    tokio::spawn(connection);
    Ok(sender)
}

/// Reads a body away: its length and how it begins.
async fn read(mut body: Incoming, example_bytes_max: usize) -> Result<(usize, Vec<u8>), hyper::Error> {
    let (mut bytes, mut example) = (0, Vec::new());
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            bytes += data.len();
            let room = example_bytes_max - example.len();
            example.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok((bytes, example))
}

/// An error with what is behind it.
fn reason(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
