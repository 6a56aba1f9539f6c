//! A small model behind the service: what waits, what does not, and what never starts.

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tower::ServiceExt as _;

use super::preparing::{PREPARATIONS, caught};
use super::*;
use crate::engine::Precision;
use crate::model::{GoldenInput, InputPreparation, TextInput};
use crate::nn::{Network, Weights, lstm};
use crate::pipeline::record_golden;
use crate::text::Recipe;
use crate::value::{Objective, Task};

/// A text model with random weights that answers for each token.
fn model() -> Model {
    let recipe = Recipe { frequency_min: 1, ..Recipe::default() };
    let tokenizer = recipe.train(&mut ["good bad film"].into_iter()).unwrap();
    let architecture = Architecture::LstmClassifier(lstm::Config {
        vocabulary: tokenizer.vocabulary(),
        embedding_dim: 3,
        hidden_dim: 3,
        layers: 1,
        bidirectional: false,
        pooling: Pooling::None,
        dropout: 0.0,
        outputs: 1,
    });
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let weights = Weights::initialise(&architecture, &mut generator, &Device::Cpu).unwrap();
    let network = Network::new(&architecture, &weights).unwrap();
    let input = InputPreparation::Text(TextInput { tokens_max: 4 });
    let golden = vec![GoldenInput::Text("a good film".into())];
    let golden = record_golden(&input, Some(&tokenizer), &network, golden).unwrap();
    let manifest = Manifest {
        format: 1,
        task: Task::TextClassification,
        description: String::new(),
        licence: String::new(),
        objective: Objective::Binary,
        precision: Precision::F32,
        labels: vec!["bad".into(), "good".into()],
        architecture,
        input,
        files: BTreeMap::new(),
        training: toml::Table::new(),
    };
    Model { manifest, weights, tokenizer: Some(tokenizer), golden }
}

fn started(model: Model) -> Result<Pipeline, StartError> {
    let config =
        Config { device: DeviceChoice::Cpu, engine_rows: Some(2), queue_rows_max: 1, ..Config::default() };
    Pipeline::start("tiny", model, &config)
}

fn request(text: &str) -> Request {
    Request { input: Input::Text(text.into()), top_k: None, deadline: None, priority: Priority::default() }
}

#[tokio::test]
async fn an_unpooled_model_answers_for_each_token() {
    let answer = started(model()).unwrap().oneshot(request("good bad film")).await.unwrap();
    assert_eq!(answer.outcome.positions.len(), 3);
    assert_eq!(answer.outcome.predictions.len(), 2);
}

#[test]
fn a_model_that_is_not_the_recorded_one_does_not_start() {
    let mut other = model();
    other.golden[0].logits[1] += 0.01;
    let error = started(other).unwrap_err().to_string();
    assert!(error.starts_with("golden sample 0: logit 1 is "), "{error}");
    let mut other = model();
    other.weights.0.remove("fc.bias");
    assert!(started(other).unwrap_err().to_string().contains("fc.bias"));
}

#[test]
fn a_16_bit_model_starts_when_it_answers_as_f32_did_and_not_otherwise() {
    let mut int16 = model();
    int16.manifest.precision = Precision::Int16;
    started(int16.clone()).unwrap();
    let refused = plan(&int16, EngineChoice::Candle, &Device::Cpu).unwrap_err().to_string();
    assert!(refused.starts_with("precision is int16, which only the kernels of an lstm"), "{refused}");
    // Recorded logits that are 0.03 off: more than the bound of scores.
    int16.golden[0].logits[1] += 0.03;
    let error = started(int16.clone()).unwrap_err().to_string();
    assert!(error.starts_with("golden sample 0: the score of \"bad\" is "), "{error}");
    assert!(
        error.contains("within 0.005") && error.contains("set precision = \"f32\" in model.toml"),
        "{error}"
    );
}

