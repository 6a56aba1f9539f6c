//! Decoding within limits: format by content, size by header first, EXIF orientation applied.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::limits::{PICTURE_DECODE_BYTES_MAX, PICTURE_PIXELS_MAX, PICTURE_SIDE_MAX};

/// A decoded picture, 8-bit RGB, height × width × 3, upright.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Row by row, RGB.
    pub rgb: Vec<u8>,
}

/// Why bytes are no picture that we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Not the magic bytes of PNG, JPEG, WebP, BMP or GIF.
    #[error("not a PNG, JPEG, WebP, BMP or GIF picture")]
    UnknownFormat,
    /// The header promises more pixels than the limits allow; nothing was decoded.
    #[error("{width} x {height} pixels are too many: at most {side_max} a side and {pixels_max} in all")]
    TooLarge {
        /// Promised width.
        width: u32,
        /// Promised height.
        height: u32,
        /// The bound on each.
        side_max: u32,
        /// The bound on their product.
        pixels_max: u64,
    },
    /// The bytes end early or are damaged.
    #[error("the {format} data are damaged: {reason}")]
    Damaged {
        /// `PNG`, `JPEG`, …
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
}

/// Decodes the picture (of a GIF the first frame). Transparency is dropped, not blended, and of 16 bits the upper 8
/// are kept, as Pillow's `convert("RGB")` does. A panic of a decoder is [`PictureError::Damaged`].
///
/// # Errors
/// Not a picture, too large, or damaged.
pub fn decode(bytes: &[u8]) -> Result<Picture, PictureError> {
    let (format, name) = format(bytes).ok_or(PictureError::UnknownFormat)?;
    let damaged = |reason: String| PictureError::Damaged { format: name, reason };
    if format == ImageFormat::Jpeg && is_cut_jpeg(bytes) {
        return Err(damaged("they end before the end-of-image marker".into()));
    }
    catch_unwind(AssertUnwindSafe(|| decode_as(bytes, format, &damaged)))
        .unwrap_or_else(|_| Err(damaged("the decoder panicked".into())))
}

fn format(bytes: &[u8]) -> Option<(ImageFormat, &'static str)> {
    match image::guess_format(bytes).ok()? {
        ImageFormat::Png => Some((ImageFormat::Png, "PNG")),
        ImageFormat::Jpeg => Some((ImageFormat::Jpeg, "JPEG")),
        ImageFormat::WebP => Some((ImageFormat::WebP, "WebP")),
        ImageFormat::Bmp => Some((ImageFormat::Bmp, "BMP")),
        ImageFormat::Gif => Some((ImageFormat::Gif, "GIF")),
        _ => None,
    }
}

/// Whether no end-of-image marker follows the first scan: the decoder would fill the missing rows with grey.
fn is_cut_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    // After the start marker come segments (marker, length of what follows the marker), then the first scan. Its data
    // never hold FF D9: there an FF byte is followed by 00 or a restart marker.
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let &[0xff, marker, ref tail @ ..] = rest {
        if marker == START_OF_SCAN {
            return !tail.windows(2).any(|pair| pair == [0xff, 0xd9]);
        }
        rest = match (marker, tail) {
            // A fill byte before the marker.
            (0xff, _) => rest.get(1..).unwrap_or_default(),
            (_, &[high, low, ..]) => {
                tail.get(usize::from(u16::from_be_bytes([high, low]))..).unwrap_or_default()
            }
            _ => return true,
        };
    }
    // Not laid out as expected: the decoder's own words say it better.
    rest.is_empty()
}

fn decode_as(
    bytes: &[u8],
    format: ImageFormat,
    damaged: &dyn Fn(String) -> PictureError,
) -> Result<Picture, PictureError> {
    if format == ImageFormat::Png
        && let Some((width, height)) = promised_by_png(bytes)
    {
        check_size(width, height)?;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    // Sides are checked below, with both numbers at hand for the message; decoders only get their memory.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(PICTURE_DECODE_BYTES_MAX);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|error| damaged(error.to_string()))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    if width == 0 || height == 0 {
        return Err(damaged(format!("a picture of {width} x {height} pixels")));
    }
    let colour = decoder.color_type();
    // A 16-bit picture within the pixel limit may still be past the memory limit.
    limits.reserve(decoder.total_bytes()).map_err(|_| too_large(width, height))?;
    decoder.set_limits(limits).map_err(|error| damaged(error.to_string()))?;
    // Damaged EXIF is no reason to refuse pixels that are there.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let size = usize::try_from(decoder.total_bytes()).map_err(|_| too_large(width, height))?;
    let mut raw = vec![0; size];
    decoder.read_image(&mut raw).map_err(|error| damaged(error.to_string()))?;
    let rgb =
        to_rgb(raw, colour).ok_or_else(|| damaged(format!("pixels of type {colour:?} are not taken")))?;
    let upright = RgbImage::from_raw(width, height, rgb)
        .ok_or_else(|| damaged("the pixels do not fill the picture".into()))?;
    let mut upright = DynamicImage::ImageRgb8(upright);
    upright.apply_orientation(orientation);
    let upright = upright.into_rgb8();
    Ok(Picture { width: upright.width(), height: upright.height(), rgb: upright.into_raw() })
}

