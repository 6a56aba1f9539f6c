//! Resizing and normalising: from a picture to C × H × W numbers.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use super::Picture;
use crate::limits::NETWORK_SIDE_MAX;

/// How a picture becomes a network's input: the `[input.picture]` table of an image model's manifest.
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
        if self.channels != 1 && self.channels != 3 {
            return Err(format!("channels is {}, expected 3 (RGB) or 1 (grey)", self.channels));
        }
        for (key, side) in [("height", self.height), ("width", self.width)] {
            if !(1..=NETWORK_SIDE_MAX as usize).contains(&side) {
                return Err(format!("{key} is {side}, expected 1 to {NETWORK_SIDE_MAX} pixels"));
            }
        }
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != self.channels {
                return Err(format!(
                    "{key} has {} values, expected {}, one a channel",
                    values.len(),
                    self.channels
                ));
            }
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(format!("{key} holds {value}, expected finite numbers"));
            }
        }
        match self.std.iter().find(|value| **value <= 0.0) {
            Some(value) => Err(format!("std holds {value}, expected numbers above 0")),
            None => Ok(()),
        }
    }

    /// The picture at the network's size, 8 bits: what augmentation works on.
    #[must_use]
    pub fn resize(&self, picture: &Picture) -> Picture {
        let (width, height) = self.size();
        let (from_width, from_height) = (f64::from(picture.width), f64::from(picture.height));
        match self.fit {
            Fit::Stretch => resized(picture, (0.0, 0.0, from_width, from_height), (width, height)),
            Fit::Cover => {
                let scale = (from_width / f64::from(width)).min(from_height / f64::from(height));
                // Rounding must not make the crop larger than the picture.
                let crop_width = (f64::from(width) * scale).min(from_width);
                let crop_height = (f64::from(height) * scale).min(from_height);
                let corner = ((from_width - crop_width) / 2.0, (from_height - crop_height) / 2.0);
                resized(picture, (corner.0, corner.1, crop_width, crop_height), (width, height))
            }
            Fit::Contain => {
                let scale = (f64::from(width) / from_width).min(f64::from(height) / from_height);
                let inner = (scaled(picture.width, scale, width), scaled(picture.height, scale, height));
                padded(&resized(picture, (0.0, 0.0, from_width, from_height), inner), (width, height))
            }
        }
    }

    /// C × H × W normalised values of a picture that [`resize`](Self::resize) made.
    #[must_use]
    pub fn normalise(&self, resized: &Picture) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.channels * resized.rgb.len() / 3);
        for (channel, (mean, std)) in self.mean.iter().zip(&self.std).enumerate() {
            values.extend(resized.rgb.chunks_exact(3).map(|pixel| {
                let value = if self.channels == 1 { luma(pixel) } else { pixel.get(channel).copied() };
                (f32::from(value.unwrap_or(0)) / 255.0 - mean) / std
            }));
        }
        values
    }

    fn size(&self) -> (u32, u32) {
        let side = |side: usize| u32::try_from(side).unwrap_or(NETWORK_SIDE_MAX).clamp(1, NETWORK_SIDE_MAX);
        (side(self.width), side(self.height))
    }
}

/// A side times the scale, rounded, at least a pixel and at most `side_max`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=side_max, a u32")]
fn scaled(side: u32, scale: f64, side_max: u32) -> u32 {
    (f64::from(side) * scale).round().clamp(1.0, f64::from(side_max)) as u32
}

/// ITU-R 601 luma in Pillow's fixed point: L = (R × 19595 + G × 38470 + B × 7471 + 0x8000) >> 16.
fn luma(pixel: &[u8]) -> Option<u8> {
    let &[red, green, blue] = pixel else { return None };
    let sum = u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000;
    u8::try_from(sum >> 16).ok()
}

/// The box (left, top, width, height) of the picture, resized by antialiased bilinear convolution, as Pillow does.
fn resized(picture: &Picture, (left, top, width, height): (f64, f64, f64, f64), to: (u32, u32)) -> Picture {
    let mut out = Image::new(to.0, to.1, PixelType::U8x3);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, width, height);
    let done = ImageRef::new(picture.width, picture.height, &picture.rgb, PixelType::U8x3)
        .map_err(|error| error.to_string())
        .and_then(|image| {
            Resizer::new().resize(&image, &mut out, &options).map_err(|error| error.to_string())
        });
    // A picture's pixels fill it and the box lies inside it, so only a picture built by hand can fail here.
    debug_assert_eq!(done, Ok(()));
    Picture { width: to.0, height: to.1, rgb: out.into_vec() }
}

