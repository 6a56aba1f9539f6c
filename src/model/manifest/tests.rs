//! Manifests as they are written, and every mistake in one.

use super::*;

const GOOD: &str = r#"
format = 1
task = "text-classification"
objective = "multi-class"
labels = ["bad", "good", "so-so"]
[architecture]
kind = "lstm-classifier"
vocabulary = 10
embedding_dim = 4
hidden_dim = 4
outputs = 3
[input.text]
tokens_max = 64
[files."weights.safetensors"]
bytes = 100
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
[files."golden.json"]
bytes = 100
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
[files."tokenizer.json"]
bytes = 100
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
[training]
seed = 7
"#;

#[test]
fn a_precision_is_f32_unless_it_says_otherwise_and_stays_what_it_was() {
    let manifest = Manifest::parse(GOOD).unwrap();
    assert_eq!(manifest.precision, Precision::F32);
    assert!(!toml::to_string(&manifest).unwrap().contains("precision"));
    let int16 = GOOD.replacen("format = 1", "format = 1\nprecision = \"int16\"", 1);
    let manifest = Manifest::parse(&int16).unwrap();
    assert_eq!(manifest.precision, Precision::Int16);
    assert_eq!(Manifest::parse(&toml::to_string(&manifest).unwrap()).unwrap(), manifest);
    let cases = [
        ("bfloat16", "line 3: precision: bfloat16 is no precision, expected \"f32\", \"bf16\" or \"int16\""),
        ("int8", "line 3: precision: int8 is no precision, expected \"f32\", \"bf16\" or \"int16\""),
    ];
    for (name, expected) in cases {
        let error = Manifest::parse(&int16.replacen("int16", name, 1)).unwrap_err();
        assert!(error[0].starts_with(expected), "{error:?}");
    }
}

fn said(from: &str, to: &str) -> Vec<String> {
    let text = GOOD.replacen(from, to, 1);
    assert_ne!(text, GOOD, "{from} is not in the manifest");
    Manifest::parse(&text).unwrap_err()
}

#[test]
fn a_manifest_is_written_as_it_reads() {
    let manifest = Manifest::parse(GOOD).unwrap();
    assert_eq!(manifest.labels.len(), 3);
    let written = toml::to_string(&manifest).unwrap();
    assert_eq!(Manifest::parse(&written).unwrap(), manifest);
    assert!(!written.contains("description"), "empty fields are left out");
}

#[test]
fn every_mistake_names_its_key_and_what_was_expected() {
    let cases = [
        ("format = 1", "format = 2", "format is 2: this binary reads format 1"),
        ("format = 1", "", "format is missing, expected 1"),
        ("format = 1", "format = '1'", "format is no whole number, expected 1"),
        ("labels = [\"bad\", ", "labels = [\"good\", ", "labels[1] is \"good\", as labels[0] is already"),
        ("\"so-so\"", "\" \"", "labels[2] is empty"),
        (
            "outputs = 3",
            "outputs = 2",
            "architecture.outputs is 2, expected 3 for objective multi-class and 3 labels",
        ),
        ("hidden_dim = 4", "hidden_dim = 0", "architecture.hidden_dim: is 0, expected 1 to 16384"),
        (
            "text-class",
            "image-class",
            "task is image-classification, expected text-classification for architecture lstm-classifier",
        ),
        ("tokens_max = 64", "tokens_max = 0", "input.text.tokens_max is 0, expected 1 to 16384"),
        ("[files.\"golden.json\"]", "[files.\"../../x\"]", "files has no entry for golden.json"),
        (
            "bytes = 100",
            "bytes = 5000000000",
            "files.\"weights.safetensors\".bytes is 5000000000, expected at most 4294967296",
        ),
        (
            "sha256 = \"ba",
            "sha256 = \"BA",
            "files.\"weights.safetensors\".sha256 is not 64 lower-case hexadecimal digits",
        ),
    ];
    for (from, to, expected) in cases {
        let found = said(from, to);
        assert!(found.iter().any(|line| line == expected), "{from} -> {to}: {found:?}");
    }
}

#[test]
fn mistakes_of_form_name_their_line() {
    let cases = [
        ("labels = [", "labels = [[", "line 6: "),
        ("objective = \"multi-class\"", "objective = \"regression\"", "line 4: objective: unknown variant"),
        ("tokens_max = 64", "tokens_max = 64\nlanguage = 'en'", "unknown field `language`"),
        ("bytes = 100", "bytes = -1", "files.weights.safetensors.bytes"),
    ];
    for (from, to, expected) in cases {
        let found = said(from, to).join(" | ");
        assert!(found.contains(expected), "{from} -> {to}: {found}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let mut manifest = Manifest::parse(GOOD).unwrap();
    manifest.objective = Objective::Binary;
    manifest.task = Task::ImageClassification;
    manifest.files.clear();
    let problems = manifest.problems();
    assert_eq!(problems.len(), 6, "{problems:#?}");
}

#[test]
fn a_picture_is_of_the_networks_size() {
    let mut manifest = Manifest::parse(GOOD).unwrap();
    manifest.task = Task::ImageClassification;
    manifest.architecture = Architecture::ConvClassifier(crate::nn::conv::Config::article(3));
    manifest.files.remove("tokenizer.json");
    let problems = manifest.problems();
    assert!(problems[0].starts_with("input is of text, expected [input.picture]"), "{problems:?}");
    let mut picture = Preparation {
        channels: 3,
        height: 14,
        width: 14,
        fit: crate::image::Fit::Stretch,
        mean: vec![0.5; 3],
        std: vec![0.5; 3],
    };
    manifest.input = InputPreparation::Picture(picture.clone());
    assert_eq!(manifest.problems(), [""; 0]);
    manifest.precision = Precision::Int16;
    assert!(manifest.problems()[0].starts_with("precision is int16, expected f32 for architecture conv"));
    manifest.precision = Precision::F32;
    (picture.width, picture.std) = (15, vec![0.0; 3]);
    manifest.input = InputPreparation::Picture(picture);
    let expected = [
        "input.picture.std holds 0, expected numbers above 0",
        "input.picture.width is 15, expected 14 as architecture.width",
    ];
    assert_eq!(manifest.problems(), expected);
}
