//! Training a tokenizer from data.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::{Tokenizer, TokenizerError, merges};
use crate::limits::VOCABULARY_MAX;

const PADDING: &str = "[PAD]";
const UNKNOWN: &str = "[UNK]";

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
    /// The special tokens have ids and no spelling: a text that says `[PAD]` gets the tokens of its characters.
    ///
    /// # Errors
    /// There is nothing to learn from, or the sizes make no tokenizer.
    pub fn train(&self, texts: &mut dyn Iterator<Item = &str>) -> Result<Tokenizer, TokenizerError> {
        let least = match self.kind {
            Kind::Word => 3,
            Kind::BytePair => 2 + byte_alphabet().len(),
        };
        if !(least..=VOCABULARY_MAX).contains(&self.vocabulary) {
            return Err(TokenizerError(format!(
                "tokenizer.vocabulary is {}, expected {least} to {VOCABULARY_MAX}",
                self.vocabulary
            )));
        }
        let words = self.count_words(texts)?;
        if words.is_empty() {
            return Err(TokenizerError("no training text has a word to learn a tokenizer from".into()));
        }
        let model = match self.kind {
            Kind::Word => self.word_model(words)?,
            Kind::BytePair => self.byte_pair_model(&words),
        };
        Tokenizer::from_json(self.tokenizer(&model).to_string().as_bytes())
    }

    fn count_words(
        &self,
        texts: &mut dyn Iterator<Item = &str>,
    ) -> Result<BTreeMap<String, u64>, TokenizerError> {
        let failed = |error: &dyn std::fmt::Display| TokenizerError(format!("a training text: {error}"));
        // The very steps that will prepare texts in serving, with nothing behind them yet.
        let hollow = self.tokenizer(&word_level(&BTreeMap::new())).to_string();
        let hollow: tokenizers::Tokenizer = hollow.parse().map_err(|error| failed(&error))?;
        let mut words: BTreeMap<String, u64> = BTreeMap::new();
        for text in texts {
            let mut normalized = NormalizedString::from(text);
            if let Some(normalizer) = hollow.get_normalizer() {
                normalizer.normalize(&mut normalized).map_err(|error| failed(&error))?;
            }
            let mut split = PreTokenizedString::from(normalized);
            if let Some(pre_tokenizer) = hollow.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut split).map_err(|error| failed(&error))?;
            }
            for (word, _, _) in split.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
                match words.get_mut(word) {
                    Some(count) => *count += 1,
                    None => {
                        words.insert(word.to_owned(), 1);
                    }
                }
            }
        }
        Ok(words)
    }

    fn word_model(&self, words: BTreeMap<String, u64>) -> Result<Value, TokenizerError> {
        let mut frequent: Vec<(String, u64)> =
            words.into_iter().filter(|(_, count)| *count >= self.frequency_min).collect();
        if frequent.is_empty() {
            return Err(TokenizerError(format!(
                "no word is seen {} times (tokenizer.frequency_min) in the training texts",
                self.frequency_min
            )));
        }
        // Stable over words in their own order: ties go by text.
        frequent.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        frequent.truncate(self.vocabulary - 2);
        let ids = frequent.into_iter().zip(2_u32..).map(|((word, _), id)| (word, id)).collect();
        Ok(word_level(&ids))
    }

    fn byte_pair_model(&self, words: &BTreeMap<String, u64>) -> Value {
        let bounds = (self.vocabulary, self.frequency_min);
        let learnt = merges::learn(words, &[PADDING, UNKNOWN], &byte_alphabet(), bounds);
        let ids: BTreeMap<String, u32> = learnt.tokens.into_iter().zip(0..).collect();
        json!({ "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": ids, "merges": learnt.merges })
    }

    fn tokenizer(&self, model: &Value) -> Value {
        let mut normalizers = vec!["NFKC"];
        if self.lowercase {
            normalizers.push("Lowercase");
        }
        if self.strip_accents {
            // An accent is a character of its own only when decomposed.
            normalizers.extend(["NFD", "StripAccents", "NFC"]);
        }
        let normalizers: Vec<Value> = normalizers.into_iter().map(|kind| json!({ "type": kind })).collect();
        let bytes =
            json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true });
        let (pre_tokenizer, decoder) = match self.kind {
            // Splits at white space, and around every punctuation mark.
            Kind::Word => (json!({ "type": "BertPreTokenizer" }), Value::Null),
            Kind::BytePair => (bytes.clone(), bytes),
        };
        json!({ "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": { "type": "Sequence", "normalizers": normalizers },
            "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder, "model": model })
    }
}

