//! The convolutional engine against candle on every kind of block, and against itself in any company.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::kernels::cpu::Level;
use crate::nn::conv::{Activation, Block, Config, Head, Pool, PoolKind};
use crate::nn::{Architecture, Batch, Mode, Network, Weights};

fn block(channels: usize, (kernel, stride, padding): (usize, usize, usize)) -> Block {
    let (activation, pool) = (Activation::Relu, None);
    Block { channels, kernel, stride, padding, batch_norm: false, activation, pool }
}

fn pool(kind: PoolKind, size: usize, stride: Option<usize>) -> Pool {
    Pool { kind, size, stride }
}

fn network(channels: usize, (height, width): (usize, usize), blocks: Vec<Block>, head: Head) -> Config {
    Config { channels, height, width, blocks, head, dropout: 0.0, outputs: 5 }
}

/// Fresh weights; what batch norm learns is as if it had learnt something.
fn weights(config: &Config, seed: u64) -> Weights {
    let architecture = Architecture::ConvClassifier(config.clone());
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut weights = Weights::initialise(&architecture, &mut generator, &Device::Cpu).unwrap();
    for (name, tensor) in &mut weights.0 {
        if name.starts_with("bn") {
            let values: Vec<f32> =
                (0..tensor.elem_count()).map(|_| generator.random_range(0.3..1.7)).collect();
            *tensor = Tensor::from_vec(values, tensor.dims(), &Device::Cpu).unwrap();
        }
    }
    weights
}

fn pictures(config: &Config, count: usize, seed: u64) -> Vec<Features> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let values = config.channels * config.height * config.width;
    let mut picture = || (0..values).map(|_| generator.random_range(-2.0..2.0)).collect();
    (0..count).map(|_| Features::Pixels(picture())).collect()
}

/// Answers of all rows, admitted at once in these slots.
fn answers(engine: &mut ConvEngine, rows: &[(usize, Features)]) -> BTreeMap<usize, Vec<f32>> {
    for (slot, row) in rows {
        engine.admit(*slot, row.clone()).unwrap();
    }
    let mut finished = Vec::new();
    engine.step(&mut finished);
    finished.into_iter().map(|(slot, answer)| (slot, answer.unwrap().values().to_vec())).collect()
}

fn candle(config: &Config, weights: &Weights, rows: &[Features]) -> Vec<Vec<f32>> {
    let architecture = Architecture::ConvClassifier(config.clone());
    let network = Network::new(&architecture, weights).unwrap();
    let batch = Batch::collate(rows, &architecture, &Device::Cpu).unwrap();
    let logits = network.forward(&batch, &mut Mode::Evaluate).unwrap();
    logits.squeeze(1).unwrap().to_vec2().unwrap()
}

/// Every kind of block there is, in small networks.
fn networks() -> Vec<Config> {
    let same = (3, 1, 1);
    let with = |activation, pool| Block { activation, pool, ..block(20, same) };
    let halving = Some(pool(PoolKind::Max, 2, None));
    let normed = |channels| Block { batch_norm: true, ..block(channels, same) };
    vec![
        Config { height: 10, width: 8, ..Config::article(5) },
        network(
            1,
            (9, 11),
            vec![with(Activation::Gelu, halving), with(Activation::Silu, None)],
            Head::Flatten,
        ),
        network(3, (13, 13), vec![normed(17), Block { pool: halving, ..normed(32) }], Head::Flatten),
        network(
            3,
            (12, 10),
            vec![
                with(Activation::None, None),
                with(Activation::Gelu, Some(pool(PoolKind::Average, 2, None))),
                with(Activation::Silu, halving),
            ],
            Head::GlobalAverage,
        ),
        network(
            3,
            (16, 16),
            vec![block(16, (5, 2, 2)), block(24, (1, 1, 0)), block(40, same)],
            Head::GlobalAverage,
        ),
        network(
            3,
            (15, 17),
            vec![
                Block { pool: Some(pool(PoolKind::Max, 3, Some(2))), ..block(24, (7, 2, 3)) },
                Block { pool: Some(pool(PoolKind::Average, 3, Some(1))), ..normed(36) },
            ],
            Head::Flatten,
        ),
        network(3, (4, 4), vec![block(48, same), block(48, same), block(16, (4, 1, 0))], Head::Flatten),
    ]
}

