//! `sconce import`, `predict`, `check` and `serve` on models on disk: what they print, and their exit codes.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::support::models;
use crate::support::server::sconce;

/// An empty folder to run in.
struct Place {
    folder: tempfile::TempDir,
}

/// What a run printed, and its exit code.
#[derive(Debug)]
struct Said {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
    }
}

impl Place {
    /// A folder with the models `films` (text) and `shapes` (pictures) under `models`.
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        models::tiny_text(&place.path("models"), "films", 1);
        models::tiny_image(&place.path("models"), "shapes", 2);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Said {
        sconce().args(arguments).current_dir(self.folder.path()).output().unwrap().into()
    }

    /// A run that is given standard input.
    fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = sconce();
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }
}

fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn predict_answers_every_input_in_its_place() {
    let place = Place::new();
    let said = place.run(&["predict", "models/films", "a good film", " ", "a bad film"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines[0], "a good film");
    assert!(lines[4].starts_with("  error: the text is empty"), "{lines:?}");
    assert_eq!(lines[5], "a bad film");
    assert_eq!(lines.len(), 8);
    assert!(said.stderr.contains("1 input has no answer"));
}

#[test]
fn predict_reads_json_lines_and_answers_in_json() {
    let place = Place::new();
    place.write("film.txt", "a good film");
    let input = "\"a good film\"\n{\"text\": \"a good film\"}\n{\"path\": \"film.txt\"}\n{\"x\": 1}\n{\"input\": \"a good film\"}\n";
    let said = place.run_with(&["predict", "models/films/1", "-", "--json", "--top-k", "1"], input);
    assert_eq!(said.code, Some(1), "{said:?}");
    let lines = json_lines(&said.stdout);
    assert_eq!(lines.len(), 5);
    for same in [1, 2, 4] {
        assert_eq!(lines[same]["predictions"], lines[0]["predictions"]);
    }
    assert_eq!(lines[0]["predictions"].as_array().unwrap().len(), 1);
    assert!(lines[3]["error"].as_str().unwrap().starts_with("expected a JSON string"));
    let empty = place.run_with(&["predict", "models/films", "-"], "");
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), ""));
}

