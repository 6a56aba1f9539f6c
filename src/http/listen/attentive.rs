//! Connections that look for their next request before their thread sleeps.
//!
//! Waking a sleeping thread takes some microseconds, on a virtual machine tens of them: as long as a short text takes
//! altogether. So the thread of a connection that alone asks, and was just answered, looks again and again, for a while
//! (`http.awake_us`): it has nothing else to do. Between two looks it attends to whatever else has come, and offers its
//! core to others. Where several ask, the moments in which nobody waits for an answer are no time to hold a core: it
//! took 5 % of the requests/s of 16 and of 64 connections.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;

use super::callers::Caller;

/// A stream that is looked at again and again for a while after it was written to.
#[derive(Debug)]
pub(super) struct Attentive<S> {
    stream: S,
    caller: Caller,
    awake: Duration,
    /// When it was last written to.
    written: Option<Instant>,
}

impl<S> Attentive<S> {
    pub(super) fn new(stream: S, caller: Caller, awake: Duration) -> Self {
        Self { stream, caller, awake, written: None }
    }

    /// Whether the next request is worth staying awake for.
    fn is_awaited(&self) -> bool {
        self.written.is_some_and(|written| self.caller.is_alone() && written.elapsed() < self.awake)
    }

    fn note_write(&mut self) {
        if !self.awake.is_zero() {
            self.written = Some(Instant::now());
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Attentive<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if read.is_pending() && self.is_awaited() {
            thread::yield_now();
            // The task runs again when the thread has looked for what has come, instead of sleeping.
            let _ = pin!(yield_now()).poll(cx);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Attentive<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.note_write();
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
        self.note_write();
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::super::callers::tests::alone;
    use super::*;

    const FOREVER: Duration = Duration::from_mins(1);

    /// How often a read is tried while the thread turns a hundred times, and nothing comes.
    async fn looks(mut stream: Attentive<DuplexStream>) -> usize {
        let looks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looks);
        let reader = tokio::spawn(async move {
            poll_fn(|cx| {
                counted.fetch_add(1, Ordering::Relaxed);
                Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut [0]))
            })
            .await
        });
        for _ in 0..100 {
            yield_now().await;
        }
        reader.abort();
        looks.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn only_who_asks_alone_and_was_just_answered_is_looked_at_again() {
        let (ours, _theirs) = duplex(100);
        assert_eq!(looks(Attentive::new(ours, alone().0, FOREVER)).await, 1, "nothing was written");

        for (awake, busy, expected) in
            [(FOREVER, false, 90..=101), (FOREVER, true, 1..=1), (Duration::ZERO, false, 1..=1)]
        {
            let (ours, _theirs) = duplex(100);
            let (caller, others_call) = alone();
            let mut stream = Attentive::new(ours, caller, awake);
            stream.write_all(b"answer").await.unwrap();
            if busy {
                others_call.await;
            }
            let looks = looks(stream).await;
            assert!(expected.contains(&looks), "{looks} looks, awake {awake:?}, busy {busy}");
        }
    }

    #[tokio::test]
    async fn it_sleeps_when_the_time_is_over_and_what_comes_then_is_read() {
        let (ours, mut theirs) = duplex(100);
        let mut stream = Attentive::new(ours, alone().0, Duration::from_millis(1));
        stream.write_all(b"answer").await.unwrap();
        let reader = tokio::spawn(async move { stream.read_u8().await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        theirs.write_u8(7).await.unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), 7);
    }
}
