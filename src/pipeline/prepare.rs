//! Preparation: an input as given becomes what the network sees. Pure; training and serving share it.

use std::sync::Arc;

use crate::image::{Picture, PictureError, Preparation, check_size, decode};
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
    /// A prepared input that no network can answer.
    #[error("value {index} of the prepared picture is {value}, expected a finite number")]
    NotFinite {
        /// Its place.
        index: usize,
        /// What it is.
        value: String,
    },
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

    /// What makes tokens of texts; of a model of texts.
    #[must_use]
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
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
            (InputPreparation::Text(text_input), Input::Ready(Features::Tokens(ids))) => {
                read(ids.to_vec(), text_input.tokens_max)
            }
            (InputPreparation::Picture(preparation), Input::Picture(bytes)) => {
                Ok(pixels(preparation, &decode(bytes)?))
            }
            (InputPreparation::Picture(preparation), Input::Pixels(raster)) => {
                check_size(raster.width(), raster.height())?;
                let (width, height) = (raster.width(), raster.height());
                Ok(pixels(preparation, &Picture { width, height, rgb: raster.rgb() }))
            }
            (InputPreparation::Picture(preparation), Input::Ready(Features::Pixels(values))) => {
                finite(values)?;
                Ok(Prepared {
                    features: Features::Pixels(Arc::clone(values)),
                    units: preparation.width * preparation.height,
                    truncated: false,
                })
            }
            (InputPreparation::Text(_), _) => Err(PrepareError::WrongKind { task: Task::TextClassification }),
            (InputPreparation::Picture(_), _) => {
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
        let ids = tokenizer.encode(text).map_err(|error| PrepareError::Tokenizer(error.to_string()))?;
        read(ids, tokens_max)
    }
}

/// The tokens that the network reads of a text.
fn read(mut ids: Vec<u32>, tokens_max: usize) -> Result<Prepared, PrepareError> {
    let truncated = ids.len() > tokens_max;
    ids.truncate(tokens_max);
    if ids.is_empty() {
        return Err(PrepareError::Tokenizer("it has no token".into()));
    }
    Ok(Prepared { units: ids.len(), features: Features::Tokens(ids.into()), truncated })
}

fn pixels(preparation: &Preparation, picture: &Picture) -> Prepared {
    let resized = preparation.resize(picture);
    let features = Features::Pixels(preparation.normalise(&resized).into());
    Prepared { features, units: preparation.width * preparation.height, truncated: false }
}

fn finite(values: &[f32]) -> Result<(), PrepareError> {
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((index, &value)) => Err(PrepareError::NotFinite { index, value: value.to_string() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Fit;
    use crate::model::TextInput;
    use crate::text::Recipe;
    use crate::value::Raster;

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
    fn what_its_caller_decoded_or_prepared_is_taken_as_it_is() {
        let raster = Raster::new([2, 1], 3, vec![255, 0, 51, 0, 255, 102].into()).unwrap();
        let values: Arc<[f32]> = [1.0, 0.0, 0.0, 1.0, 0.2, 0.4].into();
        let prepared = of_pictures().prepare(&Input::Pixels(raster)).unwrap();
        assert_eq!((prepared.features, prepared.units), (Features::Pixels(Arc::clone(&values)), 2));
        let prepared = of_pictures().prepare(&Input::Ready(Features::Pixels(Arc::clone(&values)))).unwrap();
        assert_eq!((prepared.features, prepared.units), (Features::Pixels(values), 2));
        let ready = |ids: &[u32]| Input::Ready(Features::Tokens(ids.into()));
        let prepared = of_text().prepare(&ready(&[4, 2, 3, 3])).unwrap();
        assert_eq!((prepared.features, prepared.truncated), (Features::Tokens([4, 2, 3].into()), true));
        let refused = of_text().prepare(&ready(&[])).unwrap_err();
        assert_eq!(refused.to_string(), "the text cannot be tokenized: it has no token");
        let refused = of_pictures().prepare(&Input::Ready(Features::Pixels([0.0, f32::NAN].into())));
        let expected = "value 1 of the prepared picture is NaN, expected a finite number";
        assert_eq!(refused.unwrap_err().to_string(), expected);
        assert_eq!(
            of_pictures().prepare(&ready(&[1])),
            Err(PrepareError::WrongKind { task: Task::ImageClassification })
        );
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
