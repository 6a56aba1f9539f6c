//! What the system says to the process: SIGTERM and SIGINT end it, SIGHUP has it look at its models again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The signals of the process, caught from the moment this exists.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// How often the process was told to end.
#[derive(Clone, Debug)]
pub(super) struct Ends(watch::Receiver<u32>);

impl Signals {
    /// Catches the signals. Needs a tokio runtime.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Attends to the signals as long as the runtime lasts.
    pub(super) fn attend(mut self, on_hang_up: impl Fn() + Send + 'static) -> Ends {
        let (count, ends) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    Some(()) = self.terminate.recv() => "SIGTERM",
                    Some(()) = self.interrupt.recv() => "SIGINT",
                    Some(()) = self.hang_up.recv() => {
                        tracing::info!("SIGHUP: looking at the models again");
                        on_hang_up();
                        continue;
                    }
                    else => return,
                };
                if *count.borrow() == 0 {
                    tracing::info!("{name}: draining; a second signal ends at once");
                } else {
                    tracing::warn!("{name} again: ending at once");
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Ends(ends)
    }
}

impl Ends {
    /// Resolves when the process was told to end so many times.
    pub(super) async fn told(mut self, times: u32) {
        if self.0.wait_for(|told| *told >= times).await.is_err() {
            // Nobody is left to tell.
            std::future::pending::<()>().await;
        }
    }
}
