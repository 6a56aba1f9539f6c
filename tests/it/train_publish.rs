//! What a training run leaves: a version that loads and serves, a report, and the same bytes for the same seed.

use std::fs;

use serde_json::Value;

use crate::support::server::sconce;
use crate::support::training::{Workshop, complaint};

fn evaluate(workshop: &Workshop, name: &str) -> Value {
    let output = sconce()
        .arg("evaluate")
        .arg(workshop.model(name))
        .arg("--data")
        .arg(workshop.data())
        .arg("--json")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn text_is_learnt_published_and_evaluated() {
    let workshop = Workshop::text();
    let said = workshop.train("films", &[]);
    let models = workshop.model("films").parent().unwrap().display().to_string();
    assert_eq!(said.lines().last().unwrap(), format!("sconce serve --models {models}"));

    let version = workshop.model("films").join("1");
    for file in
        ["model.toml", "weights.safetensors", "tokenizer.json", "golden.json", "metrics.json", "report.html"]
    {
        assert!(version.join(file).is_file(), "{file}");
    }
    assert!(!workshop.model("films").join(".checkpoint").exists());
    let manifest: toml::Table = fs::read_to_string(version.join("model.toml")).unwrap().parse().unwrap();
    assert_eq!(manifest["training"]["seed"].as_integer(), Some(3));
    assert_eq!(manifest["training"]["recipe"]["optimizer"]["learning_rate"].as_float(), Some(0.02));
    assert_eq!(manifest["training"]["data_sha256"].as_str().unwrap().len(), 64);
    let metrics: Value = serde_json::from_slice(&fs::read(version.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(metrics["history"].as_array().unwrap().len(), 6);
    assert!(fs::read_to_string(version.join("report.html")).unwrap().contains("<svg"));

    let figures = evaluate(&workshop, "films");
    assert!(figures["accuracy"].as_f64().unwrap() > 0.95, "{figures}");
    assert!(figures["macro_f1"].as_f64().unwrap() > 0.95, "{figures}");
    assert_eq!(figures["per_class"].as_array().unwrap().len(), 2);
    let total: i64 = figures["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|cell| cell.as_i64().unwrap())
        .sum();
    assert_eq!(total, 160);
}

#[test]
fn a_report_shows_mistakes_and_not_where_on_the_disk_they_were() {
    let workshop = Workshop::text();
    let folder = workshop.data().parent().unwrap().to_owned();
    // The last row is labelled against what there is to learn.
    let rows = "text\tlabel\na lovely film\tgood\na lovely film , it was awful\tgood\nso lovely\tbad\n";
    fs::write(folder.join("valid.tsv"), rows).unwrap();
    let valid = folder.join("valid.tsv").display().to_string();
    workshop.train("films", &["--valid", &valid]);
    let report = fs::read_to_string(workshop.model("films").join("1/report.html")).unwrap();
    assert!(report.contains("so lovely") && report.contains(">valid.tsv:4<"), "{report}");
    assert!(!report.contains(folder.to_str().unwrap()), "{report}");
}

#[test]
fn pictures_are_learnt_and_evaluated() {
    let workshop = Workshop::image();
    workshop.train("colours", &[]);
    let figures = evaluate(&workshop, "colours");
    assert!(figures["accuracy"].as_f64().unwrap() > 0.95, "{figures}");
    assert_eq!(figures["labels"], serde_json::json!(["blue", "red"]));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    for workshop in [Workshop::text(), Workshop::image()] {
        workshop.train("a", &["--epochs", "2"]);
        // Nor does the number of threads change a byte.
        let alone = workshop.command("b", &["--epochs", "2"]).env("RAYON_NUM_THREADS", "1").output().unwrap();
        complaint(&alone, 0);
        workshop.train("a", &["--epochs", "2", "--seed", "4"]);
        assert!(workshop.weights("a", 1) == workshop.weights("b", 1));
        assert!(workshop.weights("a", 1) != workshop.weights("a", 2));
    }
}

#[test]
fn what_cannot_be_trained_on_is_named_and_leaves_nothing() {
    let workshop = Workshop::text();
    let rows = fs::read_to_string(workshop.data()).unwrap();
    fs::write(workshop.data(), format!("{rows}no label here\n")).unwrap();
    let said = complaint(&workshop.run("films", &[]), 64);
    assert!(said.contains("data.tsv:162: 1 columns, expected 2"), "{said}");
    assert!(!workshop.model("films").exists());

    let output = workshop.run("films", &["--skip-bad-rows", "--epochs", "1"]);
    let said = complaint(&output, 0);
    assert!(said.contains("1 bad rows passed over"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 bad rows passed over"));

    let said = complaint(&workshop.run("../bad name", &[]), 2);
    assert!(said.contains("is not a model name"), "{said}");
    fs::write(workshop.recipe(), "epoch = 3\n[network]\n").unwrap();
    let said = complaint(&workshop.run("films", &[]), 64);
    assert!(said.contains("recipe.toml") && said.contains("is `epochs` meant?"), "{said}");
}

#[test]
fn a_label_that_the_model_does_not_know_is_named() {
    let workshop = Workshop::text();
    workshop.train("films", &["--epochs", "1"]);
    let other = workshop.data().with_file_name("other.tsv");
    fs::write(&other, "text\tlabel\nfine\tgood\nfine\tgod\n").unwrap();
    let mut command = sconce();
    command.arg("evaluate").arg(workshop.model("films")).arg("--data").arg(&other);
    let said = complaint(&command.output().unwrap(), 64);
    assert!(said.contains("other.tsv:3") && said.contains("is \"good\" meant?"), "{said}");
}
