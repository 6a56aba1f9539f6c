//! Who asks for a row, as far as it is known.

use tokio::task_local;

task_local! {
    static ASKER: Option<usize>;
}

/// The same future, in which whatever is asked for is this asker's, who asks for one thing at a time: a connection's, by its
/// number. A caller may compute rows itself only where it is known that few ask.
pub fn asked_by<F: Future>(asker: Option<usize>, asking: F) -> impl Future<Output = F::Output> {
    ASKER.scope(asker, asking)
}

/// Who asks now; `None` where it is not known, or asks for several things at once.
#[must_use]
pub fn asker() -> Option<usize> {
    ASKER.try_with(|asker| *asker).ok().flatten()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As [`asked_by`], at once.
    pub(in super::super) fn asking_as<T>(asker: usize, ask: impl FnOnce() -> T) -> T {
        ASKER.sync_scope(Some(asker), ask)
    }

    #[tokio::test]
    async fn an_asker_is_known_within_its_future_and_nowhere_else() {
        let seen = asked_by(Some(7), async {
            tokio::task::yield_now().await;
            asker()
        });
        assert_eq!((asker(), seen.await, asker()), (None, Some(7), None));
    }
}
