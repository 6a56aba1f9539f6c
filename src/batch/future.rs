//! The future of one row, and of rows that came together.

mod several;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep_until};

pub use self::several::ResponsesFuture;
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
    Waiting { reply: oneshot::Receiver<Reply<A>>, patience: Patience },
    Resolved,
}

/// How long a caller waits.
#[derive(Debug)]
pub(super) struct Patience {
    pub(super) enqueued: Instant,
    pub(super) deadline: Option<Instant>,
    /// Counts rows whose callers went away unanswered.
    pub(super) gone: Arc<AtomicUsize>,
    /// The alarm at the deadline, set when there was first something to wait for.
    pub(super) alarm: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Ready at the deadline, with what the caller is told then.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        alarm.as_mut().poll(cx).map(|()| Error::Expired { waited: self.enqueued.elapsed() })
    }

    /// Nobody waits for so many rows any more: they can see it first, and then the queue is told to look.
    fn leave(&self, rows: usize) {
        self.gone.fetch_add(rows, Ordering::Relaxed);
    }
}

/// What came back: without a reply its worker ended with it.
fn received<A>(reply: Result<Reply<A>, oneshot::error::RecvError>) -> Reply<A> {
    reply.unwrap_or(Err(Error::Closed))
}

impl<A> ResponseFuture<A> {
    pub(super) fn refused(error: Error) -> Self {
        Self { state: State::Refused(error) }
    }

    pub(super) fn waiting(reply: oneshot::Receiver<Reply<A>>, patience: Patience) -> Self {
        Self { state: State::Waiting { reply, patience } }
    }
}

impl<A> Future for ResponseFuture<A> {
    type Output = Result<Done<A>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Waiting { reply, patience } = &mut self.state {
            let polled = match Pin::new(&mut *reply).poll(cx).map(received) {
                Poll::Pending => patience.poll_end(cx).map(|expired| {
                    reply.close();
                    patience.leave(1);
                    Err(expired)
                }),
                there @ Poll::Ready(_) => there,
            };
            if polled.is_ready() {
                self.state = State::Resolved;
            }
            return polled;
        }
        Poll::Ready(Err(match std::mem::replace(&mut self.state, State::Resolved) {
            State::Refused(error) => error,
            State::Waiting { .. } | State::Resolved => Error::Closed,
        }))
    }
}

impl<A> Unpin for ResponseFuture<A> {}

impl<A> Drop for ResponseFuture<A> {
    fn drop(&mut self) {
        if let State::Waiting { reply, patience } = &mut self.state {
            reply.close();
            patience.leave(1);
        }
    }
}
