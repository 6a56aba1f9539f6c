//! Writes of an HTTP/2 connection that wait for one turn of the scheduler: answers that are ready in it go out together.
//!
//! A batch answers many calls at once, and those of one connection may leave in one system call and arrive in one. Without
//! the turn the first call's task would have the connection's run next, before those of the others, and each answer be
//! written alone. A turn costs a connection with few calls more than it may save, so it waits for no fewer than
//! [`WORTH_WAITING`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Calls without an answer for which the answers that are there wait a turn.
const WORTH_WAITING: usize = 3;

/// The calls of a connection that have no answer yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<AtomicUsize>);

/// A call until it has its answer.
#[derive(Debug)]
struct Call(Arc<AtomicUsize>);

impl Calls {
    /// Counts a call until its answer is there, or nobody waits for it any more.
    pub(super) fn during<F: Future>(&self, answer: F) -> impl Future<Output = F::Output> + use<F> {
        let call = self.begin();
        async move {
            let _call = call;
            answer.await
        }
    }

    fn begin(&self) -> Call {
        self.0.fetch_add(1, Ordering::Relaxed);
        Call(Arc::clone(&self.0))
    }

    fn are_worth_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= WORTH_WAITING
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream whose writes may wait for a turn.
#[derive(Debug)]
pub(super) struct Gathered<S> {
    stream: S,
    calls: Calls,
    /// Whether what is to be written has waited.
    waited: bool,
}

impl<S> Gathered<S> {
    pub(super) fn new(stream: S, calls: Calls) -> Self {
        Self { stream, calls, waited: false }
    }

    /// Ready when a turn has passed since the first write after a flush, or need not.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.waited || !self.calls.are_worth_waiting() {
            return Poll::Ready(());
        }
        self.waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waited = false;
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
        ready!(self.poll_turn(cx));
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// What writing a byte comes to, asked once.
    fn write<S: AsyncWrite + Unpin>(stream: &mut Gathered<S>) -> Poll<usize> {
        Pin::new(stream).poll_write(&mut Context::from_waker(Waker::noop()), b"x").map(Result::unwrap)
    }

    fn flush<S: AsyncWrite + Unpin>(stream: &mut Gathered<S>) {
        assert!(Pin::new(stream).poll_flush(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    #[tokio::test]
    async fn answers_wait_one_turn_while_enough_calls_have_none() {
        let (ours, mut theirs) = tokio::io::duplex(100);
        let calls = Calls::default();
        let mut stream = Gathered::new(ours, calls.clone());
        let mut held: Vec<Call> = (1..WORTH_WAITING).map(|_| calls.begin()).collect();
        assert_eq!(
            (write(&mut stream), write(&mut stream)),
            (Poll::Ready(1), Poll::Ready(1)),
            "too few calls"
        );
        flush(&mut stream);
        held.push(calls.begin());
        for _ in 0..2 {
            assert_eq!(write(&mut stream), Poll::Pending);
            // The rest of what waited does not wait again.
            assert_eq!((write(&mut stream), write(&mut stream)), (Poll::Ready(1), Poll::Ready(1)));
            flush(&mut stream);
        }
        held.pop();
        assert_eq!(write(&mut stream), Poll::Ready(1), "a call has its answer");
        drop(stream);
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"x".repeat(7), "every byte, once");
    }

    #[tokio::test]
    async fn a_write_that_waits_is_tried_again() {
        let (ours, mut theirs) = tokio::io::duplex(100);
        let calls = Calls::default();
        let _held = [0; WORTH_WAITING].map(|_| calls.begin());
        let mut stream = Gathered::new(ours, calls);
        let written = std::future::poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"answer")).await;
        assert_eq!(written.unwrap(), 6, "without a wake this never ends");
        let mut bytes = [0; 6];
        theirs.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"answer");
    }
}