/// The picture in the middle of a black one.
fn padded(picture: &Picture, (width, height): (u32, u32)) -> Picture {
    let (left, top) = ((width - picture.width) / 2, (height - picture.height) / 2);
    let mut rgb = vec![0; width as usize * height as usize * 3];
    let rows = rgb.chunks_exact_mut(width as usize * 3).skip(top as usize);
    for (row, from) in rows.zip(picture.rgb.chunks_exact(picture.width as usize * 3)) {
        for (to, from) in row.iter_mut().skip(left as usize * 3).zip(from) {
            *to = *from;
        }
    }
    Picture { width, height, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preparation(channels: usize, (width, height): (usize, usize), fit: Fit) -> Preparation {
        let plain = |value| vec![value; channels];
        Preparation { channels, height, width, fit, mean: plain(0.0), std: plain(1.0) }
    }

    fn stripes() -> Picture {
        // 4 × 2: columns of 0, 100, 200, 40.
        let row = [0, 100, 200, 40].map(|value| [value; 3]).concat();
        Picture { width: 4, height: 2, rgb: [row.clone(), row].concat() }
    }

    fn greys(picture: &Picture) -> Vec<u8> {
        picture.rgb.chunks_exact(3).map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn a_picture_of_the_size_stays_as_it_is() {
        for fit in [Fit::Stretch, Fit::Cover, Fit::Contain] {
            assert_eq!(preparation(3, (4, 2), fit).resize(&stripes()), stripes(), "{fit:?}");
        }
    }

    #[test]
    fn each_fit_does_what_it_says() {
        // Pillow's antialiased triangle, 4 to 2: (0×3 + 100×3 + 200) / 7 and (100 + 200×3 + 40×3) / 7.
        assert_eq!(greys(&preparation(3, (2, 1), Fit::Stretch).resize(&stripes())), [71, 117]);
        assert_eq!(greys(&preparation(3, (2, 2), Fit::Cover).resize(&stripes())), [100, 200, 100, 200]);
        let contained = preparation(3, (4, 4), Fit::Contain).resize(&stripes());
        assert_eq!(greys(&contained)[..4], [0; 4]);
        assert_eq!(greys(&contained)[4..12], greys(&stripes()));
        assert_eq!(greys(&contained)[12..], [0; 4]);
    }

    #[test]
    fn any_shape_fits() {
        for (width, height) in [(1, 1), (1, 500), (500, 1), (7, 13)] {
            let rgb = vec![50; width as usize * height as usize * 3];
            let picture = Picture { width, height, rgb };
            for fit in [Fit::Stretch, Fit::Cover, Fit::Contain] {
                let resized = preparation(3, (14, 9), fit).resize(&picture);
                assert_eq!((resized.width, resized.height, resized.rgb.len()), (14, 9, 14 * 9 * 3));
                assert!(resized.rgb.contains(&50), "{width} x {height} {fit:?}");
            }
        }
    }

    #[test]
    fn values_are_channel_by_channel_and_normalised() {
        let picture = Picture { width: 2, height: 1, rgb: vec![0, 51, 255, 102, 204, 0] };
        let mut recipe = preparation(3, (2, 1), Fit::Stretch);
        assert_eq!(recipe.normalise(&picture), [0.0, 0.4, 0.2, 0.8, 1.0, 0.0]);
        (recipe.mean, recipe.std) = (vec![0.5, 0.0, 1.0], vec![0.5, 2.0, 0.1]);
        assert_eq!(recipe.normalise(&picture)[..3], [-1.0, (0.4 - 0.5) / 0.5, 0.1]);
        let grey = preparation(1, (2, 1), Fit::Stretch).normalise(&picture);
        assert_eq!(grey, [59.0 / 255.0, 150.0 / 255.0]);
    }

    #[test]
    fn wrong_settings_are_named() {
        let good = preparation(3, (8, 8), Fit::Cover);
        assert_eq!(good.validate(), Ok(()));
        let cases = [
            (Preparation { channels: 2, ..good.clone() }, "channels is 2"),
            (Preparation { width: 0, ..good.clone() }, "width is 0"),
            (Preparation { height: 1025, ..good.clone() }, "height is 1025"),
            (Preparation { mean: vec![0.5], ..good.clone() }, "mean has 1 values, expected 3"),
            (Preparation { mean: vec![f32::NAN; 3], ..good.clone() }, "mean holds NaN"),
            (Preparation { std: vec![1.0, 0.0, 1.0], ..good.clone() }, "std holds 0"),
        ];
        for (preparation, said) in cases {
            let error = preparation.validate().unwrap_err();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
