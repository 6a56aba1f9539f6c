//! A tokenizer as a model directory holds it.

/// A Hugging Face tokenizer that turns a text into token ids. Clones share it.
#[derive(Clone, Debug)]
pub struct Tokenizer {}

/// Why a tokenizer or a text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenizerError(pub String);

impl Tokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// The bytes are no tokenizer.
    pub fn from_json(_json: &[u8]) -> Result<Self, TokenizerError> {
        todo!()
    }

    /// `tokenizer.json`, the same bytes for the same tokenizer.
    ///
    /// # Errors
    /// The tokenizer cannot be written down.
    pub fn to_json(&self) -> Result<Vec<u8>, TokenizerError> {
        todo!()
    }

    /// Token ids of a text, special tokens as the tokenizer's post-processor says; may be empty. No truncation.
    ///
    /// # Errors
    /// The tokenizer fails on this text (a panic inside it is such a failure).
    pub fn encode(&self, _text: &str) -> Result<Vec<u32>, TokenizerError> {
        todo!()
    }

    /// The token of an id, for showing.
    #[must_use]
    pub fn token(&self, _id: u32) -> Option<String> {
        todo!()
    }

    /// One more than the largest id: the rows that an embedding table needs.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        todo!()
    }
}
