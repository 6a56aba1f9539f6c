//! Engines of tiny networks with random weights, measured for a moment.

use candle_core::Device;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::engine::Precision;
use crate::kernels::cpu::Level;
use crate::model::{InputPreparation, TextInput};
use crate::nn::{Architecture, Weights, conv, lstm};
use crate::pipeline::Preparer;
use crate::text::Recipe;
use crate::value::Logits;

fn plan(architecture: &Architecture) -> Plan {
    let mut generator = ChaCha8Rng::seed_from_u64(5);
    let weights = Weights::initialise(architecture, &mut generator, &Device::Cpu).unwrap();
    Plan::new(architecture, &weights, Precision::F32, &Device::Cpu).unwrap()
}

fn texts() -> Architecture {
    Architecture::LstmClassifier(lstm::Config {
        vocabulary: 50,
        embedding_dim: 8,
        hidden_dim: 12,
        layers: 1,
        bidirectional: false,
        pooling: lstm::Pooling::Last,
        dropout: 0.0,
        outputs: 3,
    })
}

fn settings(batch: usize, threads: usize, engines: Option<usize>) -> Settings {
    Settings { batch, threads, engines, time: Duration::from_millis(20) }
}

fn mixed(count: usize) -> Vec<Features> {
    let row = |row: usize| (0..=row % 9).map(|token| u32::try_from((row + token) % 50).unwrap()).collect();
    (0..count).map(|number| Features::Tokens(row(number))).collect()
}

#[test]
fn rows_are_shared_out_and_impossible_shares_refused() {
    assert_eq!(settings(33, 2, None).shares(), Ok(vec![17, 16]));
    assert_eq!(settings(16, 2, None).engines(), 2);
    assert_eq!((settings(15, 2, None).engines(), settings(1, 1, None).shares()), (1, Ok(vec![1])));
    let refused = |settings: Settings| settings.shares().unwrap_err().to_string();
    assert!(refused(settings(1, 2, Some(2))).contains("needs a thread and a row"));
    assert!(refused(settings(8, 3, Some(2))).contains("expected a multiple"));
    assert_eq!(settings(3, 8, None).shares(), Ok(vec![3]));
    assert!(refused(settings(1, 1 + CREW_THREADS_MAX, None)).contains("compute together"));
    assert!(refused(settings(100_000, 1, None)).contains("are held at once"));
}

#[test]
fn rows_of_any_length_stream_through_every_engine() {
    let architecture = texts();
    let plan = plan(&architecture);
    let rows = mixed(30);
    for (batch, threads, engines) in [(1, 1, 1), (7, 1, 1), (3, 2, 1), (16, 2, 2)] {
        let settings = settings(batch, threads, None);
        let measured = measure(&plan, &rows, &settings).unwrap();
        assert!(measured.rows_per_second > 0.0 && measured.batches.count() > 0);
        let tokens = measured.units_per_second / measured.rows_per_second;
        assert!((1.0..=9.0).contains(&tokens), "{tokens}");
        let subject = Subject {
            model: "m",
            architecture: &architecture,
            precision: Precision::F32,
            plan: &plan,
            rows: &rows,
        };
        let report = Report::new(subject, &settings, &measured);
        assert_eq!((report.engines, report.units), (engines, "tokens"));
        assert_eq!(report.instructions == "scalar", Level::detect() == Level::Scalar);
        assert_ne!(report.instructions, "AMX", "so few units are not computed in tiles");
        // Whole vectors of each gate.
        assert!(report.table_bytes >= 50 * 48 * 4);
        assert!(
            report.share.of_peak > 0.0 && report.share.gflop_per_row > report.share.gflop_per_row_computed
        );
        assert!(report.to_string().contains("rows/s"), "{report}");
    }
}

#[test]
fn a_stream_finishes_every_row_in_turn() {
    let plan = plan(&texts());
    let rows = mixed(10);
    let mut stream = Stream::new(plan.engine(4), &rows, 3);
    let mut finished = stream::Done::default();
    for _ in 0..50 {
        let done = stream.batch().unwrap();
        assert!((4..8).contains(&done.rows));
        finished = stream::Done { rows: finished.rows + done.rows, units: finished.units + done.units };
    }
    let mean = rows.iter().map(Features::work).sum::<usize>() as f64 / rows.len() as f64;
    let found = finished.units as f64 / finished.rows as f64;
    assert!((found - mean).abs() < 0.2, "{found} tokens a row of {mean}");
}

