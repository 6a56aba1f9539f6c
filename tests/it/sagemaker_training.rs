//! Amazon `SageMaker`'s training contract, played with the real binary: what it trains is what hosting serves.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::sagemaker::{Job, metric};
use crate::support::server::{Server, sconce};
use crate::support::training::{Workshop, complaint};

/// What a server answers that is given the model as hosting gets it.
async fn hosted_answer(job: &Job, content_type: &str, body: Bytes) -> Value {
    let there = job.hosted();
    let server = Server::start(&there.path().join("model"));
    let client = Client::new(server.address);
    client.until("/ping", |answer| answer.status == 200).await;
    let answer = client.send(Method::POST, "/invocations", Some((content_type, body))).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_trained_tested_and_hosted() {
    let workshop = Workshop::text();
    let job = Job::new(&workshop, "text", &[("epochs", "\"5\""), ("seed", "4")]);
    job.channels(
        &json!({"train": {}, "validation": {}, "test": {"TrainingInputMode": "FastFile"}, "config": {}}),
    );
    for channel in ["validation", "test"] {
        let rows = "text\tlabel\nthe 1 film was lovely\tgood\nit was awful\tbad\na lovely one\tgood\n";
        job.write(&format!("input/data/{channel}/part-0.tsv"), rows);
    }
    let log = job.train();
    for (name, count) in [
        ("epoch", 5),
        ("train:loss", 5),
        ("validation:accuracy", 5),
        ("model:accuracy", 1),
        ("test:accuracy", 1),
    ] {
        assert_eq!(metric(&log, name).len(), count, "{name}:\n{log}");
    }
    assert_eq!(metric(&log, "test:accuracy"), [1.0]);
    assert_eq!(metric(&log, "test:rows"), [3.0]);
    let test: Value = serde_json::from_str(&job.read("output/data/test.json")).unwrap();
    assert_eq!(test["labels"], json!(["bad", "good"]));
    let metrics: Value = serde_json::from_str(&job.read("output/data/metrics.json")).unwrap();
    assert_eq!(metrics["history"].as_array().unwrap().len(), 5);
    assert!(job.read("output/data/report.html").contains("<svg"));

    let left: Vec<_> =
        fs::read_dir(job.path("model/model")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["1"], "the version and nothing else");
    let answer = hosted_answer(&job, "text/plain", Bytes::from_static(b"what a lovely film")).await;
    assert_eq!(answer[0]["label"], "good", "{answer}");

    // It is the model that the same recipe gives without the platform.
    let valid = job.path("input/data/validation/part-0.tsv").display().to_string();
    workshop.train("same", &["--epochs", "5", "--seed", "4", "--valid", &valid]);
    assert!(workshop.weights("same", 1) == job.weights(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_trained_and_hosted() {
    let workshop = Workshop::image();
    let job = Job::new(&workshop, "image", &[("name", "colours"), ("network.dropout", "0.1")]);
    job.train();
    let red = fs::read(job.path("input/data/train/red/00.png")).unwrap();
    let answer = hosted_answer(&job, "image/png", red.into()).await;
    assert_eq!(answer[0]["label"], "red", "{answer}");
    assert!(job.path("model/colours/1/model.toml").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_many_models_takes_a_trained_one_too() {
    let job = Job::new(&Workshop::text(), "text", &[("epochs", "1"), ("name", "films")]);
    job.train();
    let there = job.hosted();
    let nothing = tempfile::tempdir().unwrap();
    let server = Server::start_with(nothing.path(), &["--set", "platform.multi_model=true"]);
    let client = Client::new(server.address);
    client.until("/ping", |answer| answer.status == 200).await;
    let url = there.path().join("model").display().to_string();
    let loaded = client.post_json("/models", &json!({"model_name": "8d5f2cf7b7f9", "url": url})).await;
    assert_eq!(loaded.status, 200, "{}", loaded.json());
    let answer = client.post_json("/models/8d5f2cf7b7f9/invoke", &json!({"inputs": "a lovely film"})).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}

#[test]
fn a_tokenizer_comes_by_the_channel_config() {
    let workshop = Workshop::text();
    let first = Job::new(&workshop, "text", &[("epochs", "1")]);
    first.train();
    let second = Job::new(&workshop, "text", &[("epochs", "1")]);
    let tokenizer = second.path("input/data/config/tokenizer.json");
    let file = tokenizer.display().to_string();
    let said = json!({"task": "text", "epochs": "1", "tokenizer_file": file}).to_string();
    second.write("input/config/hyperparameters.json", said);
    assert!(second.fail().contains("tokenizer.json: No such file"));
    fs::copy(first.path("model/model/1/tokenizer.json"), tokenizer).unwrap();
    fs::remove_file(second.path("output/failure")).unwrap();
    second.train();
    assert!(first.weights(1) == second.weights(1));
}

#[test]
fn a_wrong_hyperparameter_is_told_where_the_platform_reads_it() {
    let said = |pairs: &[(&str, &str)]| {
        let mut said = json!({"task": "text"});
        for (name, value) in pairs {
            said[*name] = json!(value);
        }
        said.to_string()
    };
    let hyperparameters = [
        (json!({}).to_string(), "hyperparameter task is missing: expected \"text\" or \"image\""),
        (said(&[("task", "txt")]), "hyperparameter task = \"txt\": expected \"text\" or \"image\""),
        (
            said(&[("epoch", "3")]),
            "hyperparameter epoch: no key of a recipe for text-classification; is epochs meant?",
        ),
        (
            said(&[("skip_bad_row", "true")]),
            "hyperparameter skip_bad_row: no key of a recipe for text-classification; is skip_bad_rows meant?",
        ),
        (
            said(&[("kind", "adam")]),
            "hyperparameter kind: several keys are called so: network.kind, optimizer.kind",
        ),
        (said(&[("epochs", "three")]), "hyperparameter epochs = \"three\": expected a whole number"),
        (said(&[("epochs", "0")]), "hyperparameter epochs = \"0\": expected 1 to 100,000"),
        (
            said(&[("optimizer.kind", "\"adm\"")]),
            "hyperparameter optimizer.kind = \"\\\"adm\\\"\": expected one of `adam`, `adamw`, `sgd`; is `adam` meant?",
        ),
        (said(&[("hidden_dim", "0")]), "hyperparameter hidden_dim = \"0\": is 0, expected 1 to 16384"),
        (said(&[("name", "../up")]), "hyperparameter name: \"../up\" is not a model name: expected"),
        (
            said(&[("recipe", "other.toml")]),
            "hyperparameter recipe = \"other.toml\": expected a file of the channel config (found: recipe.toml)",
        ),
        (
            said(&[("checkpoint_every", "0")]),
            "hyperparameter checkpoint_every = \"0\": expected a whole number",
        ),
        ("[]".into(), "/opt/ml/input/config/hyperparameters.json: expected an object of hyperparameters"),
    ];
    let workshop = Workshop::text();
    for (said, expected) in hyperparameters {
        let job = Job::new(&workshop, "text", &[]);
        job.write("input/config/hyperparameters.json", said);
        refused(&job, expected);
    }
}

#[test]
fn a_wrong_channel_or_file_is_told_where_the_platform_reads_it() {
    type Spoil = fn(&Job);
    let workshop = Workshop::text();
    let others: [(Spoil, &str); 12] = [
        (
            |job| job.write("input/config/resourceconfig.json", r#"{"hosts": ["algo-1", "algo-2"]}"#),
            "2 hosts (algo-1, algo-2): sconce trains on one\nhint: set ResourceConfig.InstanceCount to 1",
        ),
        (
            |job| job.write("input/config/resourceconfig.json", "{"),
            "/opt/ml/input/config/resourceconfig.json: expected an object",
        ),
        (
            |job| fs::remove_file(job.path("input/config/inputdataconfig.json")).unwrap(),
            "/opt/ml/input/config/inputdataconfig.json: not found, expected the job's channels",
        ),
        (
            |job| job.channels(&json!({"trian": {}})),
            "channel trian: expected train, validation, test or config; is train meant?",
        ),
        (
            |job| job.channels(&json!({"config": {}})),
            "there is no channel train: expected one with the data to train on",
        ),
        (
            |job| job.channels(&json!({"train": {}, "training": {}})),
            "the channels train and training are for the same",
        ),
        (
            |job| job.channels(&json!({"train": {"TrainingInputMode": "Pipe"}})),
            "channel train: TrainingInputMode is \"Pipe\", expected \"File\" or \"FastFile\"",
        ),
        (
            |job| job.channels(&json!({"train": {"RecordWrapperType": "RecordIO"}})),
            "channel train: RecordWrapperType is \"RecordIO\", expected \"None\"",
        ),
        (
            |job| fs::remove_dir_all(job.path("input/data/train")).unwrap(),
            "channel train: there is no folder /opt/ml/input/data/train",
        ),
        (
            |job| fs::remove_file(job.path("input/data/train/data.tsv")).unwrap(),
            "/opt/ml/input/data/train: no .tsv, .csv or .jsonl file of texts in it",
        ),
        (
            |job| job.write("input/data/train/more.tsv", "text\tlabel\nno label\n"),
            "/opt/ml/input/data/train/more.tsv:2: 1 columns, expected 2 as the header has\nhint: the hyperparameter skip_bad_rows = true",
        ),
        (
            |job| job.write("input/data/config/second.toml", ""),
            "channel config: several recipes (recipe.toml, second.toml)\nhint: the hyperparameter recipe says which",
        ),
    ];
    for (spoil, expected) in others {
        let job = Job::new(&workshop, "text", &[]);
        spoil(&job);
        refused(&job, expected);
    }
}

/// The job fails with this beginning of a failure, the same in its log, and leaves no model.
fn refused(job: &Job, expected: &str) {
    let shown = |text: &str| text.replace(&job.path("").display().to_string(), "/opt/ml/");
    let failure = shown(&job.fail());
    assert!(failure.starts_with(expected), "found:    {failure}\nexpected: {expected}");
    assert!(failure.chars().count() <= 1024, "{failure}");
    let log = shown(&complaint(&job.run(), 64));
    assert!(log.contains(expected.lines().next().unwrap()), "{log}");
    assert_eq!(fs::read_dir(job.path("model")).unwrap().count(), 0, "{expected}");
}

#[test]
fn test_data_that_cannot_be_used_cost_no_model() {
    let job = Job::new(&Workshop::text(), "text", &[("epochs", "1"), ("recipe", "recipe.toml")]);
    job.channels(&json!({"training": {}, "testing": {}, "config": {}}));
    fs::rename(job.path("input/data/train/data.tsv"), job.path("input/data/training/data.tsv")).unwrap();
    job.write("input/data/testing/data.tsv", "text\tlabel\nfine\tgod\n");
    let output = job.run();
    let said = complaint(&output, 0);
    assert!(said.contains("the model is not tested") && said.contains("is \"good\" meant?"), "{said}");
    let told = job.read("output/data/test.json");
    assert!(told.contains("data.tsv:2") && !told.contains("--skip"), "{told}");
    assert!(job.path("model/model/1/model.toml").is_file());
}

/// Sends SIGTERM once `reached` holds; returns what the job printed until its end, and how long that took to come.
fn stopped(job: &Job, reached: impl Fn() -> bool) -> (String, Duration) {
    let mut child = job.start();
    let begun = Instant::now();
    while !reached() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the signal");
        assert!(begun.elapsed() < Duration::from_mins(1), "it does not get on");
        std::thread::yield_now();
    }
    let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(sent.success());
    let signalled = Instant::now();
    let output = child.wait_with_output().unwrap();
    complaint(&output, 0);
    (String::from_utf8(output.stdout).unwrap(), signalled.elapsed())
}

fn checkpoints(job: &Job) -> usize {
    let entries = fs::read_dir(job.path("checkpoints")).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("step-")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_a_checkpoint_and_the_best_model_and_the_job_goes_on_elsewhere() {
    let workshop = Workshop::text();
    let settings = [("epochs", "60"), ("checkpoint_every", "1000000")];
    let whole = Job::new(&workshop, "text", &settings);
    whole.train();

    let job = Job::new(&workshop, "text", &settings);
    fs::create_dir(job.path("checkpoints")).unwrap();
    let (log, took) = stopped(&job, || checkpoints(&job) > 1);
    assert!(took < Duration::from_mins(2), "{took:?}");
    assert!(log.contains("asked to end in epoch"), "{log}");
    assert_eq!(metric(&log, "model:accuracy").len(), 1);
    let manifest: toml::Table = job.read("model/model/1/model.toml").parse().unwrap();
    let (best, epochs) = (&manifest["training"]["best_epoch"], &manifest["training"]["epochs"]);
    assert!(best.as_integer().unwrap() >= 1 && best.as_integer() <= epochs.as_integer(), "{manifest}");
    let answer = hosted_answer(&job, "text/plain", Bytes::from_static(b"what a lovely film")).await;
    assert_eq!(answer.as_array().unwrap().len(), 2);

    let seen = metric(&log, "epoch").len();
    job.moved();
    let log = job.train();
    assert_eq!(metric(&log, "epoch").len(), 60 - seen, "epochs are not trained twice");
    assert!(job.weights(1) == whole.weights(1));
    // Killed while it published, it has only that to do.
    job.moved();
    assert_eq!(metric(&job.train(), "epoch"), [0.0; 0]);
    assert!(job.weights(1) == whole.weights(1));

    job.write("input/config/hyperparameters.json", json!({"task": "text", "epochs": "61"}).to_string());
    let failure = job.fail();
    assert!(failure.contains("recipe.epochs: the checkpoint has 60, now 61"), "{failure}");
    assert!(failure.contains("CheckpointConfig.S3Uri"), "{failure}");
}

#[test]
fn a_stop_in_the_first_epoch_leaves_the_weights_as_they_were() {
    let workshop = Workshop::text();
    let rows = fs::read_to_string(workshop.data()).unwrap();
    let job = Job::new(&workshop, "text", &[("epochs", "9"), ("batch_size", "1"), ("checkpoint_every", "1")]);
    // An epoch of many thousand steps, each with its checkpoint.
    job.write("input/data/train/data.tsv", format!("{rows}{}", rows.replace("text\tlabel\n", "").repeat(40)));
    fs::create_dir(job.path("checkpoints")).unwrap();
    let (log, _) = stopped(&job, || checkpoints(&job) > 0);
    assert!(log.contains("asked to end in epoch 1 of 9") && log.contains("no epoch has ended"), "{log}");
    let checked = sconce().arg("check").arg(job.path("model/model/1")).status().unwrap();
    assert!(checked.success());
}

#[test]
fn without_a_place_for_checkpoints_a_stop_leaves_the_model_alone() {
    let job = Job::new(&Workshop::text(), "text", &[("epochs", "1000"), ("patience", "1000")]);
    stopped(&job, || fs::read_dir(job.path("model/model/.checkpoint")).is_ok_and(|found| found.count() > 1));
    let left: Vec<_> =
        fs::read_dir(job.path("model/model")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["1"]);
}

#[test]
fn with_arguments_or_without_the_platform_nothing_changes() {
    let job = Job::new(&Workshop::text(), "text", &[]);
    let said = complaint(&job.command().arg("text").output().unwrap(), 2);
    assert!(said.contains("--data <PATH>"), "{said}");
    let said = complaint(&job.command().env("SCONCE_TRAIN_EPOCHS", "3").output().unwrap(), 64);
    assert!(
        said.contains("SCONCE_TRAIN_EPOCHS") && job.read("output/failure").contains("hyperparameter"),
        "{said}"
    );
    fs::remove_file(job.path("output/failure")).unwrap();
    let said = complaint(&sconce().arg("train").output().unwrap(), 2);
    assert!(said.contains("<text|image>"), "{said}");
    assert!(!job.path("output/failure").exists());
}