#[test]
fn every_kind_of_block_agrees_with_candle() {
    for (seed, config) in networks().into_iter().enumerate() {
        let weights = weights(&config, seed as u64);
        let rows = pictures(&config, 3, seed as u64);
        let expected = candle(&config, &weights, &rows);
        let largest = expected.iter().flatten().fold(1.0_f32, |largest, value| largest.max(value.abs()));
        let slots: Vec<_> = rows.into_iter().enumerate().collect();
        for level in Level::available() {
            let plan = Arc::new(ConvPlan::for_level(level, &config, &weights).unwrap());
            let found = answers(&mut ConvEngine::new(plan, 4), &slots);
            for (slot, expected) in expected.iter().enumerate() {
                for (found, expected) in found[&slot].iter().zip(expected) {
                    let error = (found - expected).abs() / largest;
                    assert!(error <= 1e-4, "{level:?} {config:?}: {found} for {expected}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_picture_is_answered_with_the_same_bits_alone_and_in_any_company(
        which in 0..networks().len(),
        capacity in 1..=64_usize,
        seed in any::<u64>(),
    ) {
        let config = &networks()[which];
        let plan = Arc::new(ConvPlan::new(config, &weights(config, 1)).unwrap());
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let rows = pictures(config, generator.random_range(1..=capacity), seed);
        let mut alone = ConvEngine::new(Arc::clone(&plan), 1);
        let alone: Vec<_> = rows.iter().map(|row| answers(&mut alone, &[(0, row.clone())])[&0].clone()).collect();
        let mut together = ConvEngine::new(plan, capacity);
        for _ in 0..2 {
            let mut slots: Vec<usize> = (0..capacity).collect();
            slots.shuffle(&mut generator);
            let placed: Vec<_> = slots.iter().copied().zip(rows.iter().cloned()).collect();
            let found = answers(&mut together, &placed);
            prop_assert_eq!(found.len(), rows.len());
            for ((slot, _), alone) in placed.iter().zip(&alone) {
                prop_assert_eq!(&found[slot], alone);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Every kernel, shared out over threads that come and go: the bits of one thread.
    #[test]
    fn a_picture_that_threads_share_has_the_bits_of_one_thread(
        which in 0..4_usize,
        helpers in 1..4_usize,
        lent in prop::collection::vec(0..4_usize, 12),
    ) {
        let config = &shared_networks()[which];
        for level in Level::available().filter(|level| *level != Level::Scalar) {
            let plan = Arc::new(ConvPlan::for_level(level, config, &weights(config, 1)).unwrap());
            let rows = pictures(config, lent.len(), 3);
            let crew = Arc::new(Crew::new(helpers, plan.scratch()));
            let mut shared = ConvEngine::new(Arc::clone(&plan), 2).helped_by(crew);
            let mut alone = ConvEngine::new(plan, 2);
            for (row, lent) in rows.into_iter().zip(&lent) {
                shared.lend(*lent);
                let rows = [(1, row)];
                prop_assert_eq!(answers(&mut shared, &rows), answers(&mut alone, &rows), "{:?}", level);
            }
        }
    }
}

/// Networks whose layers are large enough to be shared: Winograd of one panel and of several, direct, smooth
/// activations, and a linear layer of many inputs.
fn shared_networks() -> Vec<Config> {
    let same = (3, 1, 1);
    let smooth = Block { activation: Activation::Silu, ..block(64, (5, 1, 2)) };
    vec![
        Config { height: 20, width: 14, ..Config::article(5) },
        network(3, (24, 24), vec![block(32, same), smooth], Head::Flatten),
        network(3, (40, 40), vec![block(64, (3, 2, 1)), block(64, same)], Head::GlobalAverage),
        network(3, (4, 4), vec![block(256, same), block(256, same), block(320, (1, 1, 0))], Head::Flatten),
    ]
}

#[test]
fn a_row_that_does_not_fit_is_refused_and_its_neighbour_answered() {
    let config = Config::article(5);
    let plan = Arc::new(ConvPlan::new(&config, &weights(&config, 1)).unwrap());
    let mut engine = ConvEngine::new(plan, 2);
    let row = pictures(&config, 1, 1).remove(0);
    let short = Features::Pixels(vec![0.0; 5].into());
    assert!(engine.admit(0, short).unwrap_err().reason.contains("588 pixel values and was given 5"));
    assert!(engine.admit(0, Features::Tokens(vec![1].into())).unwrap_err().reason.contains("tokens"));
    assert!(engine.admit(2, row.clone()).unwrap_err().reason.contains("slot 2"));
    assert_eq!(answers(&mut engine, &[(1, row)]).keys().copied().collect::<Vec<_>>(), [1]);
}

#[test]
fn dropped_rows_are_not_answered_and_nothing_held_is_nothing_done() {
    let config = networks().remove(0);
    let plan = Arc::new(ConvPlan::new(&config, &weights(&config, 1)).unwrap());
    let mut engine = ConvEngine::new(plan, 3);
    let rows = pictures(&config, 3, 1);
    let mut finished = Vec::new();
    engine.admit(0, rows[0].clone()).unwrap();
    engine.reset();
    engine.step(&mut finished);
    assert!(finished.is_empty());
    engine.admit(1, rows[1].clone()).unwrap();
    engine.evict(1);
    assert_eq!(answers(&mut engine, &[(2, rows[2].clone())]).len(), 1);
}

#[test]
fn a_network_that_cannot_be_laid_out_is_refused_with_the_reason() {
    let config = networks().remove(2);
    let mut wrong = weights(&config, 1);
    let tensor = wrong.0.remove("bn2.running_var").unwrap();
    let refusal = |weights: &Weights| ConvPlan::new(&config, weights).unwrap_err().to_string();
    assert!(refusal(&wrong).contains("tensor bn2.running_var is missing"));
    wrong.0.insert("bn2.running_var".into(), tensor.narrow(0, 0, 3).unwrap());
    assert!(refusal(&wrong).contains("[3], expected [32]"));
    let large = network(3, (4, 4), vec![block(8, (7, 1, 1))], Head::Flatten);
    let refusal = ConvPlan::new(&large, &Weights::default()).unwrap_err().to_string();
    let deep =
        network(3, (1024, 1024), vec![block(272, (3, 1, 1)), block(16, (3, 1, 1))], Head::GlobalAverage);
    let refused = ConvPlan::new(&deep, &weights(&deep, 1)).unwrap_err().to_string();
    assert!(refused.starts_with("stage 2: a picture needs 286"), "{refused}");
    assert!(refusal.contains("block 1: a window of 7 with step 1 does not fit a map of 6 × 6"), "{refusal}");
}
