//! What a tokenizer made of the pieces of earlier texts, so that a word is tokenized once and not in every text.
//!
//! A text is cut before each space that follows a character that is no white space: "a very  long" is "a", " very",
//! "  long". Where [`is_local`] says so of a tokenizer, the token ids of a text are those of its pieces in a row:
//!
//! * A space starts a piece. It composes with nothing before it, so normalising stops there (Unicode, annex 15: it is
//!   a starter that no composition ends with).
//! * Tokens are made within words, and no word goes across the cut: either white space separates words, or (GPT-2's
//!   pattern) a word begins with the one space before it, which the cut leaves with it.
//!
//! The real tokenizer is asked for each new piece: what is kept is what it said. It takes some 50 µs for 40 words that
//! are all in here within 2.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{PostProcessorWrapper, Tokenizer};

/// Parts that are locked one by one, so that threads seldom meet.
const SHARDS: usize = 16;
/// Pieces of one part: all together some 16,000, a megabyte or two.
const SHARD_PIECES_MAX: usize = 1024;
/// Bytes of the longest piece that is kept; a longer one is no word.
const PIECE_BYTES_MAX: usize = 48;

/// Token ids by piece. A part that is full forgets everything: what is in use is soon back. So few pieces in a part also bound
/// what a caller who guesses the seed of so quick a hash could do.
pub(super) struct Pieces {
    shards: [Mutex<Known>; SHARDS],
    state: RandomState,
}

/// The ids of pieces.
type Known = HashMap<Box<str>, Box<[u32]>, RandomState>;

impl Pieces {
    pub(super) fn new() -> Self {
        let state = RandomState::default();
        Self { shards: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(state.clone()))), state }
    }

    /// The token ids of a text, asking `encode` for the pieces that are not known.
    pub(super) fn encode<E>(
        &self,
        text: &str,
        mut encode: impl FnMut(&str) -> Result<Vec<u32>, E>,
    ) -> Result<Vec<u32>, E> {
        let mut ids = Vec::with_capacity(text.len() / 4);
        for piece in cut(text) {
            if piece.len() > PIECE_BYTES_MAX {
                ids.extend(encode(piece)?);
            } else if !self.look_up(piece, &mut ids) {
                let found = encode(piece)?;
                ids.extend_from_slice(&found);
                self.keep(piece, found);
            }
        }
        Ok(ids)
    }

    /// Adds the ids of a known piece.
    fn look_up(&self, piece: &str, ids: &mut Vec<u32>) -> bool {
        let shard = self.shard(piece).lock().unwrap_or_else(PoisonError::into_inner);
        shard.get(piece).map(|found| ids.extend_from_slice(found)).is_some()
    }

    fn keep(&self, piece: &str, ids: Vec<u32>) {
        let mut shard = self.shard(piece).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_PIECES_MAX {
            shard.clear();
        }
        shard.insert(piece.into(), ids.into_boxed_slice());
    }

    fn shard(&self, piece: &str) -> &Mutex<Known> {
        // The map indexes by the low bits of the same hash.
        &self.shards[(self.state.hash_one(piece) >> 40) as usize % SHARDS]
    }
}

/// The pieces of a text, all of it in order.
fn cut(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let spaces = rest.bytes().take_while(|byte| *byte == b' ').count();
        let mut at = spaces;
        while let Some(space) = rest[at..].find(' ').map(|space| at + space) {
            if rest[..space].chars().next_back().is_some_and(|before| !before.is_whitespace()) {
                let (piece, after) = rest.split_at(space);
                rest = after;
                return Some(piece);
            }
            at = space + 1;
        }
        let piece = std::mem::take(&mut rest);
        (!piece.is_empty()).then_some(piece)
    })
}

/// Whether the ids of a text are the ids of its pieces in a row, by what the tokenizer is made of. `false` also where
/// that is not known.
pub(super) fn is_local(tokenizer: &Tokenizer) -> bool {
    let normalizer = tokenizer.get_normalizer();
    let words = match tokenizer.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::Sequence(sequence)) => sequence.as_ref().first().is_some_and(drops_spaces),
        // Its words begin with white space, so that none must vanish between two pieces.
        Some(PreTokenizerWrapper::ByteLevel(bytes)) => {
            bytes.use_regex && normalizer.is_none_or(|normalizer| maps(normalizer, keeps_each))
        }
        Some(other) => drops_spaces(other),
        None => false,
    };
    // Special tokens around a text are not around its pieces.
    let unframed = matches!(tokenizer.get_post_processor(), None | Some(PostProcessorWrapper::ByteLevel(_)));
    // A token of its own that has white space, or takes what is around it along, goes across pieces.
    let added = tokenizer.get_added_tokens_decoder();
    let added = added.values().all(|token| !token.content.contains(' ') && !token.lstrip && !token.rstrip);
    words && unframed && added && normalizer.is_none_or(|normalizer| maps(normalizer, by_character))
}

/// Whether every normalizer in it is one of these.
fn maps(normalizer: &NormalizerWrapper, one: fn(&NormalizerWrapper) -> bool) -> bool {
    match normalizer {
        NormalizerWrapper::Sequence(sequence) => sequence.as_ref().iter().all(|part| maps(part, one)),
        part => one(part),
    }
}

/// Unicode's forms and changes of single characters.
fn by_character(normalizer: &NormalizerWrapper) -> bool {
    keeps_each(normalizer)
        || matches!(normalizer, NormalizerWrapper::BertNormalizer(_) | NormalizerWrapper::StripAccents(_))
}

