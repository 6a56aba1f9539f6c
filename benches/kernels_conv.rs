//! Pictures a second of the convolutional engine beside candle's, for the article's blocks on 14 × 14 and 32 × 32.
//!
//! Sketch, a picture by the definition: on 14 × 14, 2 · 196 · 9 · (3 · 64 + 64 · 128) + 2 · 6,272 · 10 = 29.7 MFLOP; on
//! 32 × 32, 155 MFLOP. Winograd F(4×4) does a third and a quarter of the large layer. The share of the peak that is
//! printed counts the flops of the definition, so that it compares kernels: above 1 is what Winograd saves.
#![expect(clippy::expect_used, reason = "a bench that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "the peak and the share of it are results")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sconce::batch::{Engine, RowError};
use sconce::engine::{CandleEngine, ConvEngine, ConvPlan};
use sconce::kernels::cpu::Level;
use sconce::kernels::peak::multiply_adds_a_second;
use sconce::nn::{Architecture, Network, Weights, conv};
use sconce::value::{Features, Logits};

type Finished = Vec<(usize, Result<Logits, RowError>)>;

fn picture(row: usize, side: usize) -> Features {
    Features::Pixels((0..3 * side * side).map(|value| ((value * 7 + row) as f32 * 0.1).sin()).collect())
}

/// Admits a full batch and steps once: both engines finish every row in one step.
fn run<E: Engine<Row = Features, Answer = Logits>>(engine: &mut E, rows: &[Features]) -> Finished {
    for (slot, row) in rows.iter().enumerate() {
        engine.admit(slot, row.clone()).expect("a row that fits");
    }
    let mut finished = Vec::with_capacity(rows.len());
    engine.step(&mut finished);
    finished
}

/// Flops of one picture by the definition.
fn flops(side: usize) -> f64 {
    let (area, half) = (side * side, side / 2);
    (2 * area * 9 * (3 * 64 + 64 * 128) + 2 * 128 * half * half * 10) as f64
}

fn best_of(rounds: usize, mut work: impl FnMut()) -> Duration {
    let time = |()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    std::iter::repeat_n((), rounds).map(time).min().unwrap_or_default()
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let peak = 2.0 * multiply_adds_a_second(Level::detect());
    println!("{:?}: {:.1} GFLOP/s of fused multiply-adds on this core", Level::detect(), peak / 1e9);
    for side in [14, 32] {
        let config = conv::Config { height: side, width: side, ..conv::Config::article(10) };
        let architecture = Architecture::ConvClassifier(config.clone());
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let weights = Weights::initialise(&architecture, &mut generator, &candle_core::Device::Cpu);
        let weights = weights.expect("weights");
        let plan = Arc::new(ConvPlan::new(&config, &weights).expect("a plan"));
        for batch in [1, 32] {
            let rows: Vec<_> = (0..batch).map(|row| picture(row, side)).collect();
            let mut ours = ConvEngine::new(Arc::clone(&plan), batch);
            let network = Network::new(&architecture, &weights).expect("a network");
            let mut candle = CandleEngine::new(network, candle_core::Device::Cpu, batch);
            let best = best_of(20, || drop(run(&mut ours, &rows)));
            let share = flops(side) * batch as f64 / best.as_secs_f64() / peak;
            println!("conv{side} batch {batch}: {best:?} at best, {:.0} % of the peak", 100.0 * share);
            let mut group = criterion.benchmark_group(format!("kernels/conv{side} batch {batch}"));
            group.sample_size(20).throughput(Throughput::Elements(batch as u64));
            group.bench_function("kernels", |bencher| {
                bencher.iter_batched(|| (), |()| run(&mut ours, &rows), BatchSize::SmallInput);
            });
            group.bench_function("candle", |bencher| {
                bencher.iter_batched(|| (), |()| run(&mut candle, &rows), BatchSize::SmallInput);
            });
            group.finish();
        }
    }
}
