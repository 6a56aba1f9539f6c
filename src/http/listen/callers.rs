//! Who asks: whether one connection asks again and again, and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::batch::asked_by;

/// Calls of one connection, one after the other with no other's between, before it counts as alone.
const ALONE_CALLS: u32 = 16;

/// All connections of a door.
#[derive(Clone, Debug, Default)]
pub(super) struct Callers(Arc<Counts>);

/// Several threads may count at once, and one or another call be lost: it is no more than a reason to stay awake.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    /// Calls that have no answer yet.
    under_way: AtomicUsize,
    /// Which connection asked last.
    last: AtomicUsize,
    /// Its calls in a row.
    alone: AtomicU32,
}

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    counts: Arc<Counts>,
    number: usize,
}

/// A call until it has its answer.
#[derive(Debug)]
struct Call(Arc<Counts>);

impl Callers {
    /// One more.
    pub(super) fn caller(&self) -> Caller {
        let number = self.0.connections.fetch_add(1, Ordering::Relaxed);
        Caller { counts: Arc::clone(&self.0), number }
    }
}

impl Caller {
    /// Counts a call until its answer is there, or nobody waits for it any more; its rows are known as this connection's.
    pub(super) fn during<F: Future>(&self, answer: F) -> impl Future<Output = F::Output> + use<F> {
        let call = self.begin();
        asked_by(self.number, async move {
            let _call = call;
            answer.await
        })
    }

    fn begin(&self) -> Call {
        let Counts { under_way, last, alone, .. } = &*self.counts;
        let same = last.swap(self.number, Ordering::Relaxed) == self.number;
        let others = under_way.fetch_add(1, Ordering::Relaxed);
        let calls = if same && others == 0 { alone.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        alone.store(calls, Ordering::Relaxed);
        Call(Arc::clone(&self.counts))
    }

    /// Whether it alone has asked for a while, and has every answer.
    pub(super) fn is_alone(&self) -> bool {
        let Counts { under_way, last, alone, .. } = &*self.counts;
        alone.load(Ordering::Relaxed) >= ALONE_CALLS
            && last.load(Ordering::Relaxed) == self.number
            && under_way.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A connection that has asked alone for a while, and what ends that: another one's call.
    pub(in super::super) fn alone() -> (Caller, impl Future<Output = ()>) {
        let callers = Callers::default();
        let (one, other) = (callers.caller(), callers.caller());
        for _ in 0..=ALONE_CALLS {
            drop(one.begin());
        }
        (one, async move { other.during(std::future::ready(())).await })
    }

    #[test]
    fn a_connection_is_alone_after_many_calls_with_no_other_between_them() {
        let callers = Callers::default();
        let (one, other) = (callers.caller(), callers.caller());
        for _ in 0..2 {
            drop(other.begin());
            for _ in 0..=ALONE_CALLS {
                assert!(!one.is_alone());
                let call = one.begin();
                assert!(!one.is_alone(), "its call is under way");
                drop(call);
            }
            assert!(one.is_alone() && !other.is_alone());
        }
        drop((one.begin(), one.begin()));
        assert!(!one.is_alone(), "two of its calls at once");
        for _ in 0..=ALONE_CALLS {
            drop((one.begin(), other.begin()));
        }
        assert!(!one.is_alone() && !other.is_alone(), "they take turns");
    }
}
