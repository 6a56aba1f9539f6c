//! A version directory: published whole, loaded with every check, and answering as when it was published.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use sconce::batch::{self, Priority};
use sconce::engine::DeviceChoice;
use sconce::model::{Draft, PublishError, load, publish, versions};
use sconce::pipeline::{Answer, Config, Error, Pipeline, Request};
use sconce::value::Input;
use tower::ServiceExt as _;

use crate::support::{models, pictures};

fn started(directory: &Path) -> Pipeline {
    let config = Config { device: DeviceChoice::Cpu, workers: 2, engine_rows: Some(4), ..Config::default() };
    Pipeline::start("tiny", load(directory).unwrap(), &config).unwrap()
}

async fn ask(pipeline: &Pipeline, input: Input) -> Result<Answer, Error> {
    pipeline
        .clone()
        .oneshot(Request { input, top_k: None, deadline: None, priority: Priority::default() })
        .await
}

fn text(text: &str) -> Input {
    Input::Text(text.into())
}

fn picture(seed: u32) -> Input {
    Input::Picture(pictures::png(seed, 20, 16))
}

fn scores(answer: &Answer) -> Vec<(String, f32)> {
    let told = answer.outcome.predictions.iter();
    told.map(|prediction| (prediction.label.to_string(), prediction.score)).collect()
}

/// Every file of a version, by name.
fn contents(version: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(version)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    found.sort();
    found
}

fn names(folder: &Path) -> Vec<String> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_text_model_answers() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "tiny", 1);
    let pipeline = started(&folder.path().join("tiny/1"));
    assert_eq!((pipeline.device(), pipeline.queued()), ("cpu", 0));
    let alone = ask(&pipeline, text("A GOOD film !")).await.unwrap();
    assert_eq!((alone.units, alone.truncated), (4, false));
    let predictions = scores(&alone);
    assert_eq!(predictions.len(), 2);
    assert!(predictions[0].1 >= predictions[1].1 && (predictions[0].1 + predictions[1].1 - 1.0).abs() < 1e-6);
    let long = ask(&pipeline, text(&"so good ".repeat(2000))).await.unwrap();
    assert_eq!((long.units, long.truncated), (32, true));

    let company: Vec<_> = (0..40)
        .map(|at| {
            let pipeline = pipeline.clone();
            let input = if at % 2 == 0 { text("A GOOD film !") } else { text(&"bad ".repeat(at)) };
            tokio::spawn(async move { ask(&pipeline, input).await.unwrap() })
        })
        .collect();
    for (at, answer) in company.into_iter().enumerate() {
        let answer = answer.await.unwrap();
        for (found, expected) in scores(&answer).iter().zip(&predictions) {
            let same = found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-5;
            assert!(at % 2 == 1 || same, "in company {found:?}, alone {expected:?}");
        }
    }
    let other = models::tiny_text(folder.path(), "tiny", 2);
    let other = started(&folder.path().join("tiny").join(other.to_string()));
    assert_ne!(scores(&ask(&other, text("A GOOD film !")).await.unwrap()), predictions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_image_model_answers() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_image(folder.path(), "tiny", 1);
    let pipeline = started(&folder.path().join("tiny/1"));
    let answer = ask(&pipeline, picture(3)).await.unwrap();
    assert_eq!((answer.units, answer.outcome.predictions.len()), (64, 3));
    assert_eq!(scores(&ask(&pipeline, picture(3)).await.unwrap()), scores(&answer));
    assert_ne!(scores(&ask(&pipeline, picture(4)).await.unwrap()), scores(&answer));
    let best = Request { input: picture(3), top_k: Some(1), deadline: None, priority: Priority::default() };
    let best = pipeline.clone().oneshot(best).await.unwrap();
    assert_eq!(scores(&best), scores(&answer)[..1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_cannot_be_answered_says_why() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "text", 1);
    models::tiny_image(folder.path(), "image", 1);
    let of_text = started(&folder.path().join("text/1"));
    let of_pictures = started(&folder.path().join("image/1"));
    let junk = Input::Picture(b"\x89PNG\r\n\x1a\njunk".as_slice().into());
    let cases = [
        (&of_text, text(" "), "the text is empty"),
        (&of_text, text(&"x".repeat(70_000)), "the text has 70000 bytes, at most 65536 are taken"),
        (&of_text, picture(1), "this model does text-classification"),
        (&of_pictures, text("x"), "this model does image-classification"),
        (&of_pictures, junk, "the PNG data are damaged"),
    ];
    for (pipeline, input, expected) in cases {
        let error = ask(pipeline, input).await.unwrap_err();
        assert!(matches!(error, Error::Input(_)) && error.to_string().starts_with(expected), "{error}");
    }
    for (pipeline, input) in [(&of_text, text("good")), (&of_pictures, picture(1))] {
        let late = Some(Instant::now());
        let error = pipeline
            .clone()
            .oneshot(Request { input, top_k: None, deadline: late, priority: Priority::default() })
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Batch(batch::Error::Expired { .. })), "{error}");
    }
    ask(&of_text, text("good")).await.unwrap();
}

