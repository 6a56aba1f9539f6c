//! One kept-alive connection to the server, opened when it is needed.
//!
//! A request is written whole and its answer read where it is waited for, without a task or a queue between: what the
//! generator takes of a machine is missing to a server on the same one.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::answer::Incoming;
use super::requests::Message;
use super::tally::Fault;

/// A connection, or the place for one.
#[derive(Debug, Default)]
pub(super) struct Link {
    open: Option<Incoming<TcpStream>>,
}

impl Link {
    /// Sends a request and reads its whole answer; the bytes of its body.
    pub(super) async fn ask(&mut self, to: SocketAddr, message: &Message) -> Result<usize, Fault> {
        let mut open = match self.open.take().filter(is_usable) {
            Some(open) => open,
            None => Incoming::new(connect(to).await?),
        };
        let lost = |error: io::Error| Fault::Connection(error.to_string());
        open.stream().write_all(&message.bytes).await.map_err(lost)?;
        let answer = open.answer(message.headless).await.map_err(lost)?;
        if answer.keeps {
            self.open = Some(open);
        }
        if (200..300).contains(&answer.status) {
            Ok(answer.bytes)
        } else {
            Err(Fault::Status(answer.status, String::from_utf8_lossy(&answer.example).into_owned()))
        }
    }
}

/// Whether the server has neither closed a connection nor said anything that nobody asked for.
fn is_usable(open: &Incoming<TcpStream>) -> bool {
    matches!(open.idle().try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

async fn connect(to: SocketAddr) -> Result<TcpStream, Fault> {
    let failed = |error: io::Error| Fault::Connection(format!("connecting: {error}"));
    let stream = TcpStream::connect(to).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}