#[test]
fn a_row_that_fails_is_named() {
    let rows = [Features::Tokens([1].into()), Features::Tokens([99].into())];
    let error = measure(&plan(&texts()), &rows, &settings(2, 1, None)).unwrap_err().to_string();
    assert!(error.starts_with("row 2: ") && error.contains("99"), "{error}");
    assert_eq!(measure(&plan(&texts()), &[], &settings(2, 1, None)).unwrap_err(), EngineError::NoRow);
}

#[test]
fn answers_are_in_the_order_of_the_rows_and_equal_at_any_batch() {
    let plan = plan(&texts());
    let rows = mixed(20);
    let alone: Vec<Logits> = rows
        .iter()
        .map(|row| {
            let mut engine = plan.engine(1);
            engine.admit(0, row.clone()).unwrap();
            let mut finished = Vec::new();
            while finished.is_empty() {
                engine.step(&mut finished);
            }
            finished.remove(0).1.unwrap()
        })
        .collect();
    for batch in [1, 3, 32] {
        assert_eq!(answers(&plan, &rows, batch).unwrap(), alone);
    }
}

#[test]
fn pictures_are_counted_in_pixels() {
    let architecture = Architecture::ConvClassifier(conv::Config {
        height: 4,
        width: 6,
        blocks: Vec::new(),
        ..conv::Config::article(2)
    });
    let wanted = MadeUp { count: 3, tokens: 1, seed: 1 };
    let (plan, rows) = (plan(&architecture), made_up(&architecture, wanted).features);
    let settings = settings(2, 1, None);
    let measured = measure(&plan, &rows, &settings).unwrap();
    let subject = Subject {
        model: "m",
        architecture: &architecture,
        precision: Precision::F32,
        plan: &plan,
        rows: &rows,
    };
    let report = Report::new(subject, &settings, &measured);
    assert_eq!((report.units, report.units_per_row), ("pixels", 24.0));
    assert!((report.units_per_second / report.rows_per_second - 24.0).abs() < 1e-6);
}

#[test]
fn a_file_s_rows_are_read_and_wrong_ones_named() {
    let recipe = Recipe { frequency_min: 1, ..Recipe::default() };
    let tokenizer = recipe.train(&mut ["good bad film"].into_iter()).unwrap();
    let preparer = Preparer::new(InputPreparation::Text(TextInput { tokens_max: 3 }), Some(tokenizer));
    let architecture = texts();
    let read =
        |text: &str| read(text.as_bytes(), &preparer, &architecture).map_err(|error| error.to_string());
    let rows = read("\"good bad\"\n\n{\"tokens\": [7, 8, 9]}\n").unwrap();
    assert_eq!(rows.features, [Features::Tokens([4, 2].into()), Features::Tokens([7, 8, 9].into())]);
    assert_eq!(rows.inputs.len(), 1);
    for (text, expected) in [
        ("\"a\"\n{\"token\": [1]}", "line 2: expected a JSON string, {\"tokens\": […]}"),
        ("{\"tokens\": [50]}", "line 1: token id 50 is not below"),
        ("{\"pixels\": [0.5]}", "line 1: a picture was given to a text network"),
        ("{\"path\": \"/none.png\"}", "/none.png: "),
        ("\" \"", "line 1: the text is empty"),
        ("\n", "no row in it"),
    ] {
        let found = read(text).unwrap_err();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn made_up_rows_fit_and_follow_from_the_seed() {
    for architecture in [texts(), Architecture::ConvClassifier(conv::Config::article(2))] {
        let rows = |seed| made_up(&architecture, MadeUp { count: 5, tokens: 7, seed }).features;
        assert!(rows(1).iter().all(|row| architecture.accepts(row).is_ok()));
        assert_eq!(rows(1), rows(1));
        assert_ne!(rows(1), rows(2));
    }
}
