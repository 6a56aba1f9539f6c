//! The life of a helper: asleep until it is woken, then spinning for work that it may join.

use std::hint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use super::parts::Claims;
use super::{CLOSED, Parts, SPIN, Shared};
use crate::kernels::aligned::Aligned;

/// Looks at the board between two looks at the clock: some 2 µs.
const LOOKS: u32 = 32;

/// Helps from this seat until the crew ends.
pub(super) fn help(shared: &Shared, seat: usize) {
    let mut scratch = Aligned::zeros(shared.scratch);
    let mut last = CLOSED;
    while sleep(shared, seat) {
        while let Some(open) = wait(shared, seat, last) {
            last = open;
            join(shared, (seat, open), &mut scratch);
        }
    }
}

/// Sleeps until it is woken; false when the crew ends.
fn sleep(shared: &Shared, seat: usize) -> bool {
    let asleep = &shared.seats[seat].asleep.0;
    asleep.store(true, Ordering::SeqCst);
    // Either this sees the end, or whoever ends the crew sees that it sleeps: both write before they read.
    while !shared.ending.load(Ordering::SeqCst) && asleep.load(Ordering::Acquire) {
        thread::park();
    }
    !shared.ending.load(Ordering::SeqCst)
}

/// Work that is open to this seat and that it has not been in; none when it is time to sleep.
fn wait(shared: &Shared, seat: usize, last: u64) -> Option<u64> {
    let mut since = None;
    loop {
        for _ in 0..LOOKS {
            let open = shared.board.open.load(Ordering::Relaxed);
            if open != last && (open & 0xff) as usize > seat {
                return Some(open);
            }
            shared.seats[seat].touched.store(true, Ordering::Relaxed);
            hint::spin_loop();
        }
        let since = *since.get_or_insert_with(Instant::now);
        if shared.board.wanted.load(Ordering::Relaxed) < seat || since.elapsed() >= SPIN {
            return None;
        }
        // Whoever has something to do goes first.
        thread::yield_now();
    }
}

/// Works on what is open, unless it is closed by now.
fn join(shared: &Shared, (seat, open): (usize, u64), scratch: &mut [f32]) {
    let (number, people) = (open >> 8, (open & 0xff) as usize);
    let state = &shared.seats[seat].state;
    // Either this sees that it is closed, or the owner sees that it is inside: both write before they read.
    state.store(number << 1, Ordering::SeqCst);
    if shared.board.open.load(Ordering::SeqCst) == open {
        // SAFETY: it is open and this seat is inside: the owner writes nothing and keeps what `call` points to until
        // `state` says that it has left.
        let (parts, call) = unsafe {
            let work = &*shared.board.work.get();
            (work.parts, &*work.call)
        };
        let claims = Claims { seats: &shared.seats[..people], seat, number, parts };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(Parts::claimed(claims), scratch))) {
            *shared.payload.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
            shared.panicked.store(true, Ordering::Release);
        }
    }
    state.store(number << 1 | 1, Ordering::Release);
}
