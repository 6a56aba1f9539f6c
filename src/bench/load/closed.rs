//! The closed loop: every connection sends its next request when it has its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Run;
use super::client::Link;

/// What a connection that failed waits before it asks again: a server that is gone is not to be flooded.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks over so many connections until the window is over; how many there were.
pub(super) async fn run(run: &Arc<Run>, connections: usize) -> usize {
    let mut callers = JoinSet::new();
    for _ in 0..connections {
        callers.spawn(call(Arc::clone(run)));
    }
    callers.join_all().await;
    connections
}

async fn call(run: Arc<Run>) {
    let mut link = Link::default();
    loop {
        let due = Instant::now();
        if due >= run.window.to {
            return;
        }
        if !run.ask(&mut link, due).await {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
