//! In steady state engines allocate nothing: a step between admissions touches the allocator only for answers.
#![expect(
    unsafe_code,
    reason = "a global allocator that counts is unsafe to implement; it forwards every call"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sconce::batch::Engine as _;
use sconce::engine::{Plan, PlannedEngine, Precision};
use sconce::nn::lstm::Pooling;
use sconce::nn::{Architecture, Weights, conv, lstm};
use sconce::value::Features;

/// Counts what each thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // A thread that is ending has no counter any more.
    let _ending = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is the system allocator's own; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that the system allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// What this thread allocates in a call.
fn allocations(call: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    call();
    ALLOCATIONS.with(Cell::get) - before
}

fn engine(architecture: &Architecture, threads: usize) -> PlannedEngine {
    let device = candle_core::Device::Cpu;
    let weights = Weights::initialise(architecture, &mut ChaCha8Rng::seed_from_u64(1), &device).unwrap();
    let mut engine =
        Plan::new(architecture, &weights, Precision::F32, &device).unwrap().for_threads(threads).engine(4);
    engine.lend(threads - 1);
    engine
}

fn lstm(bidirectional: bool, pooling: Pooling) -> Architecture {
    Architecture::LstmClassifier(lstm::Config {
        vocabulary: 50,
        embedding_dim: 16,
        hidden_dim: 180,
        layers: 2,
        bidirectional,
        pooling,
        dropout: 0.0,
        outputs: 2,
    })
}

fn text(tokens: u32) -> Features {
    Features::Tokens((0..tokens).map(|token| token % 50).collect())
}

#[test]
fn the_counter_sees_allocations() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8; 100]))), 1);
    assert_eq!(allocations(|| {}), 0);
}

#[test]
fn a_step_of_texts_allocates_one_vector_an_answer_and_nothing_else() {
    for threads in [1, 2] {
        for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::None] {
            for bidirectional in [false, true] {
                let mut engine = engine(&lstm(bidirectional, pooling), threads);
                let mut finished = Vec::with_capacity(8);
                // Warm: the crew's threads start with the first call for help.
                engine.admit(0, text(60)).unwrap();
                while finished.is_empty() {
                    engine.step(&mut finished);
                }
                for (slot, tokens) in [(0, 7), (2, 20), (3, 20)] {
                    engine.admit(slot, text(tokens)).unwrap();
                }
                finished.clear();
                // Without pooling a row's logits have been waiting for it since it was admitted.
                let most = usize::from(pooling != Pooling::None);
                while finished.len() < 3 {
                    let answered = finished.len();
                    let found = allocations(|| engine.step(&mut finished));
                    assert_eq!(found, most * (finished.len() - answered), "{pooling:?} on {threads} threads");
                }
            }
        }
    }
}

#[test]
fn a_step_of_pictures_allocates_one_vector_an_answer_and_nothing_else() {
    for threads in [1, 2] {
        let config = conv::Config { height: 14, width: 14, ..conv::Config::article(10) };
        let picture = |row: usize| {
            let pixels =
                (0..config.channels * config.height * config.width).map(|at| ((at + row) % 7) as f32);
            Features::Pixels(pixels.collect())
        };
        let mut engine = engine(&Architecture::ConvClassifier(config.clone()), threads);
        let mut finished = Vec::with_capacity(8);
        engine.admit(0, picture(0)).unwrap();
        engine.step(&mut finished);
        for rows in [1, 3] {
            finished.clear();
            (0..rows).for_each(|row| engine.admit(row, picture(row)).unwrap());
            assert_eq!(allocations(|| engine.step(&mut finished)), rows, "{rows} rows on {threads} threads");
            assert_eq!(finished.len(), rows);
        }
    }
}
