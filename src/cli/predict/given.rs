//! The inputs of `sconce predict`: arguments, files, and JSON lines on standard input.

use std::fs::File;
use std::io::{self, BufRead, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::limits::{BODY_BYTES_MAX, PREDICT_LINE_BYTES_MAX, TEXT_BYTES_MAX};
use crate::value::{Input, Task};

/// One input, or why it cannot be read, and what to call it.
#[derive(Debug, PartialEq)]
pub(super) struct Given {
    pub(super) name: String,
    pub(super) input: Result<Input, String>,
}

/// All inputs of these arguments, in order, read one by one.
pub(super) fn all(arguments: Vec<String>, task: Task) -> impl Iterator<Item = Given> {
    arguments.into_iter().flat_map(move |argument| -> Box<dyn Iterator<Item = Given>> {
        if argument == "-" {
            Box::new(lines(io::stdin().lock(), task))
        } else {
            Box::new(std::iter::once(Said::Plain(argument).read(task)))
        }
    })
}

/// The lines of a reader, empty ones passed over. One that is too long or no text ends them, with its reason.
fn lines(mut reader: impl BufRead, task: Task) -> impl Iterator<Item = Given> {
    let mut number = 0;
    let mut ended = false;
    std::iter::from_fn(move || {
        while !ended {
            number += 1;
            let refuse = |reason: String| Given { name: format!("line {number}"), input: Err(reason) };
            match line(&mut reader) {
                Ok(None) => ended = true,
                Ok(Some(text)) if text.trim().is_empty() => {}
                Ok(Some(text)) => {
                    let said = serde_json::from_str::<Said>(&text).map_err(|error| wrong_line(&error));
                    return Some(said.map_or_else(refuse, |said| said.read(task)));
                }
                Err(error) => {
                    ended = true;
                    return Some(refuse(error.to_string()));
                }
            }
        }
        None
    })
}

fn wrong_line(error: &serde_json::Error) -> String {
    let expected = r#"expected a JSON string, {"text": "…"}, {"path": "…"} or {"input": "…"}"#;
    if error.is_data() { expected.to_owned() } else { format!("{expected}: {error}") }
}

fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = reader.take(PREDICT_LINE_BYTES_MAX as u64 + 1).read_line(&mut line)?;
    if read > PREDICT_LINE_BYTES_MAX {
        return Err(io::Error::other(format!("the line is longer than {PREDICT_LINE_BYTES_MAX} bytes")));
    }
    Ok((read > 0).then_some(line))
}

/// An input as it was said.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Said {
    /// For a text model the text, for an image model a path.
    Plain(String),
    /// With what it is.
    Named(Named),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Named {
    /// A text.
    Text(String),
    /// A path of a text or a picture.
    Path(String),
    /// What the HTTP interface calls `input`: a text, or a picture's base64.
    Input(String),
}

impl Said {
    fn read(self, task: Task) -> Given {
        let (name, input) = match (self, task) {
            (
                Self::Plain(text) | Self::Named(Named::Text(text) | Named::Input(text)),
                Task::TextClassification,
            ) => (text.clone(), Ok(Input::Text(text))),
            (Self::Named(Named::Path(path)), Task::TextClassification) => {
                let text = file(&path, TEXT_BYTES_MAX).and_then(|bytes| {
                    String::from_utf8(bytes).map_err(|error| format!("{path}: not UTF-8: {error}"))
                });
                (path, text.map(Input::Text))
            }
            (Self::Plain(path) | Self::Named(Named::Path(path)), Task::ImageClassification) => {
                let bytes = file(&path, BODY_BYTES_MAX);
                (path, bytes.map(|bytes| Input::Picture(bytes.into())))
            }
            (Self::Named(Named::Input(base64)), Task::ImageClassification) => {
                let bytes = STANDARD.decode(&base64).map_err(|error| format!("not base64: {error}"));
                (
                    format!("{}…", base64.chars().take(12).collect::<String>()),
                    bytes.map(|b| Input::Picture(b.into())),
                )
            }
            (Self::Named(Named::Text(text)), Task::ImageClassification) => {
                let reason =
                    "this model takes pictures: expected {\"path\": \"…\"} or {\"input\": \"base64\"}";
                (text, Err(reason.to_owned()))
            }
        };
        Given { name, input }
    }
}

fn file(path: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = bytes_max as u64 + 1;
    let read = File::open(Path::new(path)).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("{path}: {error}")),
        Ok(read) if read > bytes_max => Err(format!("{path}: longer than {bytes_max} bytes")),
        Ok(_) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_inputs_and_wrong_ones_are_refused_in_place() {
        let text =
            "\"one\"\n\n{\"text\": \"two\"}\n{\"input\": \"three\"}\nfour\n{\"tekst\": \"x\"}\n\"six\"";
        let found: Vec<Given> = lines(text.as_bytes(), Task::TextClassification).collect();
        let texts: Vec<_> = found.iter().map(|given| given.input.as_ref().ok()).collect();
        let text = |text: &str| Input::Text(text.to_owned());
        let (one, two, three, six) = (text("one"), text("two"), text("three"), text("six"));
        assert_eq!(texts, [Some(&one), Some(&two), Some(&three), None, None, Some(&six)]);
        assert_eq!(found[3].name, "line 5");
        assert!(found[4].input.as_ref().unwrap_err().starts_with("expected a JSON string"));
    }

    #[test]
    fn a_line_has_a_limit() {
        let text = format!("\"{}\"\n\"next\"\n", "x".repeat(PREDICT_LINE_BYTES_MAX));
        let found: Vec<Given> = lines(text.as_bytes(), Task::TextClassification).collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].input.as_ref().unwrap_err().contains("longer than"));
    }

    #[test]
    fn pictures_are_paths_or_base64() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.png");
        std::fs::write(&path, [1, 2, 3]).unwrap();
        let path = path.to_str().unwrap();
        let picture = Ok(Input::Picture(vec![1, 2, 3].into()));
        let read = |text: &str| lines(text.as_bytes(), Task::ImageClassification).next().unwrap().input;
        assert_eq!(all(vec![path.to_owned()], Task::ImageClassification).next().unwrap().input, picture);
        assert_eq!(read(&format!("{{\"path\": {path:?}}}")), picture);
        assert_eq!(read("{\"input\": \"AQID\"}"), picture);
        assert!(read("{\"text\": \"a\"}").unwrap_err().contains("takes pictures"));
        assert!(read("{\"path\": \"none.png\"}").unwrap_err().starts_with("none.png: "));
    }
}
