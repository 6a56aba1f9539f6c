//! A tokenizer as a model directory holds it.

mod tokens;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokenizers::ModelWrapper;

pub use self::tokens::{Special, Token};
use super::pieces::{self, Pieces};
use crate::limits::VOCABULARY_MAX;

/// Words that a thread remembers the byte pairs of. Such a cache outlives its tokenizer (it belongs to the thread),
/// so it is kept to some 100 KB.
const CACHED_WORDS: usize = 1000;

/// A Hugging Face tokenizer that turns a text into token ids. Clones share it.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    /// Unless a text is more than its pieces to this tokenizer.
    pieces: Option<Arc<Pieces>>,
    vocabulary: usize,
}

/// Why a tokenizer or a text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenizerError(pub String);

impl Tokenizer {
    /// Reads `tokenizer.json`. Truncation, padding and dropout it may ask for are switched off: how much of a text is
    /// read is the manifest's to say, rows are not padded, and an answer is not left to chance.
    ///
    /// # Errors
    /// The bytes are no tokenizer.
    pub fn from_json(json: &[u8]) -> Result<Self, TokenizerError> {
        let refused = |reason: &dyn fmt::Display| {
            TokenizerError(format!("not a Hugging Face tokenizer (tokenizer.json): {reason}"))
        };
        let mut inner = caught(|| tokenizers::Tokenizer::from_bytes(json))
            .map_err(|panicked| refused(&panicked))?
            .map_err(|error| refused(&error))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| refused(&error))?;
        if let ModelWrapper::BPE(model) = inner.get_model() {
            let mut model = model.clone();
            model.dropout = None;
            model.resize_cache(CACHED_WORDS);
            inner.with_model(model);
        }
        let largest_id = inner.get_vocab(true).into_values().max();
        let vocabulary = largest_id.map_or(0, |id| id as usize + 1);
        if !(1..=VOCABULARY_MAX).contains(&vocabulary) {
            return Err(TokenizerError(format!(
                "the tokenizer has token ids up to {vocabulary}, expected 1 to {VOCABULARY_MAX} tokens"
            )));
        }
        let pieces = pieces::is_local(&inner).then(|| Arc::new(Pieces::new()));
        Ok(Self { inner: Arc::new(inner), pieces, vocabulary })
    }

    /// `tokenizer.json`, the same bytes for the same tokenizer.
    ///
    /// # Errors
    /// The tokenizer cannot be written down.
    pub fn to_json(&self) -> Result<Vec<u8>, TokenizerError> {
        let text = self.inner.to_string(true);
        let text =
            text.map_err(|error| TokenizerError(format!("the tokenizer cannot be written: {error}")))?;
        Ok((text + "\n").into_bytes())
    }

    /// Token ids of a text, special tokens as the tokenizer's post-processor says; may be empty. No truncation.
    ///
    /// # Errors
    /// The tokenizer fails on this text (a panic inside it is such a failure).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        match &self.pieces {
            Some(pieces) => pieces.encode(text, |piece| self.encode_afresh(piece)),
            None => self.encode_afresh(text),
        }
    }

    fn encode_afresh(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        // The crate would otherwise start a thread pool of its own beside the program's.
        tokenizers::utils::parallelism::set_parallelism(false);
        let encoding = caught(|| self.inner.encode_fast(text, true)).map_err(TokenizerError)?;
        let encoding = encoding.map_err(|error| TokenizerError(error.to_string()))?;
        match encoding.get_ids().iter().find(|id| **id as usize >= self.vocabulary) {
            Some(id) => {
                Err(TokenizerError(format!("token {id} is outside the vocabulary of {}", self.vocabulary)))
            }
            None => Ok(encoding.get_ids().to_vec()),
        }
    }

    /// The token of an id, for showing.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// One more than the largest id: the rows that an embedding table needs.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("vocabulary", &self.vocabulary).finish_non_exhaustive()
    }
}

/// Runs what may panic on hostile input; nothing it touched is used afterwards but shared, unchanged data.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| "the tokenizer panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word_level(extra: &str) -> Vec<u8> {
        format!(
            r#"{{"version":"1.0",{extra}"added_tokens":[],"normalizer":null,"pre_tokenizer":{{"type":"Whitespace"}},
            "post_processor":null,"decoder":null,
            "model":{{"type":"WordLevel","vocab":{{"[PAD]":0,"[UNK]":1,"good":2,"bad":3}},"unk_token":"[UNK]"}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn truncation_and_padding_of_the_file_are_switched_off() {
        let settings = r#""truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0},
            "padding":{"strategy":{"Fixed":8},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,
            "pad_type_id":0,"pad_token":"[PAD]"},"#;
        let tokenizer = Tokenizer::from_json(&word_level(settings)).unwrap();
        assert_eq!(tokenizer.encode("good bad good x").unwrap(), [2, 3, 2, 1]);
        assert_eq!(tokenizer.encode("").unwrap(), [0_u32; 0]);
        assert_eq!(tokenizer.vocabulary(), 4);
        assert_eq!(tokenizer.token(3).as_deref(), Some("bad"));
        assert_eq!(tokenizer.token(4), None);
    }

    #[test]
    fn what_is_written_reads_back_and_writes_the_same() {
        let json = Tokenizer::from_json(&word_level("")).unwrap().to_json().unwrap();
        let again = Tokenizer::from_json(&json).unwrap();
        assert_eq!(again.to_json().unwrap(), json);
        assert_eq!(again.encode("bad").unwrap(), [3]);
    }

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        let huge_id = String::from_utf8(word_level("")).unwrap().replace(":3}", ":4294967295}");
        let hollow = String::from_utf8(word_level("")).unwrap();
        let hollow = hollow.replace(r#"{"[PAD]":0,"[UNK]":1,"good":2,"bad":3}"#, "{}");
        // The crate panics on this one.
        let panics = String::from_utf8(word_level("")).unwrap().replace(
            r#""normalizer":null"#,
            r#""normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA////"}"#,
        );
        for bad in ["", "{}", "[1]", "null", &huge_id, &hollow, &panics] {
            let error = Tokenizer::from_json(bad.as_bytes()).unwrap_err();
            assert!(error.0.contains("tokenizer"), "{error}");
        }
        Tokenizer::from_json(b"\xff\xfe").unwrap_err();
    }
}
