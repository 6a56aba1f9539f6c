//! Help, usage and exit codes of every verb.

use std::process::Output;

use crate::support::server::sconce;

fn run(arguments: &[&str]) -> Output {
    sconce().args(arguments).output().unwrap()
}

/// Every verb with its help, as `-h` prints it: the summary first, then each verb's.
#[test]
fn the_help_of_every_verb() {
    let top = run(&["--help"]);
    assert!(top.status.success() && top.stderr.is_empty());
    insta::assert_snapshot!("sconce", String::from_utf8(top.stdout).unwrap());
    for path in verbs(&sconce::cli::command(), &[]) {
        let words: Vec<&str> = path.iter().map(String::as_str).chain(["-h"]).collect();
        let help = run(&words);
        assert!(help.status.success() && help.stderr.is_empty(), "{path:?}");
        insta::assert_snapshot!(
            format!("sconce_{}", path.join("_")),
            String::from_utf8(help.stdout).unwrap()
        );
    }
}

/// Every verb below, `train text` as two words.
fn verbs(command: &clap::Command, above: &[String]) -> Vec<Vec<String>> {
    let inside = command.get_subcommands().flat_map(|verb| {
        let path: Vec<String> = above.iter().cloned().chain([verb.get_name().to_owned()]).collect();
        let deeper = verbs(verb, &path);
        [path].into_iter().chain(deeper)
    });
    inside.collect()
}

#[test]
fn a_bare_sconce_explains_serve_first() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("Start here:\n  sconce serve "), "{text}");
    assert!(output.stderr.is_empty());
}

#[test]
fn wrong_usage_ends_with_2_and_says_so_on_standard_error() {
    let cases: &[&[&str]] = &[
        &["sreve"],
        &["config", "--prot", "1"],
        &["config", "--port", "70000"],
        &["config", "--set", "port"],
    ];
    for arguments in cases {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_version_is_told_to_people_and_machines() {
    let plain = String::from_utf8(run(&["version"]).stdout).unwrap();
    assert!(plain.starts_with(&format!("sconce {} (", env!("CARGO_PKG_VERSION"))), "{plain}");
    let json: serde_json::Value = serde_json::from_slice(&run(&["version", "--json"]).stdout).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["model_format"], 1);
}

#[test]
fn nobody_reading_is_no_failure() {
    let mut child = sconce().arg("config").stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn health_asks_where_the_configuration_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for (answer, code) in [("200 OK", 0), ("503 Service Unavailable", 1)] {
        let child =
            sconce().args(["health", "--port", &port]).env("SCONCE_HTTP__HOST", "0.0.0.0").spawn().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
            request.extend(byte);
        }
        assert!(request.starts_with(b"GET /health/live HTTP/1.1\r\n"));
        std::io::Write::write_all(&mut stream, format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).unwrap();
        drop(stream);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(code));
    }
    drop(listener);
    assert_eq!(run(&["health", "--port", &port]).status.code(), Some(1));
    assert_eq!(run(&["health", "--port", "0"]).status.code(), Some(2));
    assert_eq!(run(&["health", "--url", "ftp://x"]).status.code(), Some(2));
}
