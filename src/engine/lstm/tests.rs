//! The LSTM engine against candle, and against itself in every company.

use std::sync::Arc;

use candle_core::Device;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::engine::Precision;
use crate::kernels::cpu::Level;
use crate::nn::lstm::{Config, Pooling};
use crate::nn::{Architecture, Batch, Mode, Network, Weights};

const POOLINGS: [Pooling; 4] = [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::None];
const VOCABULARY: u32 = 60;

fn config(layers: usize, bidirectional: bool, pooling: Pooling) -> Config {
    Config {
        vocabulary: VOCABULARY as usize,
        embedding_dim: 10,
        hidden_dim: 21,
        layers,
        bidirectional,
        pooling,
        dropout: 0.3,
        outputs: 3,
    }
}

fn weights(config: &Config) -> Weights {
    let mut generator = ChaCha8Rng::seed_from_u64(11);
    Weights::initialise(&Architecture::LstmClassifier(config.clone()), &mut generator, &Device::Cpu).unwrap()
}

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int16];

fn layout(level: Level, precision: Precision) -> LstmLayout {
    LstmLayout { level, table_bytes_max: usize::MAX, precision }
}

fn plan(config: &Config, layout: LstmLayout) -> Arc<LstmPlan> {
    Arc::new(LstmPlan::new(config, &weights(config), layout).unwrap())
}

fn text(seed: usize, tokens: usize) -> Arc<[u32]> {
    let id = |token: usize| (seed * 31 + token * 7 + token * token) % VOCABULARY as usize;
    (0..tokens).map(|token| u32::try_from(id(token)).unwrap()).collect()
}

fn finish(engine: &mut LstmEngine, rows: usize) -> Vec<(usize, Logits)> {
    let mut finished = Vec::new();
    for _ in 0..10_000 {
        engine.step(&mut finished);
        if finished.len() == rows {
            return finished.into_iter().map(|(slot, answer)| (slot, answer.unwrap())).collect();
        }
    }
    panic!("{} of {rows} rows were answered", finished.len());
}

fn alone(plan: &Arc<LstmPlan>, tokens: &Arc<[u32]>) -> Vec<u32> {
    let mut engine = LstmEngine::new(plan.clone(), 1);
    engine.admit(0, Features::Tokens(tokens.clone())).unwrap();
    bits(&finish(&mut engine, 1)[0].1)
}

fn bits(logits: &Logits) -> Vec<u32> {
    logits.values().iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_plan_says_which_instructions_its_layers_run_on() {
    for (level, precision) in Level::available().flat_map(|level| PRECISIONS.map(|of| (level, of))) {
        let plan = plan(&config(1, false, Pooling::Last), layout(level, precision));
        assert_eq!(plan.level(), level, "{precision:?}");
    }
}

#[test]
fn answers_are_candles() {
    for (layers, bidirectional) in [(1, false), (2, false), (3, false), (1, true), (2, true), (4, true)] {
        for pooling in POOLINGS {
            let config = config(layers, bidirectional, pooling);
            let architecture = Architecture::LstmClassifier(config.clone());
            let network = Network::new(&architecture, &weights(&config)).unwrap();
            let texts: Vec<_> = [1, 2, 9, 30].into_iter().map(|tokens| text(tokens, tokens)).collect();
            let engines = Level::available().flat_map(|level| PRECISIONS.map(|precision| (level, precision)));
            for (level, precision) in engines {
                let mut engine = LstmEngine::new(plan(&config, layout(level, precision)), 4);
                // PyTorch's initial weights of 21 units, |w| <= 0.22: 16 bits are some 1e-5 off.
                let bound = match precision {
                    Precision::F32 => 1e-5,
                    Precision::Bf16 => 3e-3,
                    Precision::Int16 => 2e-4,
                };
                for (slot, tokens) in texts.iter().enumerate() {
                    engine.admit(slot, Features::Tokens(tokens.clone())).unwrap();
                }
                for (slot, answer) in finish(&mut engine, 4) {
                    let row = [Features::Tokens(texts[slot].clone())];
                    let batch = Batch::collate(&row, &architecture, &Device::Cpu).unwrap();
                    let expected = network.forward(&batch, &mut Mode::Evaluate).unwrap();
                    let expected = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    assert_eq!(answer.values().len(), expected.len());
                    for (found, expected) in answer.values().iter().zip(expected) {
                        let case =
                            format!("{layers} {bidirectional} {pooling:?} {level:?} {precision} row {slot}");
                        assert!((found - expected).abs() < bound, "{case}: {found} {expected}");
                    }
                }
            }
        }
    }
}

#[test]
fn folding_and_instructions_change_no_bit() {
    let networks = [(2, false), (2, true)].map(|network| PRECISIONS.map(|precision| (network, precision)));
    for ((layers, bidirectional), precision) in networks.into_iter().flatten() {
        let config = config(layers, bidirectional, Pooling::Mean);
        let tokens = text(3, 17);
        let scalar = alone(&plan(&config, layout(Level::Scalar, precision)), &tokens);
        for level in Level::available() {
            let layout = layout(level, precision);
            let folded = plan(&config, layout);
            // Tiles have numbers of their own, whose scalar twins are the kernel's.
            let expected = if level == Level::Amx { alone(&folded, &tokens) } else { scalar.clone() };
            let raw = plan(&config, LstmLayout { table_bytes_max: folded.table_bytes() - 1, ..layout });
            assert!(folded.table_bytes() > 0 && raw.table_bytes() == 0);
            assert_eq!(alone(&folded, &tokens), expected, "{level:?} {precision}");
            assert_eq!(alone(&raw, &tokens), expected, "{level:?} {precision}");
        }
    }
}

/// What happens between two steps.
#[derive(Clone, Debug)]
enum Event {
    Admit { tokens: usize },
    Evict { slot: usize },
    Step,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1_usize..25).prop_map(|tokens| Event::Admit { tokens }),
        1 => (0_usize..64).prop_map(|slot| Event::Evict { slot }),
        5 => Just(Event::Step),
    ]
}

