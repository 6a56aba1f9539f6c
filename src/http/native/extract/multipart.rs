//! The multipart body of a picture request: `file` parts, and the parameters as parts of their own.

use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request};
use bytes::Bytes;

use crate::http::native::question::{Inputs, Parameters, Question};
use crate::http::problem::{Code, Problem};
use crate::limits::MULTIPART_PARTS_MAX;
use crate::value::Input;

/// Reads the parts. One `file` is a single input, several are a list.
///
/// # Errors
/// The body cannot be read, has a part of another name, no file, or too many parts.
pub(super) async fn read(request: Request, query: Parameters) -> Result<Question, Problem> {
    let mut multipart =
        Multipart::from_request(request, &()).await.map_err(|error| refused(error.body_text()))?;
    let mut in_body = Parameters::default();
    let mut files = Vec::new();
    let mut parts = 0;
    while let Some(part) = multipart.next_field().await.map_err(|error| unreadable(&error))? {
        parts += 1;
        if parts > MULTIPART_PARTS_MAX {
            let detail =
                format!("more than {MULTIPART_PARTS_MAX} parts in one request: send them in several");
            return Err(Problem::new(Code::TooManyInputs, detail));
        }
        let name = part.name().unwrap_or_default().to_owned();
        let bytes = part.bytes().await.map_err(|error| unreadable(&error))?;
        if name == "file" {
            files.push(bytes);
        } else {
            set(&mut in_body, &name, &bytes)?;
        }
    }
    let parameters = query.and(in_body)?;
    let mut files = files.into_iter().map(|bytes| Ok(Input::Picture(bytes)));
    match (files.next(), files.len()) {
        (None, _) => Err(refused("there is no part named \"file\", as `curl -F file=@picture.jpg` sends it")),
        (Some(file), 0) => {
            Ok(Question { parameters, inputs: Inputs::One { given: Box::new(file), pointer: None } })
        }
        (Some(file), _) => {
            let inputs = std::iter::once(file).chain(files).collect();
            Ok(Question { parameters, inputs: Inputs::Many(inputs) })
        }
    }
}

fn set(parameters: &mut Parameters, name: &str, bytes: &Bytes) -> Result<(), Problem> {
    let value = std::str::from_utf8(bytes).map_err(|_| refused(format!("part {name:?} is not UTF-8")))?;
    let is_parameter = ["model", "version", "top_k"].contains(&name);
    if !is_parameter {
        return Err(refused(crate::http::native::question::unknown(
            name,
            "part",
            &["file", "model", "version", "top_k"],
        )));
    }
    parameters.set(name, value).map_err(refused)
}

fn refused(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidMultipart, detail)
}

fn unreadable(error: &MultipartError) -> Problem {
    refused(format!("the multipart body cannot be read: {}", error.body_text()))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn send(parts: &[(&str, &str)]) -> Result<Question, Problem> {
        let part = |(name, value): &(&str, &str)| {
            format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let body = parts.iter().map(part).chain(["--b--\r\n".to_owned()]).collect::<Vec<_>>().concat();
        let request = Request::builder().header("content-type", "multipart/form-data; boundary=b");
        read(request.body(Body::from(body)).unwrap(), Parameters::default()).await
    }

    #[tokio::test]
    async fn one_file_is_single_and_several_are_a_list() {
        let one = send(&[("file", "x"), ("model", "digits"), ("top_k", "2")]).await.unwrap();
        assert_eq!(one.parameters.model.as_deref(), Some("digits"));
        let Inputs::One { given, .. } = one.inputs else { panic!("expected one") };
        assert_eq!(*given, Ok(Input::Picture("x".into())));
        let Inputs::Many(given) = send(&[("file", "x"), ("file", "y")]).await.unwrap().inputs else {
            panic!("expected a list")
        };
        assert_eq!(given, [Ok(Input::Picture("x".into())), Ok(Input::Picture("y".into()))]);
    }

    #[tokio::test]
    async fn other_parts_and_too_many_are_refused() {
        let cases = [
            (vec![("flie", "x")], Code::InvalidMultipart, r#"there is no part "flie"; did you mean "file"?"#),
            (vec![("model", "x")], Code::InvalidMultipart, r#"there is no part named "file""#),
            (vec![("file", "x"), ("top_k", "0")], Code::InvalidMultipart, r#"top_k is "0""#),
            (vec![("file", "x"); 65], Code::TooManyInputs, "more than 64 parts"),
        ];
        for (parts, code, detail) in cases {
            let problem = send(&parts).await.unwrap_err();
            assert_eq!(problem.code, code);
            assert!(problem.detail.starts_with(detail), "{}", problem.detail);
        }
    }

    #[tokio::test]
    async fn a_body_without_its_end_or_boundary_is_refused() {
        for (content_type, body) in [
            ("multipart/form-data", "--b--"),
            (
                "multipart/form-data; boundary=b",
                "--b\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\nx",
            ),
            ("multipart/form-data; boundary=b", "no parts"),
        ] {
            let request =
                Request::builder().header("content-type", content_type).body(Body::from(body)).unwrap();
            let problem = read(request, Parameters::default()).await.unwrap_err();
            assert_eq!(problem.code, Code::InvalidMultipart, "{body}");
        }
    }
}
