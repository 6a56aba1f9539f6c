//! `sconce config`: what is in effect, where it came from, and what is said of mistakes.

use std::fs;
use std::process::{Command, Output};

use crate::support::server::sconce;

/// Runs `sconce config` in an empty folder that has this `sconce.toml`, if any.
fn config(file: Option<&str>, prepare: impl FnOnce(&mut Command)) -> Output {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = file {
        fs::write(folder.path().join("sconce.toml"), text).unwrap();
    }
    let mut command = sconce();
    command.arg("config").current_dir(folder.path());
    prepare(&mut command);
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_defaults() {
    insta::assert_snapshot!(stdout(&config(None, |_| {})));
}

#[test]
fn every_origin() {
    let file = "[http]\nport = 9000\n\n[model.sentiment]\nversions = [1, 3]\n";
    let output = config(Some(file), |command| {
        command.env("SCONCE_HTTP__HOST", "0.0.0.0").args(["--models", "x", "--set", "log.format=json"]);
    });
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn what_is_printed_is_a_file_of_the_same_meaning() {
    let first = stdout(&config(None, |command| {
        command.args(["--port", "0", "--set", "model.x.versions=1,2"]);
    }));
    let second = stdout(&config(Some(&first), |_| {}));
    let settings = |text: &str| {
        text.lines().map(|line| line.split("  # ").next().unwrap().trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(settings(&first), settings(&second));
}

#[test]
fn json_has_the_value_and_the_origin_of_every_key() {
    let output = config(Some("[http]\nport = 9000\n"), |command| {
        command.arg("--json");
    });
    let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let port = document.as_array().unwrap().iter().find(|entry| entry["key"] == "http.port").unwrap();
    assert_eq!(
        *port,
        serde_json::json!({
            "key": "http.port",
            "variable": "SCONCE_HTTP__PORT",
            "value": 9000,
            "origin": {"kind": "file", "path": "sconce.toml", "line": 2},
        })
    );
}

#[test]
fn every_mistake_is_named_and_the_exit_code_is_64() {
    let output = config(Some("[http]\nport = 70000\nprot = 1\n"), |command| {
        command
            .env("SCONCE_LOG__FORMAT", "xml")
            .env("SCONCE_HTPP__PORT", "1")
            .args(["--set", "models.poll_seconds=-1"]);
    });
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty());
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap());
}

#[test]
fn a_file_is_found_by_flag_variable_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.toml");
    fs::write(&other, "[http]\nport = 1\n").unwrap();
    let port = |output: &Output| {
        stdout(output).lines().find(|line| line.starts_with("http.port")).unwrap().to_owned()
    };
    let here = Some("[http]\nport = 2\n");
    assert!(port(&config(here, |_| {})).ends_with("# sconce.toml:2"));
    let by_variable = config(here, |command| {
        command.env("SCONCE_CONFIG", &other);
    });
    assert!(port(&by_variable).ends_with("other.toml:2"));
    let by_flag = config(here, |command| {
        command.env("SCONCE_CONFIG", "none.toml").arg("--config").arg(&other);
    });
    assert!(port(&by_flag).ends_with("other.toml:2"));
    let missing = config(here, |command| {
        command.args(["--config", "none.toml"]);
    });
    assert_eq!(missing.status.code(), Some(64));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("none.toml: No such file"));
}
