//! The time that a message has to arrive, from its first byte to its last. Between its messages a stream may wait.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::status;
use crate::http::problem::{Code, Problem};

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// A call's body, which ends with an error when a message takes too long.
pub(super) struct Arriving {
    body: Body,
    time: Duration,
    message: Message,
    /// When the message that has begun is late; `None` between messages.
    late: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    /// The same body, each of whose messages has this time.
    pub(super) fn new(body: Body, time: Duration) -> Self {
        Self { body, time, message: Message::default(), late: None }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let ended = frame.data_ref().is_some_and(|bytes| this.message.take(bytes));
                if !this.message.has_begun() {
                    this.late = None;
                } else if ended || this.late.is_none() {
                    this.late = Some(Box::pin(sleep(this.time)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => Poll::Ready(end.map(|frame| frame.map_err(BoxError::from))),
            Poll::Pending => {
                let Some(late) = &mut this.late else { return Poll::Pending };
                ready!(late.as_mut().poll(context));
                let detail = format!("the message did not arrive within {} ms", this.time.as_millis());
                let status = status::of(&Problem::new(Code::BodyTimeout, detail));
                Poll::Ready(Some(Err(status.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How far the present message has come.
#[derive(Debug, Default)]
struct Message {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that are there.
    known: usize,
    /// Bytes of the message that are not, once the prefix is.
    left: usize,
}

impl Message {
    /// Takes the next bytes in, and says whether a message ended in them.
    fn take(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while let Some((first, rest)) = bytes.split_first() {
            if let Some(place) = self.prefix.get_mut(self.known) {
                *place = *first;
                self.known += 1;
                bytes = rest;
                if self.known == PREFIX_BYTES {
                    let [_, length @ ..] = self.prefix;
                    self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                }
            } else {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = bytes.get(taken..).unwrap_or_default();
            }
            if self.known == PREFIX_BYTES && self.left == 0 {
                self.known = 0;
                ended = true;
            }
        }
        ended
    }

    /// Whether some of a message is there and not all of it.
    fn has_begun(&self) -> bool {
        self.known > 0
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::StreamExt as _;
    use futures_util::stream::{self, BoxStream};
    use http_body_util::BodyExt as _;
    use tonic::Status;

    use super::*;

    /// For a message, in these tests.
    const TIME: Duration = Duration::from_millis(20);

    /// A message of so many bytes in its frame.
    fn framed(length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, length];
        bytes.extend(vec![7; length.into()]);
        bytes
    }

    #[test]
    fn messages_are_told_apart_however_they_are_cut() {
        let all = [framed(3), framed(0), framed(200)].concat();
        for size in 1..=all.len() {
            let mut message = Message::default();
            let ended = all.chunks(size).filter(|chunk| message.take(chunk)).count();
            assert!(ended >= 1 && !message.has_begun(), "in chunks of {size}");
        }
        let mut message = Message::default();
        assert!(message.take(&all[..9]) && message.has_begun(), "the second has begun");
    }

    fn arriving(parts: BoxStream<'static, Vec<u8>>) -> Arriving {
        let body = Body::from_stream(parts.map(Ok::<_, Infallible>));
        Arriving::new(body, TIME)
    }

    #[tokio::test]
    async fn a_message_that_does_not_end_is_given_up() {
        let cut = stream::iter([framed(3), vec![0, 0]]).chain(stream::pending()).boxed();
        let error = arriving(cut).collect().await.unwrap_err();
        let status = error.downcast_ref::<Status>().unwrap();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert_eq!(status.message(), "the message did not arrive within 20 ms");
    }

    #[tokio::test]
    async fn a_stream_may_wait_between_messages() {
        let rare = stream::iter([framed(3), framed(4)]).then(|message| async {
            sleep(3 * TIME).await;
            message
        });
        let all = arriving(rare.boxed()).collect().await.unwrap().to_bytes();
        assert_eq!(all, [framed(3), framed(4)].concat());
    }
}
