//! Preparation: an input as given becomes what the network sees. Pure; training and serving share it.

use crate::image::PictureError;
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
    pub fn prepare(&self, _input: &Input) -> Result<Prepared, PrepareError> {
        todo!("{:?} {:?}", self.preparation, self.tokenizer)
    }
}