/// As [`by_character`], and no character vanishes.
fn keeps_each(normalizer: &NormalizerWrapper) -> bool {
    use NormalizerWrapper::{Lowercase, NFC, NFD, NFKC, NFKD};
    matches!(normalizer, NFC(_) | NFD(_) | NFKC(_) | NFKD(_) | Lowercase(_))
}

fn drops_spaces(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    use PreTokenizerWrapper::{BertPreTokenizer, Whitespace, WhitespaceSplit};
    matches!(pre_tokenizer, BertPreTokenizer(_) | Whitespace(_) | WhitespaceSplit(_))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::{Kind, Recipe};

    #[test]
    fn a_text_is_cut_before_spaces_that_follow_no_space() {
        let pieces = |text| cut(text).collect::<Vec<_>>();
        assert_eq!(pieces("a very  long"), ["a", " very", "  long"]);
        assert_eq!(pieces("  a\n b "), ["  a\n b", " "]);
        assert_eq!(pieces("ä \u{a0} b"), ["ä", " \u{a0} b"]);
        assert_eq!(pieces(""), [""; 0]);
        assert_eq!(pieces("   "), ["   "]);
    }

    /// Tokenizers of both kinds that are trained here, and one of another make.
    fn tokenizers() -> Vec<Tokenizer> {
        let texts = ["The Rock's Straße is 21st century's ﬁne café!", "naïve  déjà\tvu … 3.14 don't"];
        let mut made: Vec<Tokenizer> = [Kind::Word, Kind::BytePair]
            .into_iter()
            .flat_map(|kind| [true, false].map(|plain| (kind, plain)))
            .map(|(kind, plain)| {
                let recipe = Recipe {
                    kind,
                    vocabulary: 400,
                    frequency_min: 1,
                    lowercase: plain,
                    strip_accents: plain && kind == Kind::Word,
                };
                let json = recipe.train(&mut texts.into_iter()).unwrap().to_json().unwrap();
                Tokenizer::from_bytes(json).unwrap()
            })
            .collect();
        let bert = r###"{"version":"1.0","added_tokens":[],
            "normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
            "pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":null,"decoder":null,
            "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,
            "vocab":{"[UNK]":0,"a":1,"##a":2,"b":3,"##b":4,"中":5,"!":6}}}"###;
        made.push(Tokenizer::from_bytes(bert).unwrap());
        made
    }

    fn whole(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode_fast(text, true).unwrap().get_ids().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn pieces_in_a_row_are_the_text(
            text in "([ ]{0,3}([a-cA-Z'éß]{1,4}|[\\s\u{301}\u{300}\u{345}\u{a0}\u{a8}\u{0}ﷺ중中Σς!.0-9]|\\PC)){0,12}[ ]{0,3}"
        ) {
            for tokenizer in tokenizers() {
                prop_assert!(is_local(&tokenizer));
                let pieces = Pieces::new();
                for _ in 0..2 {
                    let found = pieces.encode(&text, |piece| Ok::<_, ()>(whole(&tokenizer, piece)));
                    prop_assert_eq!(found, Ok(whole(&tokenizer, &text)), "{:?}", &text);
                }
            }
        }
    }

    #[test]
    fn a_known_piece_is_not_asked_for_again_and_the_number_kept_is_bounded() {
        let pieces = Pieces::new();
        let mut asked = 0;
        let mut ask = |text: &str| {
            pieces.encode(text, |piece| {
                asked += 1;
                Ok::<_, ()>(vec![u32::try_from(piece.len()).unwrap()])
            })
        };
        assert_eq!(ask("ab cde ab ab"), Ok(vec![2, 4, 3, 3]));
        assert_eq!(ask("ab cde"), Ok(vec![2, 4]));
        assert_eq!(asked, 3);
        for number in 0..2 * SHARDS * SHARD_PIECES_MAX {
            pieces.encode(&number.to_string(), |_| Ok::<_, ()>(vec![1])).unwrap();
        }
        assert!(pieces.shards.iter().all(|shard| shard.lock().unwrap().len() <= SHARD_PIECES_MAX));
    }

    #[test]
    fn what_goes_across_words_is_not_local() {
        let base = r#"{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},
            "post_processor":null,"decoder":null,"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}"#;
        let changed = |from: &str, to: &str| {
            assert!(base.contains(from));
            is_local(&Tokenizer::from_bytes(base.replace(from, to)).unwrap())
        };
        assert!(changed("WordLevel", "WordLevel"));
        assert!(!changed(r#"{"type":"Whitespace"}"#, "null"));
        assert!(!changed(
            r#""normalizer":null"#,
            r#""normalizer":{"type":"Strip","strip_left":true,"strip_right":true}"#
        ));
        let metaspace = r#"{"type":"Metaspace","replacement":"_","prepend_scheme":"always","split":true}"#;
        assert!(!changed(r#"{"type":"Whitespace"}"#, metaspace));
        let special = r#""added_tokens":[{"id":0,"content":"a b","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":false}]"#;
        assert!(!changed(r#""added_tokens":[]"#, special));
        let framed = r#""post_processor":{"type":"BertProcessing","sep":["a",0],"cls":["a",0]}"#;
        assert!(!changed(r#""post_processor":null"#, framed));
    }
}
