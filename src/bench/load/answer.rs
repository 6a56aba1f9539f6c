//! One answer as it comes: its head, and a body that is read away as far as it goes.

use std::io;

use bytes::{Buf as _, BytesMut};
use httparse::Status;
use hyper::StatusCode;
use hyper::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Headers of an answer at most.
const HEADERS_MAX: usize = 100;
/// Bytes of an answer's head, and of the line before a chunk, at most.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an error's body that are kept as its example.
const EXAMPLE_BYTES_MAX: usize = 300;

/// What an answer was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Bytes of its body.
    pub(super) bytes: usize,
    /// How the body begins, where it is not a success.
    pub(super) example: Vec<u8>,
    /// Whether the connection can be asked again.
    pub(super) keeps: bool,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Length(usize),
    Chunks,
    /// Where the connection does.
    Connection,
}

/// The bytes that have come over a connection, and the connection.
#[derive(Debug)]
pub(super) struct Incoming<S> {
    stream: S,
    bytes: BytesMut,
}

impl<S: AsyncRead + Unpin> Incoming<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, bytes: BytesMut::with_capacity(16 * 1024) }
    }

    /// The connection, to write to.
    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The connection between two answers.
    pub(super) fn idle(&self) -> &S {
        &self.stream
    }

    /// Reads an answer; `headless` says that it answers a request whose answers have no body.
    ///
    /// # Errors
    /// The connection broke or ended in the middle, or what came is not HTTP/1.
    pub(super) async fn answer(&mut self, headless: bool) -> io::Result<Answer> {
        let (status, extent, keeps) = loop {
            if let Some(head) = self.head(headless)? {
                // 1xx: the answer is still to come.
                if head.0 >= 200 {
                    break head;
                }
            } else {
                self.more().await?;
            }
        };
        let mut answer = Answer { status, bytes: 0, example: Vec::new(), keeps };
        match extent {
            Extent::Length(length) => self.pass(length, &mut answer).await?,
            Extent::Chunks => {
                while let length @ 1.. = self.chunk().await? {
                    self.pass(length, &mut answer).await?;
                    self.trailers().await?;
                }
                self.trailers().await?;
            }
            Extent::Connection => {
                while !self.bytes.is_empty() || self.stream.read_buf(&mut self.bytes).await? > 0 {
                    self.pass(self.bytes.len(), &mut answer).await?;
                }
            }
        }
        // What nobody asked for must not be taken for the next answer.
        answer.keeps &= self.bytes.is_empty();
        Ok(answer)
    }

    /// The head, if it is there: status, extent of the body, whether the connection is kept.
    fn head(&mut self, headless: bool) -> io::Result<Option<(u16, Extent, bool)>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(&self.bytes).map_err(|error| bad(&error.to_string()))? {
            Status::Complete(length) => length,
            Status::Partial if self.bytes.len() > HEAD_BYTES_MAX => return Err(bad("an endless head")),
            Status::Partial => return Ok(None),
        };
        let status = response.code.unwrap_or_default();
        let named = |name: &str| {
            let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            header.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
        };
        let bare = headless
            || status < 200
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].iter().any(|code| *code == status);
        let extent = match (named(CONTENT_LENGTH.as_str()), named(TRANSFER_ENCODING.as_str())) {
            _ if bare => Extent::Length(0),
            (_, Some(coding)) if coding.to_ascii_lowercase().ends_with("chunked") => Extent::Chunks,
            (Some(length), None) => {
                Extent::Length(length.parse().map_err(|_| bad(&format!("content-length: {length}")))?)
            }
            _ => Extent::Connection,
        };
        let keeps = match named(CONNECTION.as_str()) {
            Some(told) if told.eq_ignore_ascii_case("close") => false,
            Some(told) if told.eq_ignore_ascii_case("keep-alive") => true,
            _ => response.version == Some(1),
        };
        self.bytes.advance(length);
        Ok(Some((status, extent, keeps && extent != Extent::Connection)))
    }

    /// Reads so many bytes of a body away.
    async fn pass(&mut self, mut length: usize, answer: &mut Answer) -> io::Result<()> {
        while length > 0 {
            if self.bytes.is_empty() {
                self.more().await?;
            }
            let here = length.min(self.bytes.len());
            if !(200..300).contains(&answer.status) {
                let room = EXAMPLE_BYTES_MAX - answer.example.len();
                answer.example.extend_from_slice(&self.bytes[..here.min(room)]);
            }
            self.bytes.advance(here);
            answer.bytes += here;
            length -= here;
        }
        Ok(())
    }

    /// The length of the next chunk, 0 after the last.
    async fn chunk(&mut self) -> io::Result<usize> {
        loop {
            match httparse::parse_chunk_size(&self.bytes).map_err(|_| bad("a chunk without a length"))? {
                Status::Complete((line, length)) => {
                    self.bytes.advance(line);
                    return usize::try_from(length).map_err(|_| bad("a chunk without an end"));
                }
                Status::Partial if self.bytes.len() > HEAD_BYTES_MAX => return Err(bad("an endless line")),
                Status::Partial => self.more().await?,
            }
        }
    }

    /// Reads the end of a chunk away, or the headers after the last one.
    async fn trailers(&mut self) -> io::Result<()> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let parsed = httparse::parse_headers(&self.bytes, &mut headers);
            match parsed.map_err(|error| bad(&error.to_string()))? {
                Status::Complete((length, _)) => {
                    self.bytes.advance(length);
                    return Ok(());
                }
                Status::Partial if self.bytes.len() > HEAD_BYTES_MAX => return Err(bad("endless headers")),
                Status::Partial => self.more().await?,
            }
        }
    }

    /// Waits for more bytes.
    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.bytes).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before the answer was complete")),
            _ => Ok(()),
        }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an answer in HTTP/1: {what}"))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// What becomes of bytes that come in parts of so many; what is left afterwards.
    async fn read(bytes: &[u8], part: usize, headless: bool) -> (io::Result<Answer>, usize) {
        let (mut there, here) = tokio::io::duplex(part);
        let bytes = bytes.to_vec();
        let sent = tokio::spawn(async move { there.write_all(&bytes).await });
        let mut incoming = Incoming::new(here);
        let answer = incoming.answer(headless).await;
        let left = incoming.bytes.len();
        drop(incoming);
        // It is cut off where the answer ends before the bytes do.
        let _written = sent.await.unwrap();
        (answer, left)
    }

    fn answer(status: u16, bytes: usize, example: &str, keeps: bool) -> Answer {
        Answer { status, bytes, example: example.as_bytes().to_vec(), keeps }
    }

    #[tokio::test]
    async fn a_body_ends_where_its_head_says_however_it_comes() {
        let cases: [(&str, Answer); 9] = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody", answer(200, 4, "", true)),
            ("HTTP/1.1 429 No\r\nContent-Length: 4\r\n\r\nslow", answer(429, 4, "slow", true)),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nx: y\r\n\r\n",
                answer(200, 13, "", true),
            ),
            (
                "HTTP/1.1 500 No\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
                answer(500, 2, "no", true),
            ),
            ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx", answer(200, 1, "", false)),
            (
                "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx",
                answer(200, 1, "", true),
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", answer(204, 0, "", true)),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                answer(200, 0, "", true),
            ),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", answer(200, 13, "", false)),
        ];
        for (bytes, expected) in &cases {
            for part in [1, 7, 4096] {
                let (found, left) = read(bytes.as_bytes(), part, false).await;
                assert_eq!((&found.unwrap(), left), (expected, 0), "{bytes:?} in parts of {part}");
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_says_more_than_it_was_asked_is_given_up() {
        let (found, left) = read(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1", 4096, false).await;
        assert_eq!((found.unwrap(), left), (answer(200, 1, "", false), 8));
    }

    #[tokio::test]
    async fn an_answer_to_head_has_no_body_whatever_its_length() {
        let (found, _) = read(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", 4096, true).await;
        assert_eq!(found.unwrap(), answer(200, 0, "", true));
    }

    #[tokio::test]
    async fn an_example_is_cut_and_its_body_counted_whole() {
        let bytes = format!("HTTP/1.1 400 No\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1000));
        let found = read(bytes.as_bytes(), 64, false).await.0.unwrap();
        assert_eq!((found.bytes, found.example.len()), (1000, EXAMPLE_BYTES_MAX));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(HEAD_BYTES_MAX));
        for (bytes, reason) in [
            ("SSH-2.0\r\n\r\n", "not an answer in HTTP/1"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbody", "closed before"),
            ("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", "content-length: many"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfour\r\n", "a chunk without a length"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\nffffffffffffffff\r\n",
                "closed before",
            ),
            ("", "closed before"),
            (endless.as_str(), "not an answer in HTTP/1"),
        ] {
            let error = read(bytes.as_bytes(), 4096, false).await.0.unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}
