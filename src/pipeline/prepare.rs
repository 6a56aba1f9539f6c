//! Preparation: an input as given becomes what the network sees. Pure; training and serving share it.

use crate::image::{PictureError, decode};
use crate::limits::TEXT_BYTES_MAX;
use crate::model::InputPreparation;
use crate::text::Tokenizer;
use crate::value::{Features, Input, Task};

/// Prepares inputs of one model.
#[derive(Clone, Debug)]
pub struct Preparer {
    preparation: InputPreparation,
    tokenizer: Option<Tokenizer>,
}

/// Features, and what their input was worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// What the network sees.
    pub features: Features,
    /// Tokens read (texts) or pixels seen (pictures, of the network's size).
    pub units: usize,
    /// Whether a text was longer than the model reads.
    pub truncated: bool,
}

/// Why one input cannot be prepared; its neighbours can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// No text but white space.
    #[error("the text is empty: expected at least one character that is not white space")]
    EmptyText,
    /// Longer than any text we take.
    #[error("the text has {bytes} bytes, at most {bytes_max} are taken")]
    TextTooLong {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The tokenizer found nothing in it, or failed.
    #[error("the text cannot be tokenized: {0}")]
    Tokenizer(String),
    /// Not a picture that we take.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A text for an image model or the other way round.
    #[error("this model does {task}")]
    WrongKind {
        /// What the model does.
        task: Task,
    },
}

impl Preparer {
    /// A preparer; `tokenizer` is there exactly when the preparation is of text.
    #[must_use]
    pub fn new(preparation: InputPreparation, tokenizer: Option<Tokenizer>) -> Self {
        Self { preparation, tokenizer }
    }

    /// Prepares one input. Takes CPU time: tens of microseconds a text, milliseconds a large picture.
    ///
    /// # Errors
    /// What is wrong with the input.
    pub fn prepare(&self, input: &Input) -> Result<Prepared, PrepareError> {
        match (&self.preparation, input) {
            (InputPreparation::Text(text_input), Input::Text(text)) => {
                self.tokens(text, text_input.tokens_max)
            }
            (InputPreparation::Picture(preparation), Input::Picture(bytes)) => {
                let resized = preparation.resize(&decode(bytes)?);
                let features = Features::Pixels(preparation.normalise(&resized).into());
                Ok(Prepared { features, units: preparation.width * preparation.height, truncated: false })
            }
            (InputPreparation::Text(_), Input::Picture(_)) => {
                Err(PrepareError::WrongKind { task: Task::TextClassification })
            }
            (InputPreparation::Picture(_), Input::Text(_)) => {
                Err(PrepareError::WrongKind { task: Task::ImageClassification })
            }
        }
    }

    fn tokens(&self, text: &str, tokens_max: usize) -> Result<Prepared, PrepareError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(PrepareError::TextTooLong { bytes: text.len(), bytes_max: TEXT_BYTES_MAX });
        }
        if text.trim().is_empty() {
            return Err(PrepareError::EmptyText);
        }
        let tokenizer = self
            .tokenizer
            .as_ref()
            .ok_or_else(|| PrepareError::Tokenizer("the model has no tokenizer".into()))?;
        let mut ids = tokenizer.encode(text).map_err(|error| PrepareError::Tokenizer(error.to_string()))?;
        let truncated = ids.len() > tokens_max;
        ids.truncate(tokens_max);
        if ids.is_empty() {
            return Err(PrepareError::Tokenizer("it has no token".into()));
        }
        Ok(Prepared { units: ids.len(), features: Features::Tokens(ids.into()), truncated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Fit, Preparation};
    use crate::model::TextInput;
    use crate::text::Recipe;

    fn of_text() -> Preparer {
        let recipe = Recipe { frequency_min: 1, ..Recipe::default() };
        let tokenizer = recipe.train(&mut ["good bad film"].into_iter()).unwrap();
        Preparer::new(InputPreparation::Text(TextInput { tokens_max: 3 }), Some(tokenizer))
    }

    fn of_pictures() -> Preparer {
        let (mean, std) = (vec![0.0; 3], vec![1.0; 3]);
        let preparation = Preparation { channels: 3, height: 2, width: 1, fit: Fit::Stretch, mean, std };
        Preparer::new(InputPreparation::Picture(preparation), None)
    }

    fn text(text: &str) -> Input {
        Input::Text(text.into())
    }

    #[test]
    fn a_text_becomes_its_first_tokens() {
        let prepared = of_text().prepare(&text("Good bad  film")).unwrap();
        assert_eq!(prepared.features, Features::Tokens([4, 2, 3].into()));
        assert_eq!((prepared.units, prepared.truncated), (3, false));
        let longer = of_text().prepare(&text("good bad film film")).unwrap();
        assert_eq!((longer.features, longer.units, longer.truncated), (prepared.features, 3, true));
    }

    #[test]
    fn a_picture_becomes_its_pixels() {
        let mut png = std::io::Cursor::new(Vec::new());
        let picture = image::RgbImage::from_raw(1, 2, vec![255, 0, 51, 0, 255, 102]).unwrap();
        picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let prepared = of_pictures().prepare(&Input::Picture(png.into_inner().into())).unwrap();
        assert_eq!(prepared.features, Features::Pixels([1.0, 0.0, 0.0, 1.0, 0.2, 0.4].into()));
        assert_eq!((prepared.units, prepared.truncated), (2, false));
    }

    #[test]
    fn what_cannot_be_prepared_is_told_apart() {
        let too_long = "a ".repeat(TEXT_BYTES_MAX / 2 + 1);
        let (text_model, image_model) = (of_text(), of_pictures());
        let junk = Input::Picture(b"junk".as_slice().into());
        let cases = [
            (
                &text_model,
                text(""),
                "the text is empty: expected at least one character that is not white space",
            ),
            (
                &text_model,
                text(" \n\u{3000}"),
                "the text is empty: expected at least one character that is not white space",
            ),
            (&text_model, text(&too_long), "the text has 65538 bytes, at most 65536 are taken"),
            (&text_model, junk.clone(), "this model does text-classification"),
            (&image_model, text("good"), "this model does image-classification"),
            (&image_model, junk, "not a PNG, JPEG, WebP, BMP or GIF picture"),
        ];
        for (preparer, input, expected) in cases {
            match preparer.prepare(&input) {
                Err(error) => assert_eq!(error.to_string(), expected),
                Ok(prepared) => panic!("{expected}: {prepared:?}"),
            }
        }
        let fits = "a ".repeat(TEXT_BYTES_MAX / 2);
        assert!(of_text().prepare(&text(&fits)).unwrap().truncated);
    }
}