/// The size in a PNG's header chunk, which stands at a fixed place. The decoder reads on to the first pixels before it
/// tells the size; a header that promises too much is refused even when nothing follows it.
fn promised_by_png(bytes: &[u8]) -> Option<(u32, u32)> {
    let chunk = bytes.get(12..24)?.strip_prefix(b"IHDR")?;
    let (width, height) = chunk.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*width), u32::from_be_bytes(height.try_into().ok()?)))
}

/// Whether a picture of this size is taken.
///
/// # Errors
/// It has too many pixels.
pub fn check_size(width: u32, height: u32) -> Result<(), PictureError> {
    let fits = width <= PICTURE_SIDE_MAX
        && height <= PICTURE_SIDE_MAX
        && u64::from(width) * u64::from(height) <= PICTURE_PIXELS_MAX;
    if fits { Ok(()) } else { Err(too_large(width, height)) }
}

fn too_large(width: u32, height: u32) -> PictureError {
    PictureError::TooLarge { width, height, side_max: PICTURE_SIDE_MAX, pixels_max: PICTURE_PIXELS_MAX }
}

/// The first three channels of each pixel, or the grey one three times; of 16 bits the upper 8.
fn to_rgb(raw: Vec<u8>, colour: ColorType) -> Option<Vec<u8>> {
    let high = usize::from(cfg!(target_endian = "little"));
    let (pixel_bytes, places) = match colour {
        ColorType::Rgb8 => return Some(raw),
        ColorType::Rgba8 => (4, [0, 1, 2]),
        ColorType::L8 => (1, [0, 0, 0]),
        ColorType::La8 => (2, [0, 0, 0]),
        ColorType::L16 => (2, [high; 3]),
        ColorType::La16 => (4, [high; 3]),
        ColorType::Rgb16 => (6, [high, 2 + high, 4 + high]),
        ColorType::Rgba16 => (8, [high, 2 + high, 4 + high]),
        _ => return None,
    };
    let mut rgb = Vec::with_capacity(raw.len() / pixel_bytes * 3);
    for pixel in raw.chunks_exact(pixel_bytes) {
        rgb.extend(places.iter().filter_map(|place| pixel.get(*place)));
    }
    Some(rgb)
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder};

    use super::*;

    fn encoded(pixels: &[u8], size: (u32, u32), colour: ExtendedColorType, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image::write_buffer_with_format(&mut bytes, pixels, size.0, size.1, colour, format).unwrap();
        bytes.into_inner()
    }

    fn png(pixels: &[u8], size: (u32, u32), colour: ExtendedColorType) -> Vec<u8> {
        encoded(pixels, size, colour, ImageFormat::Png)
    }

    const COLOURS: [u8; 18] = [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 255, 255, 0, 80, 90, 100];

    #[test]
    fn every_format_gives_its_pixels() {
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Gif] {
            let bytes = encoded(&COLOURS, (3, 2), ExtendedColorType::Rgb8, format);
            let picture = decode(&bytes).unwrap();
            assert_eq!((picture.width, picture.height), (3, 2), "{format:?}");
            assert_eq!(picture.rgb, COLOURS, "{format:?}");
        }
        let grey = encoded(&[77; 64], (8, 8), ExtendedColorType::L8, ImageFormat::Jpeg);
        let picture = decode(&grey).unwrap();
        assert!(picture.rgb.len() == 192 && picture.rgb.iter().all(|value| value.abs_diff(77) <= 1));
    }

    #[test]
    fn transparency_is_dropped_and_sixteen_bits_lose_the_lower_eight() {
        let picture = decode(&png(&[10, 20, 30, 0], (1, 1), ExtendedColorType::Rgba8)).unwrap();
        assert_eq!(picture.rgb, [10, 20, 30]);
        let picture = decode(&png(&[40, 128], (1, 1), ExtendedColorType::La8)).unwrap();
        assert_eq!(picture.rgb, [40, 40, 40]);
        let wide: Vec<u8> = [0x12ff_u16, 0x8000, 0xff01].iter().flat_map(|v| v.to_ne_bytes()).collect();
        let picture = decode(&png(&wide, (1, 1), ExtendedColorType::Rgb16)).unwrap();
        assert_eq!(picture.rgb, [0x12, 0x80, 0xff]);
    }

    #[test]
    fn a_picture_taken_sideways_is_turned_upright() {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        // A TIFF header with one entry: tag 0x0112 (orientation), short, 1 value, 6 (turn clockwise).
        let exif = [b"II*\0\x08\0\0\0\x01\0".as_slice(), b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0", b"\0\0\0\0"]
            .concat();
        encoder.set_exif_metadata(exif).unwrap();
        encoder.write_image(&[1, 1, 1, 2, 2, 2], 2, 1, ExtendedColorType::Rgb8).unwrap();
        let picture = decode(&bytes).unwrap();
        assert_eq!((picture.width, picture.height), (1, 2));
        assert_eq!(picture.rgb, [1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn a_header_that_promises_too_much_is_refused_before_decoding() {
        let mut huge = png(&[0; 3], (1, 1), ExtendedColorType::Rgb8);
        huge[16..20].copy_from_slice(&100_000_u32.to_be_bytes());
        huge[20..24].copy_from_slice(&100_000_u32.to_be_bytes());
        let sum = crc32(&huge[12..29]);
        huge[29..33].copy_from_slice(&sum.to_be_bytes());
        let error = decode(&huge).unwrap_err();
        assert_eq!(error, too_large(100_000, 100_000));
        assert_eq!(decode(&huge[..33]).unwrap_err(), error, "the header alone");
        assert_eq!(
            error.to_string(),
            "100000 x 100000 pixels are too many: at most 16384 a side and 40000000 in all"
        );
        assert_eq!(check_size(16_384, 16_384), Err(too_large(16_384, 16_384)));
        assert_eq!(check_size(16_384, 2_441), Ok(()));
    }

    #[test]
    fn what_is_cut_or_no_picture_is_named() {
        assert_eq!(decode(b"").unwrap_err(), PictureError::UnknownFormat);
        assert_eq!(decode(b"<svg></svg>").unwrap_err(), PictureError::UnknownFormat);
        assert_eq!(decode(b"II*\0tiff").unwrap_err(), PictureError::UnknownFormat);
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Gif] {
            let whole = encoded(&COLOURS, (3, 2), ExtendedColorType::Rgb8, format);
            for end in 0..whole.len() {
                match decode(&whole[..end]) {
                    Err(PictureError::Damaged { .. } | PictureError::UnknownFormat) => {}
                    // What is cut off may be no pixels: a PNG's or a GIF's last block, BMP's padding.
                    Ok(picture) => assert_eq!(picture.rgb, COLOURS, "{format:?} cut at {end}"),
                    Err(other) => panic!("{format:?} cut at {end}: {other}"),
                }
            }
            let half = decode(&whole[..whole.len() / 2]).unwrap_err();
            assert!(half.to_string().starts_with("the "), "{half}");
        }
    }

    #[test]
    fn a_cut_jpeg_is_damaged_not_half_grey() {
        let noise: Vec<u8> = (0..32 * 32 * 3_u32).map(|at| (at * at % 251) as u8).collect();
        let whole = encoded(&noise, (32, 32), ExtendedColorType::Rgb8, ImageFormat::Jpeg);
        decode(&whole).unwrap();
        decode(&[&whole[..], b"trailing"].concat()).unwrap();
        for end in 3..whole.len() {
            assert!(matches!(decode(&whole[..end]), Err(PictureError::Damaged { .. })), "cut at {end}");
        }
        let error = decode(&whole[..whole.len() - 100]).unwrap_err().to_string();
        assert_eq!(error, "the JPEG data are damaged: they end before the end-of-image marker");
    }

    #[test]
    fn flipped_bits_end_in_an_answer_or_an_error() {
        for format in
            [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp]
        {
            let whole = encoded(&[120; 12 * 12 * 3], (12, 12), ExtendedColorType::Rgb8, format);
            for place in 0..whole.len() {
                let mut flipped = whole.clone();
                flipped[place] ^= 0x55;
                if let Ok(picture) = decode(&flipped) {
                    assert_eq!(picture.rgb.len(), (picture.width * picture.height * 3) as usize);
                }
            }
        }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
        })
    }
}