fn word_level(words: &BTreeMap<String, u32>) -> Value {
    let mut ids: BTreeMap<&str, u32> = words.iter().map(|(word, id)| (word.as_str(), *id)).collect();
    ids.extend([(PADDING, 0), (UNKNOWN, 1)]);
    json!({ "type": "WordLevel", "vocab": ids, "unk_token": UNKNOWN })
}

/// The 256 characters that stand for bytes in byte-level encoding.
fn byte_alphabet() -> BTreeSet<char> {
    tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] = [
        "A good film, a GOOD film!",
        "a bad film; bad acting",
        "Über café, naïve café",
        "good\u{a0}bad ok ok",
    ];

    fn trained(recipe: &Recipe) -> Tokenizer {
        recipe.train(&mut TEXTS.into_iter()).unwrap()
    }

    fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        tokenizer.encode(text).unwrap().into_iter().map(|id| tokenizer.token(id).unwrap()).collect()
    }

    #[test]
    fn words_have_ids_by_frequency_then_text() {
        let tokenizer = trained(&Recipe::default());
        let all: Vec<_> = (0..u32::try_from(tokenizer.vocabulary()).unwrap())
            .map(|id| tokenizer.token(id).unwrap())
            .collect();
        assert_eq!(all, ["[PAD]", "[UNK]", "a", "bad", "film", "good", ",", "café", "ok"]);
        assert_eq!(tokens(&tokenizer, "GOOD  film!café"), ["good", "film", "[UNK]", "café"]);
        assert!(!tokenizer.encode("[PAD] [UNK]").unwrap().contains(&0), "a text cannot spell padding");
    }

    #[test]
    fn the_normaliser_does_what_the_recipe_says() {
        let recipe = Recipe { frequency_min: 1, strip_accents: true, ..Recipe::default() };
        assert_eq!(tokens(&trained(&recipe), "ÜBER Café ﬁlm"), ["uber", "cafe", "film"]);
        let recipe = Recipe { frequency_min: 1, lowercase: false, ..Recipe::default() };
        assert_eq!(tokens(&trained(&recipe), "GOOD good Good"), ["GOOD", "good", "[UNK]"]);
        let recipe = Recipe { frequency_min: 1, vocabulary: 4, ..Recipe::default() };
        assert_eq!(trained(&recipe).vocabulary(), 4);
    }

    #[test]
    fn byte_pairs_know_every_text() {
        let recipe = Recipe { kind: Kind::BytePair, vocabulary: 275, ..Recipe::default() };
        let tokenizer = trained(&recipe);
        assert_eq!(tokenizer.vocabulary(), 275);
        assert!(tokens(&tokenizer, "good film").len() < 6, "frequent words are merged");
        for text in ["日本語 🙂", "\u{0}\u{1}", "[PAD][UNK]", "ÿ"] {
            let ids = tokenizer.encode(text).unwrap();
            assert!(!ids.is_empty() && ids.iter().all(|id| *id >= 2), "{text}: {ids:?}");
        }
    }

    #[test]
    fn the_same_texts_give_the_same_bytes() {
        for kind in [Kind::Word, Kind::BytePair] {
            let recipe = Recipe { kind, frequency_min: 1, vocabulary: 300, ..Recipe::default() };
            let json = trained(&recipe).to_json().unwrap();
            assert_eq!(trained(&recipe).to_json().unwrap(), json);
            assert_eq!(Tokenizer::from_json(&json).unwrap().to_json().unwrap(), json);
        }
    }

    #[test]
    fn sizes_and_texts_that_make_no_tokenizer_are_refused() {
        let small = Recipe { vocabulary: 257, kind: Kind::BytePair, ..Recipe::default() };
        let error = small.train(&mut TEXTS.into_iter()).unwrap_err().to_string();
        assert_eq!(error, "tokenizer.vocabulary is 257, expected 258 to 1000000");
        Recipe { vocabulary: 2, ..Recipe::default() }.train(&mut TEXTS.into_iter()).unwrap_err();
        let error = Recipe::default().train(&mut [" ", ""].into_iter()).unwrap_err().to_string();
        assert!(error.contains("no training text has a word"), "{error}");
        let error = Recipe::default().train(&mut ["once"].into_iter()).unwrap_err().to_string();
        assert!(error.contains("seen 2 times"), "{error}");
    }

    #[test]
    fn the_longest_text_fits_a_small_stack() {
        let recipe = Recipe { kind: Kind::BytePair, vocabulary: 300, ..Recipe::default() };
        let tokenizers = [trained(&recipe), trained(&Recipe::default())];
        let run = move || {
            for pattern in ["^", "A", " ", "'", "\u{301}", "a1 ", "🙂\u{200d}"] {
                let text = pattern.repeat(crate::limits::TEXT_BYTES_MAX / pattern.len());
                for tokenizer in &tokenizers {
                    tokenizer.encode(&text).unwrap();
                }
            }
        };
        std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
    }
}
