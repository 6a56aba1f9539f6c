//! The future of one row.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep_until};

use super::message::Reply;
use super::{Done, Error};

/// The answer to come. Dropping it drops the row, wherever it is. At the deadline it resolves with
/// [`Error::Expired`], even when the row is still being computed; for that it is polled on a tokio runtime with time.
#[derive(Debug)]
#[must_use = "a row whose future is dropped is dropped with it"]
pub struct ResponseFuture<A> {
    state: State<A>,
}

#[derive(Debug)]
enum State<A> {
    Refused(Error),
    Waiting(Waiting<A>),
    Resolved,
}

#[derive(Debug)]
pub(super) struct Waiting<A> {
    pub(super) reply: oneshot::Receiver<Reply<A>>,
    pub(super) enqueued: Instant,
    pub(super) deadline: Option<Instant>,
    /// Counts callers that went away unanswered.
    pub(super) gone: Arc<AtomicUsize>,
    /// The alarm at the deadline, set at the first poll.
    pub(super) alarm: Option<Pin<Box<Sleep>>>,
}

impl<A> ResponseFuture<A> {
    pub(super) fn refused(error: Error) -> Self {
        Self { state: State::Refused(error) }
    }

    pub(super) fn waiting(waiting: Waiting<A>) -> Self {
        Self { state: State::Waiting(waiting) }
    }
}

impl<A> Waiting<A> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reply<A>> {
        if let Poll::Ready(reply) = Pin::new(&mut self.reply).poll(cx) {
            // Without a reply its worker ended with it.
            return Poll::Ready(reply.unwrap_or(Err(Error::Closed)));
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        alarm.as_mut().poll(cx).map(|()| {
            self.leave();
            Err(Error::Expired { waited: self.enqueued.elapsed() })
        })
    }

    /// Nobody waits any more: the row can see it first, and then the queue is told to look.
    fn leave(&mut self) {
        self.reply.close();
        self.gone.fetch_add(1, Ordering::Relaxed);
    }
}

impl<A> Future for ResponseFuture<A> {
    type Output = Result<Done<A>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Waiting(waiting) = &mut self.state {
            let polled = waiting.poll(cx);
            if polled.is_ready() {
                self.state = State::Resolved;
            }
            return polled;
        }
        Poll::Ready(Err(match std::mem::replace(&mut self.state, State::Resolved) {
            State::Refused(error) => error,
            State::Waiting(_) | State::Resolved => Error::Closed,
        }))
    }
}

impl<A> Unpin for ResponseFuture<A> {}

impl<A> Drop for ResponseFuture<A> {
    fn drop(&mut self) {
        if let State::Waiting(waiting) = &mut self.state {
            waiting.leave();
        }
    }
}
