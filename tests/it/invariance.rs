//! Batch invariance through the whole batching layer: whatever arrives, leaves or is given up beside it, a row's answer
//! has the bits that it has alone.

use std::collections::HashMap;
use std::time::Duration;

use candle_core::Device;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sconce::batch::{Batch, BatchLayer, Config, Engine, Job, LoneRows, Priority, ResponseFuture, asked_by};
use sconce::engine::{Plan, PlannedEngine, Precision};
use sconce::nn::{Architecture, Weights, conv, lstm};
use sconce::value::{Features, Logits};
use tower::{Layer as _, Service as _};

/// Nothing here takes long; what does hangs, and the test says so.
const HANGING: Duration = Duration::from_mins(2);
const VOCABULARY: usize = 40;
const SIDE: usize = 8;

/// What a crowd of callers does next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Sends a row of this size; of a few kinds, so that equal rows meet too.
    Send { size: usize, kind: usize },
    /// The caller of one that waits goes away.
    Leave { which: usize },
    /// One is waited for before anything else happens: engines go on meanwhile, and then have room.
    Wait { which: usize },
    /// Everybody else gets a turn.
    Yield,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => (1_usize..25, 0_usize..4).prop_map(|(size, kind)| Event::Send { size, kind }),
        2 => (0_usize..1000).prop_map(|which| Event::Leave { which }),
        2 => (0_usize..1000).prop_map(|which| Event::Wait { which }),
        1 => Just(Event::Yield),
    ]
}

/// How a layer is set up.
#[derive(Clone, Copy, Debug)]
struct Setup {
    capacity: usize,
    workers: usize,
    step_work_max: Option<usize>,
}

fn setup() -> impl Strategy<Value = Setup> {
    let budget = prop_oneof![Just(None), (1_usize..200).prop_map(Some)];
    (1_usize..=64, 1_usize..=4, budget).prop_map(|(capacity, workers, step_work_max)| Setup {
        capacity,
        workers,
        step_work_max,
    })
}

fn texts(layers: usize, bidirectional: bool, pooling: lstm::Pooling) -> Architecture {
    Architecture::LstmClassifier(lstm::Config {
        vocabulary: VOCABULARY,
        embedding_dim: 7,
        hidden_dim: 19,
        layers,
        bidirectional,
        pooling,
        dropout: 0.0,
        outputs: 3,
    })
}

fn pictures() -> Architecture {
    let block = |channels| conv::Block {
        channels,
        kernel: 3,
        stride: 1,
        padding: 1,
        batch_norm: true,
        activation: conv::Activation::Relu,
        pool: Some(conv::Pool { kind: conv::PoolKind::Max, size: 2, stride: None }),
    };
    Architecture::ConvClassifier(conv::Config {
        channels: 3,
        height: SIDE,
        width: SIDE,
        blocks: vec![block(16), block(20)],
        head: conv::Head::Flatten,
        dropout: 0.0,
        outputs: 3,
    })
}

fn architecture() -> impl Strategy<Value = Architecture> {
    prop_oneof![
        2 => Just(texts(1, false, lstm::Pooling::Last)),
        1 => Just(texts(2, false, lstm::Pooling::Mean)),
        1 => Just(texts(2, true, lstm::Pooling::Max)),
        1 => Just(texts(1, true, lstm::Pooling::None)),
        2 => Just(pictures()),
    ]
}

fn plan(architecture: &Architecture) -> Plan {
    let mut generator = ChaCha8Rng::seed_from_u64(17);
    let weights = Weights::initialise(architecture, &mut generator, &Device::Cpu).unwrap();
    let plan = Plan::new(architecture, &weights, Precision::F32, &Device::Cpu).unwrap();
    assert!(!matches!(plan, Plan::Candle(..)), "it is our engines that promise this");
    plan
}