fn network() -> impl Strategy<Value = Config> {
    let layers = prop_oneof![Just((1, false)), Just((3, false)), Just((1, true)), Just((3, true))];
    (layers, 0_usize..4).prop_map(|((layers, both), pooling)| config(layers, both, POOLINGS[pooling]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The promise: admissions and evictions at any step, any capacity, any length, every level: a row's answer has
    /// the bits that it has alone.
    #[test]
    fn a_row_has_the_same_bits_alone_and_in_any_company(
        config in network(), precision in prop::sample::select(&PRECISIONS[..]), capacity in 1_usize..=64, events in prop::collection::vec(event(), 1..120),
    ) {
        for level in Level::available() {
            let plan = plan(&config, layout(level, precision));
            let mut engine = LstmEngine::new(plan.clone(), capacity);
            let mut held: Vec<Option<Arc<[u32]>>> = vec![None; capacity];
            let mut finished = Vec::new();
            let drain = (0..200).map(|_| &Event::Step);
            for (seed, event) in events.iter().chain(drain).enumerate() {
                match event {
                    Event::Admit { tokens } => {
                        // A slot in the middle as readily as the first.
                        let free = (0..capacity).map(|slot| (slot * 7 + seed) % capacity);
                        if let Some(slot) = free.into_iter().find(|slot| held[*slot].is_none()) {
                            let tokens = text(seed, *tokens);
                            engine.admit(slot, Features::Tokens(tokens.clone())).unwrap();
                            held[slot] = Some(tokens);
                        }
                    }
                    Event::Evict { slot } => {
                        engine.evict(slot % capacity);
                        held[slot % capacity] = None;
                    }
                    Event::Step => engine.step(&mut finished),
                }
                for (slot, answer) in finished.drain(..) {
                    let tokens = held[slot].take();
                    prop_assert!(tokens.is_some(), "slot {} answered a row that it does not hold", slot);
                    let tokens = tokens.unwrap_or_default();
                    prop_assert_eq!(bits(&answer.unwrap()), alone(&plan, &tokens), "{:?} {} slot {}", level, precision, slot);
                }
            }
            prop_assert!(held.iter().all(Option::is_none), "every row is answered");
        }
    }
}

#[test]
fn texts_that_threads_share_have_the_bits_of_one_thread() {
    for (layers, bidirectional) in [(2, false), (2, true)] {
        let config = Config { hidden_dim: 180, ..config(layers, bidirectional, Pooling::Max) };
        for level in Level::available().filter(|level| *level != Level::Scalar) {
            let plan = plan(&config, layout(level, Precision::F32));
            let mut engine = LstmEngine::new(plan.clone(), 3).helped_by(Arc::new(Crew::new(2, 0)));
            let mut finished = Vec::new();
            let mut texts: Vec<_> = (0..7).map(|row| text(row, 8 + row)).collect();
            let mut held: Vec<Option<Arc<[u32]>>> = vec![None; 3];
            for step in 0..200 {
                // Cores are lent and taken back while rows are on their way.
                engine.lend([2, 2, 2, 1, 0][step % 5]);
                for (slot, held) in held.iter_mut().enumerate().filter(|_| step % 3 == 0) {
                    if held.is_none()
                        && let Some(tokens) = texts.pop()
                    {
                        engine.admit(slot, Features::Tokens(tokens.clone())).unwrap();
                        *held = Some(tokens);
                    }
                }
                engine.step(&mut finished);
                for (slot, answer) in finished.drain(..) {
                    let tokens = held[slot].take().unwrap();
                    assert_eq!(bits(&answer.unwrap()), alone(&plan, &tokens), "{level:?}");
                }
            }
            assert!(texts.is_empty() && held.iter().all(Option::is_none));
        }
    }
}

#[test]
fn a_row_of_one_direction_takes_a_step_a_token_and_two_directions_one_a_layer() {
    for (layers, bidirectional, steps) in [(3, false, 5), (1, true, 5), (3, true, 15)] {
        let config = config(layers, bidirectional, Pooling::Last);
        let mut engine = LstmEngine::new(plan(&config, layout(Level::detect(), Precision::F32)), 2);
        engine.admit(1, Features::Tokens(text(1, 5))).unwrap();
        let mut finished = Vec::new();
        for step in 1..=steps {
            engine.step(&mut finished);
            assert_eq!(finished.len(), usize::from(step == steps), "{layers} {bidirectional} {step}");
        }
    }
}

#[test]
fn evicted_and_reset_rows_are_not_answered_and_leave_nothing_behind() {
    let forget_in_two_ways = [|engine: &mut LstmEngine| engine.evict(0), LstmEngine::reset];
    let cases = PRECISIONS.map(|precision| forget_in_two_ways.map(|forget| (precision, forget)));
    for (precision, forget) in cases.into_iter().flatten() {
        let plan = plan(&config(2, true, Pooling::Mean), layout(Level::detect(), precision));
        let mut engine = LstmEngine::new(plan.clone(), 1);
        let mut finished = Vec::new();
        engine.admit(0, Features::Tokens(text(9, 8))).unwrap();
        for step in 0..30 {
            engine.step(&mut finished);
            if step == 10 {
                forget(&mut engine);
            }
        }
        assert!(finished.is_empty());
        engine.admit(0, Features::Tokens(text(2, 5))).unwrap();
        assert_eq!(bits(&finish(&mut engine, 1)[0].1), alone(&plan, &text(2, 5)));
    }
}

#[test]
fn a_wrong_row_is_refused_at_admission_and_leaves_the_others() {
    let layout = layout(Level::detect(), Precision::F32);
    let mut engine = LstmEngine::new(plan(&config(1, false, Pooling::Last), layout), 2);
    engine.admit(0, Features::Tokens(text(1, 3))).unwrap();
    assert!(
        engine.admit(1, Features::Tokens([VOCABULARY].into())).unwrap_err().reason.contains("token id 60")
    );
    assert!(engine.admit(1, Features::Tokens([].into())).is_err());
    assert!(engine.admit(1, Features::Pixels([0.0].into())).is_err());
    assert!(engine.admit(2, Features::Tokens(text(1, 3))).unwrap_err().reason.contains("slot 2"));
    assert_eq!(finish(&mut engine, 1)[0].0, 0);
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let config = config(1, false, Pooling::Last);
    let mut weights = weights(&config);
    weights.0.remove("fc.bias");
    let error = LstmPlan::new(&config, &weights, layout(Level::detect(), Precision::F32)).unwrap_err();
    assert!(error.to_string().contains("fc.bias"), "{error}");
}

#[test]
fn weights_beyond_fixed_point_are_refused_and_say_what_to_do() {
    let config = config(2, false, Pooling::Last);
    let mut weights = weights(&config);
    let tensor = weights.0["lstm.weight_hh_l1"].affine(1e32, 0.0).unwrap();
    weights.0.insert("lstm.weight_hh_l1".into(), tensor);
    LstmPlan::new(&config, &weights, layout(Level::detect(), Precision::F32)).unwrap();
    let error = LstmPlan::new(&config, &weights, layout(Level::Avx512, Precision::Int16)).unwrap_err();
    assert!(error.to_string().contains("set precision = \"f32\""), "{error}");
}
