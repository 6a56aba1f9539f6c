//! Resizing and normalising: from a picture to C × H × W numbers.

use serde::{Deserialize, Serialize};

use super::Picture;

/// How a picture becomes a network's input: the `[input]` table of an image model's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// 3 (RGB) or 1 (grey, ITU-R 601 luma as PIL's `L`).
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
    /// How a picture of another shape is made to fit.
    #[serde(default)]
    pub fit: Fit,
    /// Subtracted from each channel's values (0 to 1).
    pub mean: Vec<f32>,
    /// Then divided by.
    pub std: Vec<f32>,
}

/// How a picture of another shape is made to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Stretched to the size (bilinear, antialiased).
    #[default]
    Stretch,
    /// Scaled until it covers the size, then cropped at the centre.
    Cover,
    /// Scaled until it is inside, then padded with black.
    Contain,
}

impl Preparation {
    /// Checks sizes, and that mean and std have a finite value a channel, std above 0.
    ///
    /// # Errors
    /// What is wrong, with its key.
    pub fn validate(&self) -> Result<(), String> {
        todo!()
    }

    /// The picture at the network's size, 8 bits: what augmentation works on.
    #[must_use]
    pub fn resize(&self, _picture: &Picture) -> Picture {
        todo!()
    }

    /// C × H × W normalised values of a picture that [`resize`](Self::resize) made.
    #[must_use]
    pub fn normalise(&self, _resized: &Picture) -> Vec<f32> {
        todo!()
    }
}
