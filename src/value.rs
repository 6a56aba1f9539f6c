//! What comes in, what a network sees, and what goes out: the values every door and every engine agree on.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Text in, labels out.
    TextClassification,
    /// Picture in, labels out.
    ImageClassification,
}

impl Task {
    /// The task's name on the wire and in `model.toml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TextClassification => "text-classification",
            Self::ImageClassification => "image-classification",
        }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How the outputs of a network become scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// One output, two labels: sigmoid is the second label's score, the first has the rest.
    Binary,
    /// One output a label: softmax, the scores sum to 1.
    MultiClass,
    /// One output a label: sigmoid each, any number of labels may hold.
    MultiLabel,
}

impl Objective {
    /// Outputs that a network needs for `labels` labels.
    #[must_use]
    pub fn outputs(self, labels: usize) -> usize {
        match self {
            Self::Binary => 1,
            Self::MultiClass | Self::MultiLabel => labels,
        }
    }
}

/// One input as a caller gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A text, valid UTF-8.
    Text(String),
    /// An encoded picture: PNG, JPEG, WebP, BMP or GIF.
    Picture(Bytes),
    /// The pixels of a picture that its caller decoded.
    Pixels(Raster),
    /// What its caller prepared as the network sees it.
    Ready(Features),
}

/// A decoded picture of any size: `height × width × channels` bytes, row by row, the channels of a pixel side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raster {
    width: u32,
    height: u32,
    channels: u8,
    values: Bytes,
}

impl Raster {
    /// A picture of these bytes. `None` unless they are as many as its sides say, its sides are not 0, and it is grey
    /// (1 channel), RGB (3) or RGBA (4, whose transparency is dropped).
    #[must_use]
    pub fn new([height, width]: [u32; 2], channels: u8, values: Bytes) -> Option<Self> {
        let pixels = u64::from(width) * u64::from(height);
        let fits = pixels.checked_mul(u64::from(channels)) == u64::try_from(values.len()).ok();
        (pixels > 0 && matches!(channels, 1 | 3 | 4) && fits).then_some(Self {
            width,
            height,
            channels,
            values,
        })
    }

    /// Pixels a row.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels as RGB, three bytes each.
    #[must_use]
    pub fn rgb(&self) -> Vec<u8> {
        let pixels = self.values.chunks_exact(usize::from(self.channels));
        match self.channels {
            1 => self.values.iter().flat_map(|grey| [*grey; 3]).collect(),
            3 => self.values.to_vec(),
            _ => pixels.flat_map(|pixel| pixel.iter().take(3).copied()).collect(),
        }
    }
}

/// One input as a network sees it: what preparation makes of an [`Input`]. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Token ids, at least one, none of them padding.
    Tokens(Arc<[u32]>),
    /// Normalised pixels, channel by channel, row by row (C × H × W) of the model's picture size.
    Pixels(Arc<[f32]>),
}

impl Features {
    /// What the row costs a batch: tokens or pixels.
    #[must_use]
    pub fn work(&self) -> usize {
        match self {
            Self::Tokens(ids) => ids.len(),
            Self::Pixels(values) => values.len(),
        }
    }
}

/// What a network answers for one input: `positions × outputs` numbers, position by position.
///
/// There is one position, unless an LSTM is not pooled: then there is one a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    outputs: usize,
    values: Vec<f32>,
}

impl Logits {
    /// Logits of `values.len() / outputs` positions; `None` when that is not a positive whole number.
    #[must_use]
    pub fn new(outputs: usize, values: Vec<f32>) -> Option<Self> {
        let whole = outputs > 0 && !values.is_empty() && values.len().is_multiple_of(outputs);
        whole.then_some(Self { outputs, values })
    }

    /// The positions, each with its `outputs` numbers.
    pub fn positions(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.outputs)
    }

    /// All the numbers, position by position.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Whether every number is finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.values.iter().all(|value| value.is_finite())
    }
}

/// One label and how likely it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The label as the model's manifest spells it.
    pub label: Arc<str>,
    /// Its probability, 0 to 1.
    pub score: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raster_has_the_bytes_that_its_sides_say() {
        let raster = |sides, channels, len: u8| Raster::new(sides, channels, (0..len).collect());
        assert_eq!(raster([1, 2], 1, 2).unwrap().rgb(), [0, 0, 0, 1, 1, 1]);
        assert_eq!(raster([2, 1], 3, 6).unwrap().rgb(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(raster([1, 2], 4, 8).unwrap().rgb(), [0, 1, 2, 4, 5, 6]);
        for (sides, channels, len) in [([1, 2], 3, 5), ([0, 2], 3, 0), ([1, 1], 2, 2), ([u32::MAX; 2], 4, 4)]
        {
            assert_eq!(raster(sides, channels, len), None);
        }
    }

    #[test]
    fn logits_are_whole_positions() {
        assert!(Logits::new(2, vec![0.0; 3]).is_none());
        assert!(Logits::new(0, vec![]).is_none());
        let logits = Logits::new(2, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(logits.positions().collect::<Vec<_>>(), [&[1.0, 2.0][..], &[3.0, 4.0]]);
        assert!(logits.is_finite());
        assert!(!Logits::new(1, vec![f32::NAN]).unwrap().is_finite());
    }
}