#[test]
fn the_same_draft_gives_the_same_files_under_the_next_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut draft = models::text_draft(5);
    draft.extras.insert("report.html".into(), b"<p>figures</p>".to_vec());
    let model = folder.path().join("tiny");
    assert_eq!(publish(&model, &draft).unwrap().get(), 1);
    assert_eq!(publish(&model, &models::text_draft(5)).unwrap().get(), 2);
    fs::create_dir(model.join("9")).unwrap();
    assert_eq!(publish(&model, &models::text_draft(6)).unwrap().get(), 10);
    let first = contents(&model.join("1"));
    let without_report: Vec<_> = first.iter().filter(|(name, _)| name != "report.html").cloned().collect();
    assert_eq!(without_report, contents(&model.join("2")));
    assert_ne!(without_report, contents(&model.join("10")));
    assert_eq!(
        names(&model.join("1")),
        ["golden.json", "model.toml", "report.html", "tokenizer.json", "weights.safetensors"]
    );
    assert_eq!(names(&model), ["1", "10", "2", "9"], "no staging directory is left");
    for (name, _) in first {
        let mode = fs::metadata(model.join("1").join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{name}");
    }
    let loaded = load(&model.join("1")).unwrap();
    assert_eq!(loaded.golden, draft.golden);
    let stamps = versions(folder.path()).unwrap();
    assert_eq!(stamps["tiny"].len(), 4);
}

#[test]
fn a_draft_that_would_not_load_is_not_published() {
    type Spoil = fn(&mut Draft);
    let cases: [(Spoil, &str); 6] = [
        (|draft| drop(draft.weights.0.remove("fc.bias")), "tensor fc.bias is missing"),
        (
            |draft| {
                let nan = Tensor::new(&[f32::NAN, 0.0], &Device::Cpu).unwrap();
                draft.weights.0.insert("fc.bias".into(), nan);
            },
            "tensor fc.bias holds NaN at index 0",
        ),
        (|draft| draft.tokenizer = None, "files has no entry for tokenizer.json"),
        (|draft| draft.golden.clear(), "golden.json has 0 samples, expected 1 to 64"),
        (|draft| draft.manifest.labels.push("third".into()), "architecture.outputs is 2, expected 3"),
        (|draft| drop(draft.extras.insert("../x".into(), vec![])), "\"../x\" is no name for a further file"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (spoil, expected) in cases {
        let mut draft = models::text_draft(5);
        spoil(&mut draft);
        let model = folder.path().join("tiny");
        let error = publish(&model, &draft).unwrap_err();
        assert!(matches!(error, PublishError::Unloadable(_)), "{error}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(!model.exists() || names(&model).is_empty(), "{:?}", names(&model));
    }
}

#[test]
fn publishers_side_by_side_take_a_number_each() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny");
    let mut taken: Vec<u32> = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..8)
            .map(|seed| {
                let model = &model;
                scope.spawn(move || publish(model, &models::image_draft(seed)).unwrap().get())
            })
            .collect();
        publishers.into_iter().map(|publisher| publisher.join().unwrap()).collect()
    });
    taken.sort_unstable();
    assert_eq!(taken, (1..=8).collect::<Vec<_>>());
    for version in taken {
        load(&model.join(version.to_string())).unwrap();
    }
}

#[test]
fn what_a_dead_publisher_left_is_swept_and_what_a_live_one_writes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny");
    for staging in [".staging-1-0", ".staging-2-0"] {
        fs::create_dir_all(model.join(staging)).unwrap();
        fs::write(model.join(staging).join("weights.safetensors"), "half").unwrap();
    }
    let dead = fs::File::open(model.join(".staging-1-0")).unwrap();
    dead.set_modified(std::time::SystemTime::now() - Duration::from_secs(4000)).unwrap();
    publish(&model, &models::image_draft(1)).unwrap();
    assert_eq!(names(&model), [".staging-2-0", "1"]);
}

#[test]
fn weights_of_another_type_are_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let mut draft = models::image_draft(1);
    let half = draft.weights.0["fc.bias"].to_dtype(DType::F16).unwrap();
    draft.weights.0.insert("fc.bias".into(), half);
    let error = publish(&folder.path().join("tiny"), &draft).unwrap_err().to_string();
    assert!(error.contains("tensor fc.bias"), "{error}");
}
