//! `/tokenize`: the tokens that a model makes of a text.

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::Refusals;
use crate::http::ask::{self, check_count};
use crate::http::instance::Instance;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::limits::TEXT_BYTES_MAX;
use crate::text::{Special, Token};
use crate::value::Task;

/// Texts whose tokens are wanted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it documents a body that is read as it comes")]
struct TokenizeTexts {
    /// A text, or a list of them.
    #[schema(value_type = Value)]
    inputs: serde_json::Value,
    /// Whether the tokens that the tokenizer adds are there: yes, unless this says `false`.
    add_special_tokens: Option<bool>,
}

/// A token of a text.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct SimpleToken {
    /// Its number.
    #[schema(example = 17)]
    id: u32,
    /// What it stands for in the text; of a special token its name.
    #[schema(example = "film")]
    text: String,
    /// Whether the tokenizer added it.
    special: bool,
    /// The first character of it; null when it is special.
    start: Option<usize>,
    /// The first character after it; null when it is special.
    stop: Option<usize>,
}

/// Tokenize.
///
/// The tokens that the default model for texts makes of each text, without cutting it.
#[utoipa::path(
    post,
    path = "/tokenize",
    tag = "hugging face",
    request_body(content = TokenizeTexts, example = json!({"inputs": "a fine film"})),
    responses((status = 200, description = "The tokens of each text", body = Vec<Vec<SimpleToken>>), Refusals),
)]
pub(super) async fn tokenize(
    State(gateway): State<Gateway>,
    body: Bytes,
) -> Result<Json<Vec<Vec<SimpleToken>>>, Problem> {
    let (texts, special) = parse(&body)?;
    if texts.is_empty() {
        return Err(invalid(super::EMPTY));
    }
    check_count(texts.len(), gateway.config.request_inputs_max)?;
    let entry = ask::of_task(&gateway, Task::TextClassification, None)?;
    let tokenized = tokio::task::spawn_blocking(move || -> Result<Vec<Vec<SimpleToken>>, Problem> {
        let none = || Problem::new(Code::Internal, "the model has no tokenizer");
        let tokenizer = entry.handle.tokenizer().ok_or_else(none)?;
        let tokens = |text: &String| {
            let tokens = tokenizer.tokens(text, special);
            tokens.map_err(|error| Problem::new(Code::UnreadableText, error.to_string())).map(simple)
        };
        texts.iter().map(tokens).collect()
    });
    let failed = |_| Problem::new(Code::Internal, "tokenizing failed in the server; its log has more");
    tokenized.await.map_err(failed)?.map(Json)
}

fn parse(body: &[u8]) -> Result<(Vec<String>, Special), Problem> {
    let Instance::Object(members) = Instance::parse(body)? else {
        return Err(invalid("the body is no object, expected one such as {\"inputs\": \"…\"}"));
    };
    let mut texts = None;
    let mut special = Special::Added;
    for (name, value) in members {
        match (name.as_str(), value) {
            ("inputs", Instance::Text(text)) => texts = Some(vec![bounded(text)?]),
            ("inputs", Instance::List(items)) => {
                let text = |item| match item {
                    Instance::Text(text) => bounded(text),
                    other => Err(invalid(format!("`inputs` has {} in it, expected strings", other.kind()))),
                };
                texts = Some(items.into_iter().map(text).collect::<Result<_, _>>()?);
            }
            ("inputs", other) => {
                let detail = format!("`inputs` is {}, expected a string or a list of strings", other.kind());
                return Err(invalid(detail));
            }
            ("add_special_tokens", Instance::Bool(false)) => special = Special::LeftOut,
            // What other models of these clients have.
            _ => {}
        }
    }
    Ok((texts.ok_or_else(|| invalid("missing field `inputs`"))?, special))
}

fn bounded(text: String) -> Result<String, Problem> {
    let bytes = text.len();
    if bytes > TEXT_BYTES_MAX {
        let detail = format!("the text has {bytes} bytes, at most {TEXT_BYTES_MAX} are taken");
        return Err(Problem::new(Code::TextTooLong, detail));
    }
    Ok(text)
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

fn simple(tokens: Vec<Token>) -> Vec<SimpleToken> {
    let token = |token: Token| {
        let special = token.place.is_none();
        let (start, stop) = token.place.map(|place| (place.start, place.end)).unzip();
        SimpleToken { id: token.id, text: token.text, special, start, stop }
    };
    tokens.into_iter().map(token).collect()
}
