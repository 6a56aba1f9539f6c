//! Augmentation: small changes to training pictures that keep their label.

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::Picture;

/// Which changes, and how strong: the `[augmentation]` table of a recipe. All off by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Mirrored left to right, every second time.
    pub flip: bool,
    /// Padded by so many pixels (the edge repeated) and cropped back at a random place.
    pub crop_padding: u32,
    /// Brightness, contrast and saturation scaled by a factor within 1 ± this.
    pub colour_jitter: f32,
    /// Turned by an angle within ± so many degrees (bilinear, the edge repeated).
    pub rotate_degrees: f32,
    /// Scaled by a factor within 1 ± this.
    pub zoom: f32,
}

impl Augmentation {
    /// One random variant of the picture, of the same size; deterministic in the generator's state.
    #[must_use]
    pub fn apply(&self, _picture: &Picture, _generator: &mut dyn RngCore) -> Picture {
        todo!()
    }
}
