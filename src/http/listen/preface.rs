//! Telling HTTP/2 from HTTP/1.1 by the first bytes of a connection: without TLS nothing else says it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What every HTTP/2 connection begins with (RFC 9113, 3.4), and no HTTP/1.1 request.
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/1.1, or nothing at all.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// A connection whose first bytes were read, to be read again.
#[derive(Debug)]
pub(super) struct Begun {
    first: [u8; PREFACE.len()],
    /// Of `first`: what was read.
    length: usize,
    /// Of those: what was read again.
    taken: usize,
    stream: TcpStream,
}

/// Reads until the connection says what it speaks, or ends.
///
/// # Errors
/// The connection broke.
pub(super) async fn read(stream: TcpStream) -> io::Result<(Spoken, Begun)> {
    let mut begun = Begun { first: [0; PREFACE.len()], length: 0, taken: 0, stream };
    loop {
        begun.stream.readable().await?;
        let Some(room) = begun.first.get_mut(begun.length..) else { break };
        match begun.stream.try_read(room) {
            Ok(0) => break,
            Ok(count) => begun.length += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if !PREFACE.starts_with(begun.unread()) {
            return Ok((Spoken::Http1, begun));
        }
        if begun.length == PREFACE.len() {
            return Ok((Spoken::Http2, begun));
        }
    }
    Ok((Spoken::Http1, begun))
}

impl Begun {
    fn unread(&self) -> &[u8] {
        self.first.get(self.taken..self.length).unwrap_or(&[])
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.unread().len().min(into.remaining());
        if count == 0 {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        into.put_slice(self.unread().get(..count).unwrap_or(&[]));
        self.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    use super::*;

    /// What a server reads of a client that writes these pieces and closes: what is spoken, and every byte.
    async fn heard(pieces: &'static [&'static [u8]]) -> (Spoken, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            for piece in pieces {
                stream.write_all(piece).unwrap();
            }
        });
        let (stream, _) = listener.accept().await.unwrap();
        let (spoken, mut begun) = read(stream).await.unwrap();
        let mut all = Vec::new();
        loop {
            let mut space = [0; 7];
            let mut into = ReadBuf::new(&mut space);
            std::future::poll_fn(|cx| Pin::new(&mut begun).poll_read(cx, &mut into)).await.unwrap();
            if into.filled().is_empty() {
                break;
            }
            all.extend_from_slice(into.filled());
        }
        client.join().unwrap();
        drop(TokioIo::new(begun));
        (spoken, all)
    }

    #[tokio::test]
    async fn the_first_bytes_say_what_is_spoken_and_none_is_lost() {
        let cases: [(&'static [&'static [u8]], Spoken); 7] = [
            (&[b"GET / HTTP/1.1\r\n\r\n"], Spoken::Http1),
            (&[b"P", b"OST / HTTP/1.1\r\n\r\n"], Spoken::Http1),
            (&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], Spoken::Http2),
            (&[b"PRI * HT", b"TP/2.0\r\n\r\nSM\r\n\r\nand more of it"], Spoken::Http2),
            (&[b"PRI * HTTP/2.0\r\n\r\nxx\r\n\r\n"], Spoken::Http1),
            (&[b"PRI"], Spoken::Http1),
            (&[], Spoken::Http1),
        ];
        for (pieces, expected) in cases {
            let (spoken, all) = heard(pieces).await;
            assert_eq!((spoken, all), (expected, pieces.concat()), "{pieces:?}");
        }
    }
}
