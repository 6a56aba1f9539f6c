//! A model whose only worker is held: what is asked meanwhile waits in the queue, all of it, until the worker goes on.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::door::Served;

/// What takes longer hangs.
const HANGING: Duration = Duration::from_mins(1);

/// A worker that is about to tell a caller the answer, and does not before this is released or dropped.
pub struct Held<'a> {
    gate: Arc<Gate>,
    caller: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
}

/// The waker of that caller: a worker that calls it waits in it.
struct Gate {
    worker: String,
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    /// By whoever is no worker: the caller has something to do before it waits for its row.
    woken: bool,
    held: bool,
    open: bool,
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        let mut state = self.state.lock().unwrap();
        if thread::current().name() != Some(&self.worker) {
            state.woken = true;
            return;
        }
        state.held = true;
        drop(self.opened.wait_while(state, |state| !state.open).unwrap());
    }
}

impl Gate {
    /// Whether a worker is held; `None` while nobody was woken.
    fn holds(&self) -> Option<bool> {
        let mut state = self.state.lock().unwrap();
        let woken = std::mem::take(&mut state.woken);
        if state.held { Some(true) } else { woken.then_some(false) }
    }

    fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.opened.notify_all();
    }
}

impl<'a> Held<'a> {
    /// Holds the worker of `model`, which has just one, by a request of several rows: one row alone might be computed by
    /// its caller.
    pub async fn by<A: Future<Output = ()> + 'a>(model: &str, ask: impl Fn() -> A) -> Self {
        let begun = Instant::now();
        // A worker may be done before its caller waits: then nobody is held, and another one asks.
        loop {
            let worker = format!("0 {model}");
            let gate = Arc::new(Gate { worker, state: Mutex::default(), opened: Condvar::new() });
            let waker = Waker::from(Arc::clone(&gate));
            let mut caller = Box::pin(ask());
            loop {
                assert!(begun.elapsed() < HANGING, "the worker is never held");
                // To a task that polls on and on without going back to its runtime, nothing is ever ready.
                tokio::task::yield_now().await;
                if caller.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    break;
                }
                let held = loop {
                    if let Some(held) = gate.holds() {
                        break held;
                    }
                    assert!(begun.elapsed() < HANGING, "the caller is not answered");
                    tokio::task::yield_now().await;
                };
                if held {
                    return Self { gate, caller: Some(caller) };
                }
            }
            gate.open();
        }
    }

    /// Lets the worker go on.
    pub async fn release(mut self) {
        self.gate.open();
        if let Some(caller) = self.caller.take() {
            caller.await;
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.gate.open();
    }
}

/// Polls what is asked until so many rows wait for the model.
pub async fn until_queued<F: Future + ?Sized>(
    served: &Served,
    (model, rows): (&str, usize),
    mut asked: Pin<&mut F>,
) {
    let pipeline = &served.gateway.registry.resolve(model, None).unwrap().handle;
    let begun = Instant::now();
    std::future::poll_fn(|context| {
        assert!(asked.as_mut().poll(context).is_pending(), "it is answered by a worker that is held");
        let queued = pipeline.queued();
        if queued == rows {
            return std::task::Poll::Ready(());
        }
        assert!(begun.elapsed() < HANGING, "{queued} rows wait, not {rows}");
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
