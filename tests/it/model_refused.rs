//! Every way that a version directory can be wrong is refused before it answers, and named: file, tensor or key,
//! what was found and what was expected.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sconce::engine::DeviceChoice;
use sconce::model::load;
use sconce::pipeline::{Config, Pipeline};
use sha2::{Digest as _, Sha256};

use crate::support::models;

const WEIGHTS: &str = "weights.safetensors";
const GOLDEN: &str = "golden.json";
const TOKENIZER: &str = "tokenizer.json";
const MANIFEST: &str = "model.toml";

/// What is done to a good version.
type Spoil = fn(&Path);

/// Each spoilt version must be refused with a line that begins as expected.
fn assert_refused(cases: &[(Spoil, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    for (number, (spoil, expected)) in cases.iter().enumerate() {
        let name = format!("case-{number}");
        models::tiny_text(folder.path(), &name, 7);
        let version = folder.path().join(name).join("1");
        start(&version).unwrap();
        spoil(&version);
        let said = start(&version).unwrap_err();
        assert!(said.iter().any(|line| line.starts_with(expected)), "expected {expected:?}: {said:#?}");
    }
}

/// Loads and starts the version, as the server does.
fn start(version: &Path) -> Result<(), Vec<String>> {
    let model = load(version).map_err(|error| error.findings)?;
    let config = Config { device: DeviceChoice::Cpu, engine_rows: Some(4), ..Config::default() };
    Pipeline::start("tiny", model, &config).map_err(|error| vec![error.to_string()])?;
    Ok(())
}

/// Makes the manifest's size and digest of a file right again.
fn with_digest_made_right(version: &Path, file: &str) {
    let bytes = fs::read(version.join(file)).unwrap();
    let manifest = fs::read_to_string(version.join("model.toml")).unwrap();
    let mut manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let entry = manifest["files"][file].as_table_mut().unwrap();
    entry.insert("bytes".into(), i64::try_from(bytes.len()).unwrap().into());
    entry.insert("sha256".into(), format!("{:x}", Sha256::digest(&bytes)).into());
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

fn with_golden(version: &Path, samples: &str) {
    rewrite(version, GOLDEN, |_| samples.as_bytes().to_vec());
    with_digest_made_right(version, GOLDEN);
}

#[test]
fn a_weights_file_that_is_not_the_published_one() {
    assert_refused(&[
        (
            |version| rewrite(version, WEIGHTS, |bytes| [&bytes[..bytes.len() - 1], &[0x55]].concat()),
            "weights.safetensors has sha256 ",
        ),
        (
            |version| rewrite(version, WEIGHTS, |bytes| bytes[..bytes.len() - 1].to_vec()),
            "weights.safetensors has 1",
        ),
        (
            |version| rewrite(version, WEIGHTS, |bytes| [bytes, vec![0; 2 << 20]].concat()),
            "weights.safetensors has 2",
        ),
        (
            |version| {
                fs::rename(version.join(WEIGHTS), version.join("elsewhere")).unwrap();
                symlink("elsewhere", version.join(WEIGHTS)).unwrap();
            },
            "weights.safetensors is a symbolic link, expected a file",
        ),
        (|version| fs::remove_file(version.join(WEIGHTS)).unwrap(), "weights.safetensors is missing"),
    ]);
}

#[test]
fn tensors_that_are_not_the_architectures() {
    assert_refused(&[
        (
            |version| {
                rewrite(version, WEIGHTS, |bytes| [&u64::MAX.to_le_bytes(), &bytes[8..]].concat());
                with_digest_made_right(version, WEIGHTS);
            },
            "weights.safetensors: the header says it has 18446744073709551615 bytes, expected at most 1048576",
        ),
        (
            |version| with_tensors(version, |tensors| drop(tensors.remove(1))),
            "weights.safetensors: tensor fc.bias is missing (expected shape [2])",
        ),
        (
            |version| {
                with_tensors(version, |tensors| {
                    tensors.push(("stray".into(), Dtype::F32, vec![1], vec![0; 4]));
                });
            },
            "weights.safetensors: tensor stray (shape [1]) has no place in this architecture",
        ),
        (
            |version| {
                with_tensors(version, |tensors| tensors[1].3[4..].copy_from_slice(&f32::NAN.to_le_bytes()));
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
    ]);
}

#[test]
fn golden_samples_that_are_not_the_models() {
    assert_refused(&[
        (
            |version| with_golden(version, r#"[{"input": {"text": "x"}, "logits": [9.0, 9.0]}]"#),
            "golden sample 0: logit 0 is ",
        ),
        (
            |version| with_golden(version, r#"[{"input": {"picture": "AAAA"}, "logits": [9.0, 9.0]}]"#),
            "golden.json: sample 0 is a picture, expected a text",
        ),
        (
            |version| with_golden(version, r#"[{"input": {"text": "x"}, "logits": [1.0]}]"#),
            "golden.json: sample 0 has 1 logits, expected 2",
        ),
        (
            |version| with_golden(version, r#"[{"input": {"text": "x"}, "logits": [0, 1e99]}]"#),
            "golden.json: sample 0 has no finite number at logits[1]",
        ),
        (
            |version| with_golden(version, r#"[{"input": {"text": " "}, "logits": [0, 1]}]"#),
            "golden sample 0: the text is empty",
        ),
        (|version| with_golden(version, "[]"), "golden.json has 0 samples, expected 1 to 64"),
        (|version| with_golden(version, "[{}]"), "golden.json: [0]: missing field `input`"),
        (|version| fs::remove_file(version.join(GOLDEN)).unwrap(), "golden.json is missing"),
    ]);
}

#[test]
fn a_tokenizer_that_is_not_the_models() {
    assert_refused(&[
        (
            |version| {
                rewrite(version, TOKENIZER, |_| b"{}".to_vec());
                with_digest_made_right(version, TOKENIZER);
            },
            "tokenizer.json: not a Hugging Face tokenizer",
        ),
        (
            |version| {
                replaced(version, TOKENIZER, "\"[UNK]\": 1,", "\"[UNK]\": 1, \"zzz\": 500,");
                with_digest_made_right(version, TOKENIZER);
            },
            "tokenizer.json has token ids below 501, expected below ",
        ),
    ]);
}

#[test]
fn a_manifest_that_does_not_hold_together() {
    assert_refused(&[
        (|version| fs::remove_file(version.join(MANIFEST)).unwrap(), "model.toml is missing"),
        (
            |version| rewrite(version, MANIFEST, |bytes| [&bytes[..], b"\xff"].concat()),
            "model.toml: not UTF-8 from byte ",
        ),
        (
            |version| replaced(version, MANIFEST, "format = 1", "format = 9"),
            "model.toml: format is 9: this binary reads format 1",
        ),
        (
            |version| replaced(version, MANIFEST, "outputs = 2", "outputs = 3"),
            "model.toml: architecture.outputs is 3, expected 2",
        ),
        (
            |version| replaced(version, MANIFEST, "\"positive\"", "\"negative\""),
            "model.toml: labels[1] is \"negative\", as labels[0] is already",
        ),
        (
            |version| rewrite(version, MANIFEST, |_| vec![b' '; 2 << 20]),
            "model.toml has 2097152 bytes, expected at most 1048576",
        ),
    ]);
}

#[test]
fn all_findings_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "tiny", 7);
    let version = folder.path().join("tiny/1");
    with_tensors(&version, |tensors| drop(tensors.drain(..2)));
    fs::remove_file(version.join("golden.json")).unwrap();
    rewrite(&version, "tokenizer.json", |bytes| [bytes, b" ".to_vec()].concat());
    let error = load(&version).unwrap_err();
    assert_eq!(error.findings.len(), 4, "{error}");
    assert!(error.to_string().contains("tiny/1: weights.safetensors: tensor embedding.weight"), "{error}");
}
