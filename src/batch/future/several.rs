//! The future of rows that came together.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::super::message::Reply;
use super::super::{Done, Error};
use super::{Patience, received};

/// The answers to come, each row's own, in the order of the rows; or why none of them was enqueued. Dropping it drops
/// the rows, wherever they are. At the deadline it resolves with [`Error::Expired`] for each row that has no answer;
/// for that it is polled on a tokio runtime with time.
#[derive(Debug)]
#[must_use = "rows whose future is dropped are dropped with it"]
pub struct ResponsesFuture<A> {
    state: State<A>,
}

#[derive(Debug)]
enum State<A> {
    Refused(Error),
    Waiting(Waiting<A>),
    Resolved,
}

#[derive(Debug)]
struct Waiting<A> {
    /// Those that are not read yet. They are awaited from the last to the first: the last is mostly answered last, and
    /// then the others are there, so that the caller is woken once and not by every row.
    replies: Vec<oneshot::Receiver<Reply<A>>>,
    /// Those that were read, the last row's first.
    read: Vec<Reply<A>>,
    patience: Patience,
}

impl<A> Waiting<A> {
    /// Ready when every reply is read or the deadline has passed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Reply<A>>> {
        while let Some(last) = self.replies.last_mut() {
            match Pin::new(last).poll(cx) {
                Poll::Ready(reply) => {
                    self.replies.pop();
                    self.read.push(received(reply));
                }
                Poll::Pending => {
                    let Poll::Ready(expired) = self.patience.poll_end(cx) else { return Poll::Pending };
                    self.give_up(&expired);
                }
            }
        }
        let mut replies = std::mem::take(&mut self.read);
        replies.reverse();
        Poll::Ready(replies)
    }

    /// Reads what is there and leaves the rest, which is answered with `expired`.
    fn give_up(&mut self, expired: &Error) {
        let mut left = 0;
        while let Some(mut reply) = self.replies.pop() {
            reply.close();
            self.read.push(reply.try_recv().unwrap_or_else(|_| {
                left += 1;
                Err(expired.clone())
            }));
        }
        self.patience.leave(left);
    }
}

impl<A> ResponsesFuture<A> {
    pub(in super::super) fn refused(error: Error) -> Self {
        Self { state: State::Refused(error) }
    }

    pub(in super::super) fn waiting(replies: Vec<oneshot::Receiver<Reply<A>>>, patience: Patience) -> Self {
        let read = Vec::with_capacity(replies.len());
        Self { state: State::Waiting(Waiting { replies, read, patience }) }
    }
}

impl<A> Future for ResponsesFuture<A> {
    type Output = Result<Vec<Result<Done<A>, Error>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Waiting(waiting) = &mut self.state {
            let polled = waiting.poll(cx);
            if polled.is_ready() {
                self.state = State::Resolved;
            }
            return polled.map(Ok);
        }
        Poll::Ready(Err(match std::mem::replace(&mut self.state, State::Resolved) {
            State::Refused(error) => error,
            State::Waiting(_) | State::Resolved => Error::Closed,
        }))
    }
}

impl<A> Unpin for ResponsesFuture<A> {}

impl<A> Drop for ResponsesFuture<A> {
    fn drop(&mut self) {
        if let State::Waiting(waiting) = &mut self.state {
            waiting.replies.iter_mut().for_each(oneshot::Receiver::close);
            waiting.patience.leave(waiting.replies.len());
        }
    }
}
