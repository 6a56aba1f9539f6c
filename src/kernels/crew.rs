//! A crew of threads that help one engine at a time with parts of its work, for the time of its row.
//!
//! Sketch: the LSTM step of a lone row is some 5 µs, so nothing may sleep between steps. A helper that is awake spins
//! on one cache line; publishing work writes that line (some 100 ns until another core sees it), parts are claimed on a
//! line of the claimer's own, and the end is one line a helper to read. Waking a helper that sleeps is a system call of
//! a few µs and takes tens of µs to arrive, so it happens once a row and only for `WORTH_WAKING` work; a helper goes
//! back to sleep when it is dismissed, or after `SPIN` with nothing to do.
//!
//! Parts are claimed, not assigned (see [`Parts`]): a helper that comes late holds up nobody, and one that is taken off its
//! core no more than the parts it has claimed. Who computes a part changes no bit, as long as no part reads what another
//! writes.

mod helper;
mod parts;

use std::any::Any;
use std::cell::UnsafeCell;
use std::hint;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parts::Claims;
pub use parts::Parts;

/// How long a helper spins with nothing to do before it sleeps.
const SPIN: Duration = Duration::from_micros(100);
/// Multiply-adds ahead for which sleeping helpers are woken: 80 µs of a picture, 150 µs of a text. Waking one was
/// measured to cost the owner 15 µs, and it comes tens of µs later.
const WORTH_WAKING: usize = 4_500_000;
/// Multiply-adds that are worth sharing with helpers that are awake. Sharing costs some 500 ns; of 2 µs, two threads
/// saved an eighth, which is not worth another core, of 9 µs 36 %.
const WORTH_SHARING: usize = 120_000;

/// Threads that help. They start when they are first called, sleep between calls and end with the crew. There are none
/// by default.
#[derive(Debug)]
pub struct Crew {
    shared: Arc<Shared>,
    threads: OnceLock<Vec<JoinHandle<()>>>,
    /// Whether a team works with them.
    taken: AtomicBool,
}

/// What an engine works with: itself, and the crew's helpers while they are lent to it and no other team has them.
#[derive(Debug, Default)]
pub struct Team {
    crew: Option<Arc<Crew>>,
    /// Helpers it may use.
    lent: usize,
    /// Whether the crew is this team's now.
    has: bool,
}

/// What is to be shared.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Parts, each to be claimed by one thread.
    pub parts: usize,
    /// Multiply-adds of all of them.
    pub products: usize,
}

/// Multiply-adds that are ahead.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    /// Of one share, the next.
    pub each: usize,
    /// Of all shares until the rows that are held are done.
    pub all: usize,
}

