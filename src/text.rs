//! Text: tokenizers, given or trained. (Hugging Face `tokenizer.json`.)

mod merges;
mod pieces;
mod tokenizer;
mod trained;

pub use tokenizer::{Special, Token, Tokenizer, TokenizerError};
pub use trained::{Kind, Recipe};
