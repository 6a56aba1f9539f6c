//! The README's commands, run as they are printed, give the answers that are printed below them.
//!
//! A ```` ```console ```` block holds commands after `$ ` and their output. Without `SCONCE_README=whole` the binary
//! that this test was built with stands in for `cargo run --release --`, on a port of its own; with it (as in
//! `.ci/run`) every command runs to the letter, on the README's port.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::server::sconce;

const FIRST_COMMAND: &str = "cargo run --release -- serve";
const ADDRESS: &str = "localhost:8080";
/// Scores move in their last digits from one processor to another.
const TOLERANCE: f64 = 2e-3;

#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    output: String,
}

/// The steps of all console blocks; a command goes on after a line that ends in a backslash.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    let mut lines: VecDeque<&str> = readme.lines().collect();
    while let Some(line) = lines.pop_front() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            let mut command = command.to_owned();
            while command.ends_with('\\') {
                command.push('\n');
                command.push_str(lines.pop_front().unwrap_or_default());
            }
            steps.push(Step { command, output: String::new() });
        } else if let (true, Some(step)) = (inside, steps.last_mut()) {
            step.output.push_str(line);
            step.output.push('\n');
        }
    }
    steps
}

/// Numbers apart from words, so that scores can be compared as numbers.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut number = None;
    for c in text.trim().chars() {
        let is_number = c.is_ascii_digit() || (c == '.' && number == Some(true));
        if number == Some(is_number) {
            pieces.last_mut().unwrap().push(c);
        } else {
            pieces.push(c.to_string());
            number = Some(is_number);
        }
    }
    pieces
}

/// Whether the output is the printed one, scores within the tolerance. A line `…` stands for any lines.
fn matches(found: &str, printed: &str) -> bool {
    if let Some((before, after)) = printed.split_once("…\n") {
        let lines: Vec<&str> = found.lines().collect();
        let (head, tail) = (before.lines().count(), after.lines().count());
        return lines.len() >= head + tail
            && matches(&lines[..head].join("\n"), before)
            && matches(&lines[lines.len() - tail..].join("\n"), after);
    }
    let (found, printed) = (pieces(found), pieces(printed));
    found.len() == printed.len()
        && found.iter().zip(&printed).all(|(found, printed)| {
            found == printed
                || match (found.parse::<f64>(), printed.parse::<f64>()) {
                    (Ok(left), Ok(right)) => {
                        (found.contains('.') || printed.contains('.')) && (left - right).abs() <= TOLERANCE
                    }
                    _ => false,
                }
        })
}

/// The README's server, ended with everything it started.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(whole: bool) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = if whole {
            let mut command = Command::new("sh");
            // The server refuses variables of its own prefix that it does not know.
            command.env_remove("SCONCE_README");
            command.args(["-c", &format!("exec {FIRST_COMMAND}")]);
            command
        } else {
            let mut command = sconce();
            command.args(["serve", "--port", "0"]);
            command
        };
        let mut child =
            command.current_dir(root).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap_or_default().to_owned();
        let running = Self { child, address };
        assert!(!running.address.is_empty(), "the first command printed {line:?}");
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_give_its_answers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let whole = std::env::var("SCONCE_README").is_ok_and(|value| value == "whole");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let steps = steps(&readme);
    assert_eq!(steps[0].command, FIRST_COMMAND);
    assert_eq!(steps[1].command, "cargo test");
    let asks = steps.iter().filter(|step| step.command.starts_with("curl ")).count();
    assert!(asks >= 2, "one sentence and one picture");

    let server = tokio::task::spawn_blocking(move || Running::start(whole)).await.unwrap();
    crate::support::client::Client::new(server.address.parse().unwrap()).ready().await;
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_sconce"));
    let search = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for step in steps.iter().skip(2) {
        let command =
            if whole { step.command.clone() } else { step.command.replace(ADDRESS, &server.address) };
        // What a command writes goes to a folder of its own; what it reads is the repository.
        let command = command.replace("/tmp/", &format!("{}/", folder.path().display()));
        let output = Command::new("sh")
            .env_remove("SCONCE_README")
            .args(["-c", &command])
            .current_dir(root)
            .env("PATH", &search)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let found = String::from_utf8_lossy(&output.stdout)
            .replace(&format!("{}/", folder.path().display()), "/tmp/");
        println!("$ {}\n{found}", step.command);
        assert!(
            matches(&found, &step.output),
            "$ {}\nprinted in the README:\n{}\nfound:\n{found}\nstandard error:\n{}",
            step.command,
            step.output,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_readme_reader_sees_commands_and_output() {
    let text = "a\n```console\n$ one \\\n  two\nout\n$ three\n```\n```sh\n$ no\n```\n";
    let command = "one \\\n  two".to_owned();
    assert_eq!(
        steps(text),
        [Step { command, output: "out\n".into() }, Step { command: "three".into(), output: String::new() }]
    );
}

#[test]
fn answers_are_compared_as_numbers_where_they_are_numbers() {
    assert!(matches("{\"score\":0.98761}", "{\"score\":0.98759}\n"));
    assert!(!matches("{\"score\":0.98}", "{\"score\":0.97}\n"));
    assert!(!matches("{\"version\":\"1\"}", "{\"version\":\"2\"}\n"));
    assert!(!matches("positive", "negative\n"));
    assert!(matches("first\nx\ny\nlast", "first\n…\nlast\n"));
    assert!(!matches("first\nx\ny\nlost", "first\n…\nlast\n"));
}
