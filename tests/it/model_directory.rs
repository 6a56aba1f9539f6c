//! A version directory: published whole, loaded with every check, and answering as when it was published.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sconce::batch;
use sconce::engine::DeviceChoice;
use sconce::model::{Draft, PublishError, load, publish, versions};
use sconce::pipeline::{Answer, Config, Error, Pipeline, Request};
use sconce::value::Input;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use crate::support::{models, pictures};

fn started(directory: &Path) -> Result<Pipeline, String> {
    let model = load(directory).map_err(|error| error.findings.join("\n"))?;
    let config = Config { device: DeviceChoice::Cpu, workers: 2, engine_rows: 4, queue_rows_max: 64 };
    Pipeline::start("tiny", model, &config).map_err(|error| error.to_string())
}

async fn ask(pipeline: &Pipeline, input: Input) -> Result<Answer, Error> {
    pipeline.clone().oneshot(Request { input, top_k: None, deadline: None }).await
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
    let pipeline = started(&folder.path().join("tiny/1")).unwrap();
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
    let other = started(&folder.path().join("tiny").join(other.to_string())).unwrap();
    assert_ne!(scores(&ask(&other, text("A GOOD film !")).await.unwrap()), predictions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_image_model_answers() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_image(folder.path(), "tiny", 1);
    let pipeline = started(&folder.path().join("tiny/1")).unwrap();
    let answer = ask(&pipeline, picture(3)).await.unwrap();
    assert_eq!((answer.units, answer.outcome.predictions.len()), (64, 3));
    assert_eq!(scores(&ask(&pipeline, picture(3)).await.unwrap()), scores(&answer));
    assert_ne!(scores(&ask(&pipeline, picture(4)).await.unwrap()), scores(&answer));
    let best = Request { input: picture(3), top_k: Some(1), deadline: None };
    let best = pipeline.clone().oneshot(best).await.unwrap();
    assert_eq!(scores(&best), scores(&answer)[..1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_cannot_be_answered_says_why() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "text", 1);
    models::tiny_image(folder.path(), "image", 1);
    let of_text = started(&folder.path().join("text/1")).unwrap();
    let of_pictures = started(&folder.path().join("image/1")).unwrap();
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
        let error =
            pipeline.clone().oneshot(Request { input, top_k: None, deadline: late }).await.unwrap_err();
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

/// Makes the manifest's size and digest of a file right again.
fn with_digest_made_right(version: &Path, file: &str) {
    let bytes = fs::read(version.join(file)).unwrap();
    let manifest = fs::read_to_string(version.join("model.toml")).unwrap();
    let mut manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let entry = manifest["files"][file].as_table_mut().unwrap();
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    entry.insert("bytes".into(), i64::try_from(bytes.len()).unwrap().into());
    entry.insert("sha256".into(), sha256.into());
    fs::write(version.join("model.toml"), toml::to_string(&manifest).unwrap()).unwrap();
}

/// Rewrites a file of the version.
fn rewrite(version: &Path, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let path = version.join(file);
    let bytes = change(fs::read(&path).unwrap());
    fs::write(path, bytes).unwrap();
}

/// Rewrites the weights tensor by tensor, digest and all.
fn with_tensors(version: &Path, change: impl FnOnce(&mut Vec<(String, Dtype, Vec<usize>, Vec<u8>)>)) {
    rewrite(version, "weights.safetensors", |bytes| {
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Vec<_> = file
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            .collect();
        tensors.sort_by(|left, right| left.0.cmp(&right.0));
        change(&mut tensors);
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()
    });
    with_digest_made_right(version, "weights.safetensors");
}

fn replaced(version: &Path, file: &str, from: &str, to: &str) {
    rewrite(version, file, |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}: {text}");
        text.replacen(from, to, 1).into_bytes()
    });
}

#[test]
fn every_corruption_is_refused_and_named() {
    const WEIGHTS: &str = "weights.safetensors";
    type Spoil = fn(&Path);
    let flip: Spoil = |version| {
        rewrite(version, WEIGHTS, |mut bytes| {
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        });
    };
    let cut: Spoil = |version| {
        rewrite(version, WEIGHTS, |mut bytes| {
            bytes.pop();
            bytes
        });
    };
    let huge_header: Spoil = |version| {
        rewrite(version, WEIGHTS, |mut bytes| {
            bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
            bytes
        });
        with_digest_made_right(version, WEIGHTS);
    };
    let too_large: Spoil = |version| rewrite(version, WEIGHTS, |bytes| [bytes, vec![0; 2 << 20]].concat());
    let linked: Spoil = |version| {
        fs::rename(version.join(WEIGHTS), version.join("elsewhere")).unwrap();
        symlink("elsewhere", version.join(WEIGHTS)).unwrap();
    };
    let golden_of_pictures: Spoil = |version| {
        replaced(version, "golden.json", "\"text\": \"a good film\"", "\"picture\": \"AAAA\"");
        with_digest_made_right(version, "golden.json");
    };
    let golden_short: Spoil = |version| {
        rewrite(version, "golden.json", |_| br#"[{"input": {"text": "x"}, "logits": [1.0]}]"#.to_vec());
        with_digest_made_right(version, "golden.json");
    };
    let golden_wrong: Spoil = |version| {
        rewrite(version, "golden.json", |_| br#"[{"input": {"text": "x"}, "logits": [9.0, 9.0]}]"#.to_vec());
        with_digest_made_right(version, "golden.json");
    };
    let golden_infinite: Spoil = |version| {
        rewrite(version, "golden.json", |_| br#"[{"input": {"text": "x"}, "logits": [1e99, 0]}]"#.to_vec());
        with_digest_made_right(version, "golden.json");
    };
    let tokenizer_junk: Spoil = |version| {
        rewrite(version, "tokenizer.json", |_| b"{}".to_vec());
        with_digest_made_right(version, "tokenizer.json");
    };
    let tokenizer_larger: Spoil = |version| {
        replaced(version, "tokenizer.json", "\"[UNK]\": 1,", "\"[UNK]\": 1, \"zzz\": 500,");
        with_digest_made_right(version, "tokenizer.json");
    };
    let cases: [(Spoil, &str); 23] = [
        (flip, "weights.safetensors has sha256 "),
        (cut, "weights.safetensors has 1"),
        (
            huge_header,
            "weights.safetensors: the header says it has 18446744073709551615 bytes, expected at most 1048576",
        ),
        (too_large, "weights.safetensors has 2"),
        (linked, "weights.safetensors is a symbolic link, expected a file"),
        (
            |version| with_tensors(version, |tensors| drop(tensors.remove(1))),
            "weights.safetensors: tensor fc.bias is missing (expected shape [2])",
        ),
        (
            |version| {
                with_tensors(version, |tensors| {
                    tensors.push(("stray".into(), Dtype::F32, vec![1], vec![0; 4]))
                })
            },
            "weights.safetensors: tensor stray (shape [1]) has no place in this architecture",
        ),
        (
            |version| {
                with_tensors(version, |tensors| tensors[1].3[4..].copy_from_slice(&f32::NAN.to_le_bytes()))
            },
            "weights.safetensors: tensor fc.bias holds NaN at index 1",
        ),
        (
            |version| with_tensors(version, |tensors| tensors[1].2 = vec![1, 2]),
            "weights.safetensors: tensor fc.bias has shape [1, 2], expected [2]",
        ),
        (
            |version| with_tensors(version, |tensors| tensors[1].1 = Dtype::I32),
            "weights.safetensors: tensor fc.bias is of type I32, expected F32",
        ),
        (golden_wrong, "golden sample 0: logit 0 is "),
        (golden_of_pictures, "golden.json: sample 0 is a picture, expected a text"),
        (golden_short, "golden.json: sample 0 has 1 logits, expected 2"),
        (golden_infinite, "golden.json: "),
        (tokenizer_junk, "tokenizer.json: not a Hugging Face tokenizer"),
        (tokenizer_larger, "tokenizer.json has token ids below 501, expected below "),
        (|version| fs::remove_file(version.join("golden.json")).unwrap(), "golden.json is missing"),
        (|version| fs::remove_file(version.join("model.toml")).unwrap(), "model.toml is missing"),
        (
            |version| rewrite(version, "model.toml", |bytes| [&bytes[..], b"\xff"].concat()),
            "model.toml: not UTF-8 from byte ",
        ),
        (
            |version| replaced(version, "model.toml", "format = 1", "format = 9"),
            "model.toml: format is 9: this binary reads format 1",
        ),
        (
            |version| replaced(version, "model.toml", "outputs = 2", "outputs = 3"),
            "model.toml: architecture.outputs is 3, expected 2",
        ),
        (
            |version| replaced(version, "model.toml", "\"positive\"", "\"negative\""),
            "model.toml: labels[1] is \"negative\", as labels[0] is already",
        ),
        (
            |version| rewrite(version, "model.toml", |_| vec![b' '; 2 << 20]),
            "model.toml has 2097152 bytes, expected at most 1048576",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (number, (spoil, expected)) in cases.into_iter().enumerate() {
        let name = format!("case-{number}");
        models::tiny_text(folder.path(), &name, 7);
        let version = folder.path().join(name).join("1");
        spoil(&version);
        let error = started(&version).unwrap_err();
        assert!(error.lines().any(|line| line.starts_with(expected)), "expected {expected:?}: {error}");
    }
}

#[test]
fn all_findings_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "tiny", 7);
    let version: PathBuf = folder.path().join("tiny/1");
    with_tensors(&version, |tensors| drop(tensors.drain(..2)));
    fs::remove_file(version.join("golden.json")).unwrap();
    rewrite(&version, "tokenizer.json", |bytes| [bytes, b" ".to_vec()].concat());
    let error = load(&version).unwrap_err();
    assert_eq!(error.findings.len(), 4, "{error}");
    assert!(error.to_string().contains("tiny/1: weights.safetensors: tensor embedding.weight"), "{error}");
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
