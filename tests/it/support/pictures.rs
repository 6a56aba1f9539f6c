//! Pictures made in code: a test carries what it needs.

use std::io::Cursor;

use bytes::Bytes;
use image::{ImageFormat, Rgb, RgbImage};

/// A PNG of `width` × `height` pixels: coloured waves that differ from seed to seed.
pub fn png(seed: u32, width: u32, height: u32) -> Bytes {
    encode(&waves(seed, width, height), ImageFormat::Png)
}

/// The same as a JPEG.
pub fn jpeg(seed: u32, width: u32, height: u32) -> Bytes {
    encode(&waves(seed, width, height), ImageFormat::Jpeg)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sine within 1 to 255")]
fn waves(seed: u32, width: u32, height: u32) -> RgbImage {
    let phase = f64::from(seed) * 0.7;
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |scale: f64, shift: f64| {
            let at = f64::from(x) * scale + f64::from(y) * (0.11 - scale) + phase + shift;
            (at.sin() * 127.0 + 128.0) as u8
        };
        Rgb([wave(0.05 + phase * 0.01, 0.0), wave(0.09, phase), wave(0.02, phase * 2.0)])
    })
}

fn encode(picture: &RgbImage, format: ImageFormat) -> Bytes {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner().into()
}
