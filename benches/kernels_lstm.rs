//! The LSTM kernels and engine, beside candle's: rows a second, and the share of what this core can multiply at all.
//!
//! Sketch, a row of the network that every comparison uses (20,000 × 128 → 256, 64 tokens): the recurrent product is
//! 64 · 2 · 4 · 256 · 256 = 33.6 MFLOP, the input product, which folding saves, 16.8 MFLOP. The peak is 12 chains of
//! multiply-adds in registers; a step's share of it is printed before the group; 16-bit integers, which
//! multiply twice as fast with VNNI, may have more than all of it.
#![allow(clippy::print_stdout, reason = "a bench reports what it found")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sconce::batch::Engine;
use sconce::engine::{LstmEngine, LstmLayout, LstmPlan, Precision};
use sconce::kernels::aligned::Aligned;
use sconce::kernels::cpu::Level;
use sconce::kernels::lstm::{Cell, Input, Row, States, Weights as CellWeights};
use sconce::kernels::peak;
use sconce::limits::LSTM_TABLE_BYTES_DEFAULT;
use sconce::nn::{Architecture, Weights, lstm};
use sconce::value::{Features, Logits};

const TOKENS: usize = 64;
const HIDDEN: usize = 256;
const ROW_FLOP: f64 = (TOKENS * 2 * 4 * HIDDEN * HIDDEN) as f64;

fn config() -> lstm::Config {
    lstm::Config {
        vocabulary: 20_000,
        embedding_dim: 128,
        hidden_dim: HIDDEN,
        layers: 1,
        bidirectional: false,
        pooling: lstm::Pooling::Last,
        dropout: 0.0,
        outputs: 1,
    }
}

fn text(row: usize) -> Features {
    Features::Tokens(
        (0..TOKENS).map(|token| u32::try_from((row * 977 + token * 131) % 20_000).expect("an id")).collect(),
    )
}

/// Admits a full batch and steps until every row is out.
fn run(engine: &mut impl Engine<Row = Features, Answer = Logits>, rows: Vec<Features>) -> usize {
    let count = rows.len();
    for (slot, row) in rows.into_iter().enumerate() {
        engine.admit(slot, row).expect("a row that fits");
    }
    let mut finished = Vec::with_capacity(count);
    while finished.len() < count {
        engine.step(&mut finished);
    }
    count
}

/// The fastest of many runs: what the core does when nobody disturbs it.
fn fastest(mut run: impl FnMut()) -> Duration {
    let times = (0..30).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let architecture = Architecture::LstmClassifier(config());
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let weights =
        Weights::initialise(&architecture, &mut generator, &candle_core::Device::Cpu).expect("weights");
    for level in Level::available().filter(|level| *level != Level::Scalar) {
        let peak = peak::multiply_adds_a_second(level) * 2.0;
        let cases = [
            ("folded", LSTM_TABLE_BYTES_DEFAULT, Precision::F32),
            ("not folded", 0, Precision::F32),
            ("folded bf16", LSTM_TABLE_BYTES_DEFAULT, Precision::Bf16),
            ("folded int16", LSTM_TABLE_BYTES_DEFAULT, Precision::Int16),
        ];
        for (name, table_bytes_max, precision) in cases {
            let layout = LstmLayout { level, table_bytes_max, precision };
            let plan = Arc::new(LstmPlan::new(&config(), &weights, layout).expect("a plan"));
            let mut group = criterion.benchmark_group(format!("lstm/{level:?} {name}"));
            group.sample_size(20);
            for batch in [1, 8, 32] {
                let rows: Vec<_> = (0..batch).map(text).collect();
                let mut engine = LstmEngine::new(plan.clone(), batch);
                let seconds = fastest(|| {
                    run(&mut engine, rows.clone());
                })
                .as_secs_f64();
                let input = if table_bytes_max == 0 { 1.5 } else { 1.0 };
                let share = batch as f64 * ROW_FLOP * input / seconds / peak * 100.0;
                println!("lstm/{level:?} {name}/batch {batch}: {share:.0} % of {:.0} GFLOP/s", peak / 1e9);
                group.throughput(Throughput::Elements(batch as u64));
                group.bench_function(format!("batch {batch}"), |bencher| {
                    let rows = || rows.clone();
                    bencher.iter_batched(rows, |rows| run(&mut engine, rows), BatchSize::SmallInput);
                });
            }
            group.finish();
        }
    }
    heights(criterion);
}

/// A step of 1 to 12 rows: what each height of tile costs.
fn heights(criterion: &mut Criterion) {
    let zeros = |len: usize| vec![0.01_f32; len];
    let (input, recurrent, bias) = (zeros(4 * HIDDEN), zeros(4 * HIDDEN * HIDDEN), zeros(4 * HIDDEN));
    let weights = CellWeights { input: &input, recurrent: &recurrent, bias: &bias };
    let cell = Cell::new(Level::detect(), HIDDEN, weights);
    let folded = cell.fold(&[0.5]);
    let mut group = criterion.benchmark_group("lstm/step");
    for rows in 1..=12 {
        let states = || Aligned::zeros(rows * cell.width());
        let (before, mut after, mut cells) = (states(), states(), states());
        let batch: Vec<Row> = (0..rows).map(|slot| Row { slot, input: 0 }).collect();
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(format!("{rows} rows"), |bencher| {
            bencher.iter(|| {
                let states = States { before: &before, after: &mut after, cells: &mut cells };
                cell.step(&batch, Input::Folded(&folded), states);
            });
        });
    }
    group.finish();
}