#[tokio::test]
async fn long_inputs_wait_for_a_permit_in_bounded_number_and_short_ones_do_not() {
    let pipeline = started(model()).unwrap();
    let permits = u32::try_from(PREPARATIONS.available_permits()).unwrap_or(1);
    let held = PREPARATIONS.acquire_many(permits).await.unwrap();
    let long = request(&"good ".repeat(2000));
    let mut first = pipeline.clone().call(long.clone());
    let waker = Waker::noop();
    assert!(first.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    let error = pipeline.clone().oneshot(long.clone()).await.unwrap_err();
    assert!(
        matches!(error, Error::Batch(batch::Error::Full { unit: batch::ROWS, asked: 1, waiting: 1, .. })),
        "{error}"
    );
    pipeline.clone().oneshot(request("good")).await.unwrap();
    drop(first);
    let late = Request { deadline: Some(Instant::now()), ..long.clone() };
    let error = pipeline.clone().oneshot(late).await.unwrap_err();
    assert!(matches!(error, Error::Batch(batch::Error::Expired { .. })), "{error}");
    drop(held);
    assert!(pipeline.oneshot(long).await.unwrap().truncated, "a row that gave up left its place");
}

/// The same sentences alone, as the answers that they should have.
async fn alone(pipeline: &Pipeline, text: &str) -> Result<Outcome, Error> {
    pipeline.clone().oneshot(request(text)).await.map(|answer| answer.outcome)
}

fn several(texts: &[&str]) -> Request<Vec<Input>> {
    let input = texts.iter().map(|text| Input::Text((*text).into())).collect();
    Request { input, top_k: None, deadline: None, priority: Priority::default() }
}

#[tokio::test]
async fn several_inputs_are_one_execution_and_each_is_answered_as_alone() {
    let config = Config { engine_rows: Some(8), queue_rows_max: 8, ..Config::default() };
    let pipeline = Pipeline::start("several", model(), &config).unwrap();
    let long = "good ".repeat(2000);
    let texts = ["good film", " ", "bad", &long, "a bad film"];
    let mut expected = Vec::new();
    for text in texts {
        expected.push(alone(&pipeline, text).await);
    }
    assert_eq!(expected[1], Err(Error::Input(PrepareError::EmptyText)));
    let before = pipeline.statistics().executions;
    let answers: Vec<Result<Answer, Error>> = pipeline.clone().oneshot(several(&texts)).await.unwrap();
    let after = pipeline.statistics().executions;
    let truncated: Vec<bool> = answers.iter().flatten().map(|answer| answer.truncated).collect();
    assert_eq!(truncated, [false, false, true, false]);
    let outcomes: Vec<_> = answers.into_iter().map(|answer| answer.map(|answer| answer.outcome)).collect();
    assert_eq!(outcomes, expected);
    assert_eq!((after.count() - before.count(), after.rows - before.rows), (1, 4));
    assert_eq!(after.by_rows[&4].count, 1, "those that can be computed, together");
}

#[tokio::test]
async fn several_inputs_that_can_never_wait_are_refused_before_they_are_prepared() {
    let pipeline = started(model()).unwrap();
    let long = "good ".repeat(2000);
    for texts in [[&*long, &long], ["good", "bad"]] {
        let error = pipeline.clone().oneshot(several(&texts)).await.unwrap_err();
        assert_eq!(error, Error::Batch(batch::Error::TooLarge { unit: batch::ROWS, asked: 2, max: 1 }));
    }
    assert_eq!(pipeline.statistics().executions.count(), 0);
    let one: Vec<Result<Answer, Error>> = pipeline.oneshot(several(&[&long])).await.unwrap();
    assert!(one[0].is_ok(), "the refused ones left their places");
}

#[test]
fn a_panic_in_preparation_is_its_rows_alone() {
    assert_eq!(caught(|| panic!("hostile input")), Err(Error::Panicked));
}

#[test]
fn candle_computes_where_it_is_chosen() {
    let kernels = plan(&model(), EngineChoice::Auto, &Device::Cpu).unwrap();
    let candle = plan(&model(), EngineChoice::Candle, &Device::Cpu).unwrap();
    assert!(matches!((kernels, candle), (Plan::Lstm(..), Plan::Candle(..))));
}

#[tokio::test]
async fn candle_answers_the_same_where_it_is_chosen() {
    let kernels = started(model()).unwrap().oneshot(request("good bad film")).await.unwrap();
    let config = Config { device: DeviceChoice::Cpu, engine: EngineChoice::Candle, ..Config::default() };
    let candle = Pipeline::start("tiny", model(), &config).unwrap();
    let candle = candle.oneshot(request("good bad film")).await.unwrap();
    let scores = |answer: &Answer| -> Vec<f32> {
        answer.outcome.predictions.iter().map(|prediction| prediction.score).collect()
    };
    for (found, expected) in scores(&candle).iter().zip(scores(&kernels)) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

/// A text that is short is prepared where its request is, computed by a worker, and there its caller is woken: two
/// boundaries between threads. There is no runtime here, so nothing else could have been handed anything.
#[test]
fn a_short_text_crosses_to_a_worker_and_back() {
    struct Woken(Thread, std::sync::Mutex<Vec<Option<String>>>);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(thread::current().name().map(str::to_owned));
            self.0.unpark();
        }
    }
    let mut pipeline = started(model()).unwrap();
    let woken = Arc::new(Woken(thread::current(), std::sync::Mutex::default()));
    let waker = Waker::from(Arc::clone(&woken));
    // A worker may be done before its caller first looks: until one was not, there was no wake.
    while woken.1.lock().unwrap().is_empty() {
        let mut answer = pipeline.call(request("good bad film"));
        while answer.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            thread::park();
        }
    }
    assert_eq!(*woken.1.lock().unwrap(), [Some("0 tiny".to_owned())]);
}
