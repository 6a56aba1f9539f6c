//! Rows a second of the candle engine and of ours on one and two threads, for the two networks that every comparison
//! uses.
//!
//! Sketch, a row: the LSTM (20,000 × 128 → 256, 64 tokens) does 64 · 2 · 4 · 256 · (128 + 256) = 50 MFLOP; the
//! article's network on 14 × 14 does 2 · 196 · 9 · (3 · 64 + 64 · 128) + 2 · 6,272 · 10 = 29.7 MFLOP.

use criterion::{BatchSize, Criterion, Throughput};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sconce::batch::Engine;
use sconce::engine::{CandleEngine, Plan, Precision};
use sconce::nn::{Architecture, Network, Weights, conv, lstm};
use sconce::value::{Features, Logits};

const TOKENS: u32 = 64;

fn lstm_classifier() -> Architecture {
    Architecture::LstmClassifier(lstm::Config {
        vocabulary: 20_000,
        embedding_dim: 128,
        hidden_dim: 256,
        layers: 1,
        bidirectional: false,
        pooling: lstm::Pooling::Last,
        dropout: 0.0,
        outputs: 1,
    })
}

fn engine(architecture: &Architecture, rows: usize) -> CandleEngine {
    let device = candle_core::Device::Cpu;
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let weights = Weights::initialise(architecture, &mut generator, &device).expect("weights");
    let network = Network::new(architecture, &weights).expect("network");
    CandleEngine::new(network, device, rows)
}

fn text(row: u32) -> Features {
    Features::Tokens((0..TOKENS).map(|token| (row * 977 + token * 131) % 20_000).collect())
}

fn picture(row: u32) -> Features {
    Features::Pixels((0..3 * 14 * 14).map(|value| ((value + row) as f32 * 0.1).sin()).collect())
}

/// Admits a full batch and steps until every row is out.
fn run(engine: &mut impl Engine<Row = Features, Answer = Logits>, rows: &[Features]) -> usize {
    for (slot, row) in rows.iter().enumerate() {
        engine.admit(slot, row.clone()).expect("a row that fits");
    }
    let mut finished = Vec::with_capacity(rows.len());
    while finished.len() < rows.len() {
        engine.step(&mut finished);
    }
    finished.len()
}

pub(crate) fn benches(criterion: &mut Criterion) {
    type MakeRow = fn(u32) -> Features;
    let cases: [(&str, Architecture, MakeRow); 2] = [
        ("lstm", lstm_classifier(), text),
        ("conv14", Architecture::ConvClassifier(conv::Config::article(10)), picture),
    ];
    for (name, architecture, row) in cases {
        let mut group = criterion.benchmark_group(format!("engine/{name}"));
        group.sample_size(20);
        for batch in [1, 8, 32] {
            let rows: Vec<_> = (0..batch).map(row).collect();
            let mut engine = engine(&architecture, rows.len());
            group.throughput(Throughput::Elements(u64::from(batch)));
            group.bench_function(format!("batch {batch}"), |bencher| {
                bencher.iter_batched(|| rows.clone(), |rows| run(&mut engine, &rows), BatchSize::SmallInput);
            });
        }
        group.finish();
        with_threads(criterion, (name, &architecture), row);
    }
}

/// The engine that serves a CPU, on one thread and on two: a lone row and a few may use idle cores.
fn with_threads(
    criterion: &mut Criterion,
    (name, architecture): (&str, &Architecture),
    row: fn(u32) -> Features,
) {
    let device = candle_core::Device::Cpu;
    let weights = Weights::initialise(architecture, &mut ChaCha8Rng::seed_from_u64(1), &device);
    let plan = Plan::new(architecture, &weights.expect("weights"), Precision::F32, &device)
        .expect("a plan")
        .for_threads(2);
    let mut group = criterion.benchmark_group(format!("engine/{name} on kernels"));
    for batch in [1, 8] {
        let rows: Vec<_> = (0..batch).map(row).collect();
        for threads in [1, 2] {
            let mut engine = plan.engine(rows.len());
            engine.lend(threads - 1);
            group.throughput(Throughput::Elements(u64::from(batch)));
            group.bench_function(format!("batch {batch}, threads {threads}"), |bencher| {
                bencher.iter_batched(|| rows.clone(), |rows| run(&mut engine, &rows), BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}
