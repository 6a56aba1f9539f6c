//! The tokens of a text with their places in it, for showing.

use std::ops::Range;

use super::{Tokenizer, TokenizerError, caught};

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its number.
    pub id: u32,
    /// The characters that it stands for; of one that the tokenizer added, its name.
    pub text: String,
    /// Where they are, in characters; `None` when the tokenizer added it.
    pub place: Option<Range<usize>>,
}

/// Whether the tokens that a tokenizer adds to a text are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// As its post-processor says.
    Added,
    /// None.
    LeftOut,
}

impl Tokenizer {
    /// The tokens of a text, each with its place. No truncation.
    ///
    /// # Errors
    /// The tokenizer fails on this text (a panic inside it is such a failure).
    pub fn tokens(&self, text: &str, special: Special) -> Result<Vec<Token>, TokenizerError> {
        tokenizers::utils::parallelism::set_parallelism(false);
        let encoded = caught(|| self.inner.encode_char_offsets(text, special == Special::Added));
        let encoding = encoded.map_err(TokenizerError)?.map_err(|error| TokenizerError(error.to_string()))?;
        let ids = encoding.get_ids().iter().zip(encoding.get_tokens());
        let places = encoding.get_offsets().iter().zip(encoding.get_special_tokens_mask());
        // Places go forward, so one walk over the text finds them all.
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let tokens = ids.zip(places).map(|((id, name), ((start, end), added))| {
            let bytes = starts.get(*start).zip(starts.get(*end));
            let (text, place) = match bytes.and_then(|(start, end)| text.get(*start..*end)) {
                Some(found) if *added == 0 => (found.to_owned(), Some(*start..*end)),
                _ => (name.clone(), None),
            };
            Token { id: *id, text, place }
        });
        Ok(tokens.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_know_their_places_in_characters() {
        let json = r#"{"version":"1.0","added_tokens":[{"id":4,"content":"[CLS]","single_word":false,"lstrip":false,
            "rstrip":false,"normalized":false,"special":true}],"normalizer":{"type":"Lowercase"},
            "pre_tokenizer":{"type":"Whitespace"},"post_processor":{"type":"TemplateProcessing",
            "single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
            "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":0}}],
            "special_tokens":{"[CLS]":{"id":"[CLS]","ids":[4],"tokens":["[CLS]"]}}},"decoder":null,
            "model":{"type":"WordLevel","vocab":{"[UNK]":0,"good":1,"é":2,"bad":3},"unk_token":"[UNK]"}}"#;
        let tokenizer = Tokenizer::from_json(json.as_bytes()).unwrap();
        let token = |id, text: &str, place| Token { id, text: text.to_owned(), place };
        let found = tokenizer.tokens("é Good x", Special::Added).unwrap();
        let expected = [
            token(4, "[CLS]", None),
            token(2, "é", Some(0..1)),
            token(1, "Good", Some(2..6)),
            token(0, "x", Some(7..8)),
        ];
        assert_eq!(found, expected);
        assert_eq!(tokenizer.tokens("é Good x", Special::LeftOut).unwrap(), expected[1..]);
    }
}
