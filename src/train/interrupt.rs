//! SIGINT and SIGTERM as a flag that training looks at between two steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the user or the system asked the run to end. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A flag that the first SIGINT (Ctrl-C) or SIGTERM sets.
    ///
    /// # Errors
    /// The system lets no handler be installed.
    pub fn listen() -> std::io::Result<Self> {
        let interrupt = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let flag = interrupt.clone();
        let (installed, is_installed) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async {
                let signal = signal(|result| drop(installed.send(result)));
                signal.await;
                flag.set();
            });
        })?;
        is_installed.recv().unwrap_or(Ok(()))?;
        Ok(interrupt)
    }

    /// Asks the run to end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run is to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Waits for the first signal; says beforehand whether the handlers are installed.
#[cfg(unix)]
async fn signal(installed: impl FnOnce(std::io::Result<()>)) {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            installed(Ok(()));
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        }
        (Err(error), _) | (_, Err(error)) => {
            installed(Err(error));
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn signal(installed: impl FnOnce(std::io::Result<()>)) {
    installed(Ok(()));
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
