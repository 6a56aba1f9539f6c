//! Training a tokenizer from data.

use serde::{Deserialize, Serialize};

use super::{Tokenizer, TokenizerError};

/// How a tokenizer is made from training texts: the `[tokenizer]` table of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Byte-pair or word-level.
    pub kind: Kind,
    /// Entries at most, special tokens (`[PAD]` = 0, `[UNK]` = 1) included.
    pub vocabulary: usize,
    /// Times a word or pair must be seen to get an entry.
    pub frequency_min: u64,
    /// Whether text is lower-cased (after Unicode NFKC).
    pub lowercase: bool,
    /// Whether accents are dropped.
    pub strip_accents: bool,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { kind: Kind::Word, vocabulary: 20_000, frequency_min: 2, lowercase: true, strip_accents: false }
    }
}

/// Byte-pair or word-level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A token a word or punctuation mark; the rest is `[UNK]`.
    #[default]
    Word,
    /// Byte-level byte-pair encoding: nothing is unknown.
    BytePair,
}

impl Recipe {
    /// Trains a tokenizer, the same one for the same texts in the same order.
    ///
    /// # Errors
    /// There is nothing to learn from, or the sizes make no tokenizer.
    pub fn train<'a>(&self, _texts: &mut dyn Iterator<Item = &'a str>) -> Result<Tokenizer, TokenizerError> {
        todo!()
    }
}
