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
    /// Its calls that have no answer yet: in HTTP/2 there may be several.
    own: Arc<AtomicUsize>,
}

/// A call until it has its answer.
#[derive(Debug)]
struct Call(Caller);

impl Callers {
    /// One more.
    pub(super) fn caller(&self) -> Caller {
        let number = self.0.connections.fetch_add(1, Ordering::Relaxed);
        Caller { counts: Arc::clone(&self.0), number, own: Arc::default() }
    }
}

impl Caller {
    /// Counts a call until its answer is there, or nobody waits for it any more. Its rows are known as this connection's
    /// unless others of its calls are under way.
    pub(super) fn during<F: Future>(&self, answer: F) -> impl Future<Output = F::Output> + use<F> {
        let only = self.own.load(Ordering::Relaxed) == 0;
        let call = self.begin();
        asked_by(only.then_some(self.number), async move {
            let _call = call;
            answer.await
        })
    }

    fn begin(&self) -> Call {
        let Counts { under_way, last, alone, .. } = &*self.counts;
        let same = last.swap(self.number, Ordering::Relaxed) == self.number;
        let others = under_way.fetch_add(1, Ordering::Relaxed);
        self.own.fetch_add(1, Ordering::Relaxed);
        let calls = if same && others == 0 { alone.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        alone.store(calls, Ordering::Relaxed);
        Call(self.clone())
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
        self.0.own.fetch_sub(1, Ordering::Relaxed);
        self.0.counts.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::batch::asker;

    /// A connection that has asked alone for a while, and what ends that: another one's call.
    pub(in super::super) fn alone() -> (Caller, impl Future<Output = ()>) {
        let callers = Callers::default();
        let (one, other) = (callers.caller(), callers.caller());
        for _ in 0..=ALONE_CALLS {
            drop(one.begin());
        }
        (one, async move { other.during(std::future::ready(())).await })
    }

    #[tokio::test]
    async fn rows_are_known_as_a_connections_unless_it_asks_for_several_things_at_once() {
        let one = Callers::default().caller();
        let ask = || one.during(async { asker() });
        let (first, second) = (ask(), ask());
        assert_eq!((first.await, second.await, ask().await), (Some(0), None, Some(0)));
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
