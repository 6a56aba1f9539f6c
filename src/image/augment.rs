//! Augmentation: small changes to training pictures that keep their label.

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::Picture;
use crate::limits::NETWORK_SIDE_MAX;

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
    /// Checks every strength against its bounds.
    ///
    /// # Errors
    /// What is out of bounds, with its key.
    pub fn validate(&self) -> Result<(), String> {
        if self.crop_padding > NETWORK_SIDE_MAX {
            return Err(format!("crop_padding is {}, expected 0 to {NETWORK_SIDE_MAX}", self.crop_padding));
        }
        let bounds = [
            ("colour_jitter", self.colour_jitter, 1.0),
            ("rotate_degrees", self.rotate_degrees, 180.0),
            ("zoom", self.zoom, 0.9),
        ];
        match bounds.into_iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
            Some((key, value, most)) => Err(format!("{key} is {value}, expected 0 to {most}")),
            None => Ok(()),
        }
    }

    /// One random variant of the picture, of the same size; deterministic in the generator's state.
    #[must_use]
    pub fn apply(&self, picture: &Picture, generator: &mut dyn RngCore) -> Picture {
        let mut out = picture.clone();
        if self.colour_jitter > 0.0 {
            let mut factor = || 1.0 + self.colour_jitter * symmetric(generator);
            jitter(&mut out.rgb, [factor(), factor(), factor()]);
        }
        if self.rotate_degrees > 0.0 || self.zoom > 0.0 {
            let angle = (self.rotate_degrees * symmetric(generator)).to_radians();
            let scale = 1.0 + self.zoom * symmetric(generator);
            out = turned(&out, angle, scale);
        }
        if self.flip && generator.next_u32() & 1 == 1 {
            out = moved(&out, |x, y| (i64::from(out.width) - 1 - x, y));
        }
        if self.crop_padding > 0 {
            let padding = i64::from(self.crop_padding);
            let mut shift = || i64::from(generator.next_u32() % (2 * self.crop_padding + 1)) - padding;
            let (right, down) = (shift(), shift());
            out = moved(&out, |x, y| (x + right, y + down));
        }
        out
    }
}

/// A number within ± 1, in steps of 2^-23.
fn symmetric(generator: &mut dyn RngCore) -> f32 {
    (generator.next_u32() >> 8) as f32 / 8_388_608.0 - 1.0
}

/// Scales brightness, then contrast about the mean grey, then saturation about each pixel's grey.
fn jitter(rgb: &mut [u8], [brightness, contrast, saturation]: [f32; 3]) {
    let grey = |pixel: [f32; 3]| 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
    let pixels = rgb.as_chunks_mut::<3>().0;
    let sum: f64 = pixels.iter().map(|pixel| f64::from(grey(pixel.map(f32::from)))).sum();
    #[expect(clippy::cast_possible_truncation, reason = "a mean of values up to 255")]
    let mean = (sum / pixels.len().max(1) as f64) as f32 * brightness;
    for pixel in pixels {
        let contrasted = pixel.map(|value| (f32::from(value) * brightness - mean) * contrast + mean);
        let grey = grey(contrasted);
        *pixel = contrasted.map(|value| byte(grey + (value - grey) * saturation));
    }
}

/// Turned by `angle` radians and scaled about the centre; bilinear, the edge repeated.
fn turned(picture: &Picture, angle: f32, scale: f32) -> Picture {
    let (sine, cosine) = angle.sin_cos();
    let (centre_x, centre_y) = ((picture.width as f32 - 1.0) / 2.0, (picture.height as f32 - 1.0) / 2.0);
    let mut rgb = Vec::with_capacity(picture.rgb.len());
    for y in 0..picture.height {
        for x in 0..picture.width {
            let (dx, dy) = ((x as f32 - centre_x) / scale, (y as f32 - centre_y) / scale);
            rgb.extend(sampled(
                picture,
                centre_x + dx * cosine - dy * sine,
                centre_y + dx * sine + dy * cosine,
            ));
        }
    }
    Picture { rgb, ..*picture }
}

#[expect(clippy::cast_possible_truncation, reason = "coordinates within a few picture sides")]
fn sampled(picture: &Picture, x: f32, y: f32) -> [u8; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (right_share, bottom_share) = (x - left, y - top);
    let (left, top) = (left as i64, top as i64);
    let corners = [(left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)];
    let [top_left, top_right, bottom_left, bottom_right] =
        corners.map(|(x, y)| pixel(picture, x, y).map(f32::from));
    std::array::from_fn(|channel| {
        let above = mixed(top_left[channel], top_right[channel], right_share);
        let below = mixed(bottom_left[channel], bottom_right[channel], right_share);
        byte(mixed(above, below, bottom_share))
    })
}