/// What the threads of a crew see.
#[derive(Debug)]
struct Shared {
    board: Board,
    seats: Box<[Seat]>,
    /// f32 of scratch memory that every helper has.
    scratch: usize,
    ending: AtomicBool,
    /// What a helper panicked with.
    panicked: AtomicBool,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What helpers spin on.
#[derive(Debug)]
#[repr(align(128))]
struct Board {
    /// The number of the work that may be joined, times 256, plus how many work on it, the owner included; or
    /// [`CLOSED`].
    open: AtomicU64,
    /// Helpers that are to stay awake: the first so many.
    wanted: AtomicUsize,
    /// The work. Written by the owner while nobody can be in it, read by those who have joined it.
    work: UnsafeCell<Work>,
}

const CLOSED: u64 = 0;
/// Helpers of a crew at most: how many work on something is a byte of `Board::open`.
const HELPERS_MAX: usize = 254;

#[derive(Clone, Copy, Debug)]
struct Work {
    parts: usize,
    /// Borrowed from the owner, who waits for everybody who joined before it lets go.
    call: *const (dyn Fn(Parts<'_>, &mut [f32]) + Sync),
}

// SAFETY: `work` is written only by the owner of the crew while no helper is inside (see `Work`), and read only by
// helpers that are inside; joining and leaving are ordered by `open` and `Seat::state`. What it points to is `Sync`.
unsafe impl Sync for Board {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Board {}

/// One worker's place: the owner's is the first.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Seat {
    /// Which of its parts are left, see [`parts`].
    left: AtomicU64,
    /// Of a helper: twice the number of the work it is in, and one more when it has left it. Of the owner: the number
    /// of the last work.
    state: AtomicU64,
    /// Written by a helper while it waits, so that the line is its own again before it is needed.
    touched: AtomicBool,
    /// Of a helper: whether it sleeps. Only the owner wakes it, and looks often: it has a line of its own.
    asleep: Lined<AtomicBool>,
}

/// On a cache line of its own; two, for they are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lined<T>(T);

impl Crew {
    /// A crew of so many helpers, with so many f32 of scratch memory each.
    #[must_use]
    pub fn new(helpers: usize, scratch: usize) -> Self {
        let board = Board {
            open: AtomicU64::new(CLOSED),
            wanted: AtomicUsize::new(0),
            work: UnsafeCell::new(Work { parts: 0, call: &|_: Parts<'_>, _: &mut [f32]| {} }),
        };
        let shared = Shared {
            board,
            seats: (0..=helpers.min(HELPERS_MAX)).map(|_| Seat::default()).collect(),
            scratch,
            ending: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            payload: Mutex::new(None),
        };
        Self { shared: Arc::new(shared), threads: OnceLock::new(), taken: AtomicBool::new(false) }
    }

    /// Starts the threads if they are not there yet; how many there are. One that the system refuses is done without.
    fn start(&self) -> &[JoinHandle<()>] {
        self.threads.get_or_init(|| {
            let start = |index: usize| {
                let shared = Arc::clone(&self.shared);
                let thread = thread::Builder::new().name(format!("crew {index}"));
                thread.spawn(move || helper::help(&shared, index)).ok()
            };
            (1..self.shared.seats.len()).map_while(start).collect()
        })
    }
}

impl Default for Crew {
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        self.shared.board.wanted.store(0, Ordering::Relaxed);
        for (seat, thread) in self.shared.seats.iter().skip(1).zip(self.threads.get().into_iter().flatten()) {
            seat.asleep.0.store(false, Ordering::SeqCst);
            thread.thread().unpark();
        }
        for thread in self.threads.take().into_iter().flatten() {
            // A helper catches what it is given to do; it has nothing else to panic with.
            let _ended = thread.join();
        }
    }
}

impl Team {
    /// A team that may borrow this crew.
    #[must_use]
    pub fn of(crew: Arc<Crew>) -> Self {
        Self { crew: Some(crew), lent: 0, has: false }
    }

    /// Lends it so many cores beside its own, as far as the crew has helpers; 0 sends them to sleep.
    pub fn lend(&mut self, cores: usize) {
        let Some(crew) = &self.crew else { return };
        self.lent = cores.min(crew.shared.seats.len() - 1);
        if self.lent == 0 {
            self.dismiss();
        } else if self.has {
            crew.shared.board.wanted.store(self.lent, Ordering::Relaxed);
        }
    }

    /// Calls the helpers that are lent and asleep, if what is ahead is worth it and no other team has them.
    pub fn call(&mut self, ahead: impl FnOnce() -> Ahead) {
        let Some(crew) = self.crew.as_ref().filter(|_| self.lent > 0) else { return };
        let seats = &crew.shared.seats[1..=self.lent];
        if self.has && seats.iter().all(|seat| !seat.asleep.0.load(Ordering::Relaxed)) {
            return;
        }
        let Ahead { each, all } = ahead();
        if each < WORTH_SHARING || all < WORTH_WAKING {
            return;
        }
        if !self.has {
            if crew.taken.swap(true, Ordering::Acquire) {
                return;
            }
            self.has = true;
            crew.shared.board.wanted.store(self.lent, Ordering::Relaxed);
        }
        self.lent = self.lent.min(crew.start().len());
        for (seat, thread) in seats.iter().zip(crew.start()) {
            if seat.asleep.0.swap(false, Ordering::SeqCst) {
                thread.thread().unpark();
            }
        }
    }

    /// Calls `work` on this thread, and on the helpers that are awake when it is worth it; together they go through
    /// the parts, each of which is claimed by one of them. It has `scratch` here, and on a helper memory of its own.
    ///
    /// # Panics
    /// When `work` panics, here or on a helper.
    pub fn share<F: Fn(Parts<'_>, &mut [f32]) + Sync>(&mut self, load: Load, scratch: &mut [f32], work: F) {
        let helpers = self.awake(load);
        let Some(crew) = self.crew.as_ref().filter(|_| helpers > 0) else {
            return work(Parts::all(load.parts), scratch);
        };
        let call: *const (dyn Fn(Parts<'_>, &mut [f32]) + Sync + '_) = &work;
        #[expect(clippy::transmute_ptr_to_ptr, reason = "a cast cannot lengthen a lifetime")]
        // SAFETY: only the lifetime changes. `open` is dropped before `work` goes, however this function is left, and
        // after that no helper is inside, see `Open`.
        let call: *const (dyn Fn(Parts<'_>, &mut [f32]) + Sync) = unsafe { std::mem::transmute(call) };
        let open = crew.shared.publish(helpers, Work { parts: load.parts, call });
        let seats = &crew.shared.seats[..open.people];
        work(Parts::claimed(Claims { seats, seat: 0, number: open.number, parts: load.parts }), scratch);
        drop(open);
        crew.shared.panicked();
    }

    /// Threads that would work on this, this one included.
    #[must_use]
    pub fn people(&self, load: Load) -> usize {
        self.awake(load) + 1
    }

    /// Helpers to share this with.
    fn awake(&self, load: Load) -> usize {
        match &self.crew {
            Some(crew) if self.has && load.parts > 1 && load.products >= WORTH_SHARING => {
                let seats = &crew.shared.seats[1..=self.lent];
                let awake = seats.iter().take_while(|seat| !seat.asleep.0.load(Ordering::Relaxed)).count();
                if load.parts <= parts::PARTS_MAX { awake.min(load.parts - 1) } else { 0 }
            }
            _ => 0,
        }
    }

    fn dismiss(&mut self) {
        if let Some(crew) = self.crew.as_ref().filter(|_| self.has) {
            crew.shared.board.wanted.store(0, Ordering::Relaxed);
            self.has = false;
            crew.taken.store(false, Ordering::Release);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.dismiss();
    }
}

impl Shared {
    /// Lets the first so many helpers join. Nobody is inside: the work before was waited for.
    fn publish(&self, helpers: usize, work: Work) -> Open<'_> {
        let last = &self.seats[0].state;
        let mut number = last.load(Ordering::Relaxed) + 1;
        if number.is_multiple_of(parts::NUMBERS) {
            // What is left of parts is told apart by the last digits of the number: no old ones may look like new.
            self.seats.iter().for_each(|seat| seat.left.store(0, Ordering::Relaxed));
            number += 1;
        }
        last.store(number, Ordering::Relaxed);
        // SAFETY: no helper is inside, and none can join before the store below; the owner is one thread.
        unsafe { *self.board.work.get() = work };
        let people = helpers + 1;
        self.board.open.store(number << 8 | people as u64, Ordering::Release);
        Open { shared: self, number, people }
    }

    fn panicked(&self) {
        if self.panicked.swap(false, Ordering::Acquire) {
            let payload = self.payload.lock().unwrap_or_else(PoisonError::into_inner).take();
            resume_unwind(payload.unwrap_or_else(|| Box::new("a helper panicked")));
        }
    }
}

/// Work that may be joined, until it is dropped: then nobody is in it any more, however the owner left.
struct Open<'a> {
    shared: &'a Shared,
    number: u64,
    people: usize,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let helpers = &self.shared.seats[1..self.people];
        let inside = self.number << 1;
        if helpers.iter().all(|seat| seat.state.load(Ordering::Acquire) == inside + 1) {
            return;
        }
        // Either a helper sees that it is closed, or it is seen inside: both write before they read.
        self.shared.board.open.store(CLOSED, Ordering::SeqCst);
        for seat in helpers {
            let mut spins = 0_u32;
            while seat.state.load(Ordering::SeqCst) == inside {
                spins += 1;
                if spins.is_multiple_of(1024) { thread::yield_now() } else { hint::spin_loop() }
            }
        }
    }
}

#[cfg(test)]
mod tests;