#[test]
fn predict_takes_pictures_by_path() {
    let place = Place::new();
    place.write("a.png", crate::support::pictures::png(3, 30, 20));
    let said = place.run(&["predict", "models/shapes", "a.png", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let scores: Vec<f64> = json_lines(&said.stdout)[0]["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["score"].as_f64().unwrap())
        .collect();
    assert_eq!(scores.len(), 3);
    assert!(scores.is_sorted_by(|left, right| left >= right), "{scores:?}");
    assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-5);
}

#[test]
fn predict_names_the_model_that_may_be_meant() {
    let said = Place::new().run(&["predict", "models/flims", "x"]);
    assert_eq!(said.code, Some(64));
    assert!(said.stderr.contains("did you mean models/films?"), "{}", said.stderr);
}

#[test]
fn check_says_what_is_well_and_what_is_wrong() {
    let place = Place::new();
    let said = place.run(&["check"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let expected = "ok     models/films/1  text-classification, lstm-classifier, 2 labels\n\
                    ok     models/shapes/1  image-classification, conv-classifier, 3 labels\n";
    assert_eq!(said.stdout, expected);
    fs::remove_file(place.path("models/films/1/tokenizer.json")).unwrap();
    let said = place.run(&["check", "models"]);
    assert_eq!(said.code, Some(64));
    assert!(said.stdout.starts_with("wrong  models/films/1\n       tokenizer.json"), "{}", said.stdout);
    assert!(said.stdout.contains("\nok     models/shapes/1"), "{}", said.stdout);
    assert!(said.stderr.contains("1 of 2 versions cannot be served"));
    assert_eq!(place.run(&["check", "models/shapes/1"]).code, Some(0));
    assert_eq!(place.run(&["check", "nowhere"]).code, Some(64));
}

#[test]
fn check_asks_the_golden_samples() {
    let place = Place::new();
    let mut draft = models::text_draft(7);
    draft.golden[0].logits[0] += 1.0;
    sconce::model::publish(&place.path("models/films"), &draft).unwrap();
    let said = place.run(&["check", "models/films"]);
    assert_eq!(said.code, Some(64));
    assert!(said.stdout.contains("ok     models/films/1"), "{}", said.stdout);
    assert!(said.stdout.contains("wrong  models/films/2\n       "), "{}", said.stdout);
    assert!(said.stdout.contains("golden"), "{}", said.stdout);
}

/// Weights that PyTorch saved, of `tests/fixtures/parity`.
fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(name);
    path.to_str().unwrap().to_owned()
}

#[test]
fn imported_weights_answer() {
    let place = Place::new();
    place.write("digits.txt", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let weights = fixture("article-conv.pt");
    let import = ["import", "--weights", &weights, "--labels", "digits.txt", "--out", "models/digits"];
    let said = place.run(&[&import[..], &["--set", "preset=article"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout, "imported models/digits/1\nsconce serve --models models\n");
    assert!(said.stderr.contains("kind = \"conv-classifier\""), "{}", said.stderr);
    assert_eq!(place.run(&["check", "models/digits"]).code, Some(0));

    let tokenizer = place.path("models/films/1/tokenizer.json");
    place.write("labels.json", "[\"no\", \"yes\"]");
    let weights = fixture("article-lstm.pt");
    let import = ["import", "--weights", &weights, "--labels", "labels.json", "--out", "models/reviews"];
    let said = place.run(&[&import[..], &["--tokenizer", tokenizer.to_str().unwrap()]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = place.run(&["predict", "models/reviews", "a good film", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(json_lines(&said.stdout)[0]["predictions"].as_array().unwrap().len(), 2);
}

#[test]
fn an_import_that_cannot_be_says_what_to_do() {
    let place = Place::new();
    place.write("two.txt", "no\nyes\n");
    let (conv, lstm) = (fixture("article-conv.pt"), fixture("article-lstm.pt"));
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--weights", &lstm, "--out", "models/x"], 2, "give --tokenizer tokenizer.json"),
        (
            &["--weights", &conv, "--out", "models/x", "--set", "preset=article"],
            64,
            "2 labels for 10 outputs",
        ),
        (&["--weights", "two.txt", "--out", "models/x"], 64, "two.txt: "),
        (&["--weights", &lstm, "--out", "models/a b"], 2, "is not a model name"),
        (&["--weights", &lstm, "--out", "models/x", "--set", "poling=mean"], 64, "did you mean \"pooling\"?"),
        (&["--weights", &lstm, "--out", "models/x", "--set", "objective=x"], 2, "expected binary"),
    ];
    for (arguments, code, expected) in cases {
        let said = place.run(&[&["import", "--labels", "two.txt"], *arguments].concat());
        assert_eq!(said.code, Some(*code), "{arguments:?} {said:?}");
        assert!(said.stderr.contains(expected), "{arguments:?} {said:?}");
        assert!(said.stdout.is_empty());
    }
    assert!(!place.path("models/x").exists(), "nothing is left of an import that failed");
}

#[test]
fn a_server_that_cannot_start_says_what_to_do() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = place.run(&["serve", "--port", &port]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains(&port) && said.stderr.contains("--port 0"), "{}", said.stderr);
    let said = place.run(&["serve", "--port", "0", "--models", "nowhere"]);
    assert_eq!(said.code, Some(64), "{said:?}");
    assert!(said.stderr.contains("nowhere") && said.stderr.contains("--models DIR"), "{}", said.stderr);
    let said = place.run(&["serve", "--set", "http.prot=1", "--set", "log.format=xml"]);
    assert_eq!(said.code, Some(64), "{said:?}");
    assert!(said.stderr.contains("http.prot") && said.stderr.contains("log.format"), "{}", said.stderr);
    assert!(said.stdout.is_empty());
}

#[test]
fn the_document_of_the_http_interface_is_printed() {
    let said = Place::new().run(&["openapi"]);
    assert_eq!(said.code, Some(0));
    assert!(said.stdout.starts_with("openapi: ") && said.stdout.contains("/v1/text/classify"), "{said:?}");
}
