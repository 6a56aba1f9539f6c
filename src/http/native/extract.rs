//! Extraction: headers, query and body of a classify request become a [`Question`], or a problem.

mod content;
mod depth;
mod json;
mod multipart;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;

use self::content::Content;
use self::json::OneOrMany;
pub(super) use self::json::{ClassifyRequest, PictureBytes, PictureForm};
use super::question::{Inputs, Parameters, Question};
use crate::http::ask::{Given, check_count};
use crate::http::encoded;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::value::Input;

/// A question about texts, extracted from a request.
pub(super) struct TextQuestion(pub(super) Question);

/// A question about pictures, extracted from a request.
pub(super) struct PictureQuestion(pub(super) Question);

impl FromRequest<Gateway> for TextQuestion {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let query = Parameters::of_query(request.uri())?;
        let content = Content::of(request.headers())?;
        let body = whole(request).await?;
        let question = match content {
            Content::Json => from_json(&body, query, |input| Ok(Input::Text(input)))?,
            Content::Text => one(query, Ok(Input::Text(utf8(&body)?.to_owned()))),
            other => return Err(other.refused("application/json or text/plain", &body)),
        };
        checked(question, gateway).map(Self)
    }
}

impl FromRequest<Gateway> for PictureQuestion {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let query = Parameters::of_query(request.uri())?;
        let content = Content::of(request.headers())?;
        let question = match content {
            Content::Multipart => multipart::read(request, query).await?,
            Content::Json => {
                from_json(&whole(request).await?, query, |input| encoded::bytes(&input).map(Input::Picture))?
            }
            Content::Picture | Content::Bytes | Content::None => raw_picture(whole(request).await?, query)?,
            other => {
                let expected = "a picture's bytes (image/* or application/octet-stream), multipart/form-data or \
                                application/json";
                return Err(other.refused(expected, &whole(request).await?));
            }
        };
        checked(question, gateway).map(Self)
    }
}

fn checked(question: Question, gateway: &Gateway) -> Result<Question, Problem> {
    if let Inputs::Many(inputs) = &question.inputs {
        check_count(inputs.len(), gateway.config.request_inputs_max)
            .map_err(|problem| problem.at("/input"))?;
    }
    Ok(question)
}

/// The body; the layers have received it already, within its limits.
async fn whole(request: Request) -> Result<Bytes, Problem> {
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    body.map_err(|_| Problem::new(Code::IncompleteBody, "the body broke off before its end"))
}

fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|error| {
        let detail =
            format!("the body is not UTF-8 from byte {} on{}", error.valid_up_to(), looks_like(body));
        Problem::new(Code::InvalidUtf8, detail)
    })
}

/// What a body that is not what it should be seems to be: `; it looks like a PNG picture: …`, or nothing.
fn looks_like(body: &[u8]) -> String {
    let Ok(format) = ::image::guess_format(body) else { return String::new() };
    let kind = format.to_mime_type();
    format!("; it looks like a picture: send it to /v1/image/classify with content-type {kind}")
}

fn from_json(body: &[u8], query: Parameters, read: impl Fn(String) -> Given) -> Result<Question, Problem> {
    let asked = json::parse(utf8(body)?)?;
    let (input, in_body) = asked.split()?;
    let inputs = match input {
        OneOrMany::One(input) => Inputs::One { given: Box::new(read(input)), pointer: Some("/input") },
        OneOrMany::Many(inputs) => Inputs::Many(inputs.into_iter().map(read).collect()),
    };
    Ok(Question { parameters: query.and(in_body)?, inputs })
}

fn one(parameters: Parameters, given: Given) -> Question {
    Question { parameters, inputs: Inputs::One { given: Box::new(given), pointer: None } }
}

fn raw_picture(body: Bytes, query: Parameters) -> Result<Question, Problem> {
    if body.is_empty() {
        let detail =
            "the body is empty: expected the bytes of a picture, as `curl -T picture.jpg` sends them";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    Ok(one(query, Ok(Input::Picture(body))))
}
