//! `sconce bench engine` on small models: what it measures, and that its logits are those of `sconce predict`.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::server::sconce;
use crate::support::{models, pictures};

/// A folder with the models `films` (text) and `shapes` (pictures).
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "films", 1);
    models::tiny_image(folder.path(), "shapes", 2);
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    sconce().args(arguments).current_dir(folder).output().unwrap()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn engines_of_both_kinds_are_measured() {
    let folder = folder();
    let short = ["--seconds", "0.05", "--parts", "--json"];
    for (model, units, per_row, engines) in [("films", "tokens", 64.0, 2), ("shapes", "pixels", 64.0, 2)] {
        let arguments = ["bench", "engine", model, "--batch", "16", "--threads", "2"];
        let report = json(folder.path(), &[&arguments[..], &short].concat());
        assert_eq!((&report["model"], &report["units"]), (&format!("{model}/1").into(), &units.into()));
        assert_eq!(
            (report["units_per_row"].as_f64(), report["engines"].as_u64()),
            (Some(per_row), Some(engines))
        );
        let figures = [
            "/rows_per_second",
            "/units_per_second",
            "/ms_per_batch/min",
            "/ms_per_batch/p50",
            "/ms_per_batch/p99",
        ];
        let parts = [
            "/share/gflop_per_row",
            "/share/gflops_peak",
            "/share/of_peak",
            "/parts/prepare_us/mean",
            "/parts/present_us/mean",
        ];
        for figure in figures.into_iter().chain(parts) {
            assert!(report.pointer(figure).unwrap().as_f64().unwrap() > 0.0, "{figure}: {report}");
        }
    }
}

#[test]
fn answers_are_the_logits_behind_what_predict_says() {
    let folder = folder();
    let texts = ["a good film", "not good , not bad", "the best thing in years !"];
    let lines: Vec<String> = texts.iter().map(|text| format!("{text:?}\n")).collect();
    std::fs::write(folder.path().join("rows"), lines.concat()).unwrap();
    let ask = ["bench", "engine", "films", "--inputs", "rows", "--answers", "--batch"];
    let found = json(folder.path(), &[&ask[..], &["2"]].concat());
    assert_eq!(found, json(folder.path(), &[&ask[..], &["1"]].concat()), "the same in any company");
    let answers = found["answers"].as_array().unwrap();
    assert_eq!(answers.len(), texts.len());
    for (text, logits) in texts.iter().zip(answers) {
        let logits: Vec<f64> =
            logits.as_array().unwrap().iter().map(|logit| logit.as_f64().unwrap()).collect();
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        let predicted = json(folder.path(), &["predict", "films", text, "--json"]);
        for (label, logit) in ["negative", "positive"].into_iter().zip(&logits) {
            let predictions = predicted["predictions"].as_array().unwrap();
            let score =
                predictions.iter().find(|found| found["label"] == label).unwrap()["score"].as_f64().unwrap();
            assert!((logit.exp() / sum - score).abs() < 1e-6, "{text}: {logits:?} {predicted}");
        }
    }
}

#[test]
fn pictures_are_prepared_or_given_as_pixels() {
    let folder = folder();
    std::fs::write(folder.path().join("a.png"), pictures::png(3, 30, 20)).unwrap();
    let pixels = vec!["0.5"; 3 * 8 * 8].join(",");
    let rows = format!("{{\"path\": \"a.png\"}}\n{{\"pixels\": [{pixels}]}}\n");
    std::fs::write(folder.path().join("rows"), rows).unwrap();
    let found = json(folder.path(), &["bench", "engine", "shapes/1", "--inputs", "rows", "--answers"]);
    let lengths: Vec<usize> =
        found["answers"].as_array().unwrap().iter().map(|row| row.as_array().unwrap().len()).collect();
    assert_eq!(lengths, [3, 3]);
    assert_ne!(found["answers"][0], found["answers"][1]);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let folder = folder();
    std::fs::write(folder.path().join("rows"), "{\"tokens\": [1]}\n{\"tokens\": [100000]}\n").unwrap();
    for (arguments, code, expected) in [
        (&["films", "--batch", "0"][..], 2, "expected a whole number from 1"),
        (&["films", "--batch", "2", "--threads", "3", "--engines", "2"], 2, "expected a multiple"),
        (&["films", "--inputs", "rows"], 64, "rows: line 2: token id 100000"),
        (&["flims"], 64, "did you mean"),
    ] {
        let output = run(folder.path(), &[&["bench", "engine"][..], arguments].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {stderr}");
        assert!(stderr.contains(expected) && output.stdout.is_empty(), "{arguments:?} {stderr}");
    }
}