fn mixed(first: f32, second: f32, second_share: f32) -> f32 {
    first + (second - first) * second_share
}

/// Each pixel taken from where `from` says, the edge repeated.
fn moved(picture: &Picture, from: impl Fn(i64, i64) -> (i64, i64)) -> Picture {
    let mut rgb = Vec::with_capacity(picture.rgb.len());
    for y in 0..i64::from(picture.height) {
        for x in 0..i64::from(picture.width) {
            let (x, y) = from(x, y);
            rgb.extend(pixel(picture, x, y));
        }
    }
    Picture { rgb, ..*picture }
}

/// The pixel at or nearest to a place.
fn pixel(picture: &Picture, x: i64, y: i64) -> [u8; 3] {
    let within = |at: i64, side: u32| at.clamp(0, i64::from(side).max(1) - 1);
    let place = within(y, picture.height) * i64::from(picture.width) + within(x, picture.width);
    let pixels = picture.rgb.as_chunks::<3>().0;
    usize::try_from(place).ok().and_then(|place| pixels.get(place)).copied().unwrap_or_default()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn ramp() -> Picture {
        let rgb = (0..8 * 8).flat_map(|at: u8| [at * 3, 255 - at, at]).collect();
        Picture { width: 8, height: 8, rgb }
    }

    fn variants(augmentation: &Augmentation, seed: u64) -> Vec<Picture> {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        (0..20).map(|_| augmentation.apply(&ramp(), &mut generator)).collect()
    }

    #[test]
    fn nothing_asked_changes_nothing_and_draws_nothing() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(Augmentation::default().apply(&ramp(), &mut generator), ramp());
        assert_eq!(generator, ChaCha8Rng::seed_from_u64(1));
    }

    #[test]
    fn each_change_changes_and_the_seed_decides() {
        let off = Augmentation::default;
        let cases = [
            Augmentation { flip: true, ..off() },
            Augmentation { crop_padding: 2, ..off() },
            Augmentation { colour_jitter: 0.4, ..off() },
            Augmentation { rotate_degrees: 15.0, ..off() },
            Augmentation { zoom: 0.2, ..off() },
        ];
        for augmentation in cases {
            let some = variants(&augmentation, 7);
            assert_eq!(some, variants(&augmentation, 7), "{augmentation:?}");
            assert_ne!(some, variants(&augmentation, 8), "{augmentation:?}");
            assert!(some.iter().any(|variant| *variant != ramp()), "{augmentation:?}");
            assert!(some.iter().all(|variant| variant.rgb.len() == ramp().rgb.len()), "{augmentation:?}");
        }
    }

    #[test]
    fn a_flip_is_a_mirror_and_every_other_one_is_none() {
        let mirrored: Vec<u8> = ramp()
            .rgb
            .chunks(24)
            .flat_map(|row| row.chunks(3).rev().flatten().copied().collect::<Vec<_>>())
            .collect();
        let some = variants(&Augmentation { flip: true, ..Augmentation::default() }, 3);
        let flipped = some.iter().filter(|variant| variant.rgb == mirrored).count();
        let plain = some.iter().filter(|variant| **variant == ramp()).count();
        assert!(flipped + plain == 20 && flipped >= 4 && plain >= 4, "{flipped} flipped, {plain} not");
    }

    #[test]
    fn geometry_is_exact_where_it_can_be() {
        assert_eq!(turned(&ramp(), 0.0, 1.0), ramp());
        let half_turn: Vec<u8> = ramp().rgb.chunks(3).rev().flatten().copied().collect();
        assert_eq!(turned(&ramp(), std::f32::consts::PI, 1.0).rgb, half_turn);
        let plain = Picture { width: 5, height: 3, rgb: vec![90; 45] };
        assert_eq!(turned(&plain, 0.3, 1.4), plain, "the edge is repeated, no black comes in");
        let shifted = moved(&ramp(), |x, y| (x + 1, y));
        assert_eq!(pixel(&shifted, 0, 0), pixel(&ramp(), 1, 0));
        assert_eq!(pixel(&shifted, 7, 2), pixel(&ramp(), 7, 2));
    }

    #[test]
    fn strengths_out_of_bounds_are_named() {
        Augmentation::default().validate().unwrap();
        let wrong = Augmentation { zoom: 1.0, ..Augmentation::default() };
        assert_eq!(wrong.validate().unwrap_err(), "zoom is 1, expected 0 to 0.9");
        let wrong = Augmentation { colour_jitter: f32::NAN, ..Augmentation::default() };
        assert_eq!(wrong.validate().unwrap_err(), "colour_jitter is NaN, expected 0 to 1");
        let wrong = Augmentation { crop_padding: 5000, ..Augmentation::default() };
        assert_eq!(wrong.validate().unwrap_err(), "crop_padding is 5000, expected 0 to 1024");
    }
}