fn row(architecture: &Architecture, size: usize, kind: usize) -> Features {
    let seed = size * 4 + kind;
    match architecture {
        Architecture::LstmClassifier(_) => {
            let id = |token: usize| u32::try_from((seed * 31 + token * token * 7 + token) % VOCABULARY);
            Features::Tokens((0..size).map(|token| id(token).unwrap()).collect())
        }
        Architecture::ConvClassifier(_) => {
            let value = |place: usize| f32::from(u16::try_from((seed * 131 + place * 37) % 257).unwrap());
            Features::Pixels((0..3 * SIDE * SIDE).map(|place| value(place) / 128.0 - 1.0).collect())
        }
    }
}

fn bits(logits: &Logits) -> Vec<u32> {
    logits.values().iter().map(|value| value.to_bits()).collect()
}

/// The answer of an engine that never held another row.
fn alone(plan: &Plan, row: Features) -> Vec<u32> {
    let mut engine = plan.engine(1);
    engine.admit(0, row).unwrap();
    let mut finished = Vec::new();
    while finished.is_empty() {
        engine.step(&mut finished);
    }
    bits(finished.pop().unwrap().1.as_ref().unwrap())
}

fn start(plan: &Plan, Setup { capacity, workers, step_work_max }: Setup) -> Batch<PlannedEngine> {
    let plan = plan.clone();
    let config = Config {
        name: "invariance".into(),
        queue_rows_max: 1000,
        queue_work_max: usize::MAX,
        step_work_max,
        work_unit: "tokens",
        workers,
        lone_rows: Some(LoneRows { short_max: Duration::MAX, alone_max: Duration::MAX }),
    };
    BatchLayer::new(config).layer(move || plan.engine(capacity))
}

type Asked = ((usize, usize), ResponseFuture<Logits>);

/// What every caller that stayed was answered, by the size and kind of its row.
async fn play(
    batch: &Batch<PlannedEngine>,
    architecture: &Architecture,
    events: &[Event],
) -> Vec<((usize, usize), Vec<u32>)> {
    let mut waiting: Vec<Asked> = Vec::new();
    let mut answers = Vec::new();
    for event in events {
        match *event {
            Event::Send { size, kind } => {
                let job = Job {
                    row: row(architecture, size, kind),
                    work: size,
                    deadline: None,
                    priority: Priority::default(),
                };
                waiting.push(((size, kind), batch.clone().call(job)));
            }
            Event::Leave { which } if !waiting.is_empty() => {
                drop(waiting.swap_remove(which % waiting.len()));
            }
            Event::Wait { which } if !waiting.is_empty() => {
                let (asked, future) = waiting.swap_remove(which % waiting.len());
                answers.push((asked, bits(&future.await.unwrap().answer)));
            }
            _ => tokio::task::yield_now().await,
        }
    }
    for (asked, future) in waiting {
        answers.push((asked, bits(&future.await.unwrap().answer)));
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_has_the_same_bits_alone_and_in_any_company(
        architecture in architecture(),
        setup in setup(),
        events in prop::collection::vec(event(), 1..150),
    ) {
        let plan = plan(&architecture);
        let batch = start(&plan, setup);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let answers = runtime.block_on(async {
            tokio::time::timeout(HANGING, asked_by(Some(1), play(&batch, &architecture, &events))).await.expect("it hangs")
        });
        batch.join();
        let sent = events.iter().filter(|event| matches!(event, Event::Send { .. })).count();
        let left = events.iter().filter(|event| matches!(event, Event::Leave { .. })).count();
        prop_assert!(answers.len() <= sent && answers.len() + left >= sent, "{} of {sent}", answers.len());
        let mut expected: HashMap<(usize, usize), Vec<u32>> = HashMap::new();
        for ((size, kind), found) in answers {
            let expected = expected
                .entry((size, kind))
                .or_insert_with(|| alone(&plan, row(&architecture, size, kind)));
            prop_assert_eq!(&found, &*expected, "a row of size {} and kind {}", size, kind);
        }
    }
}
