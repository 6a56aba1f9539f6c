//! Decoding within limits: format by content, size by header first, EXIF orientation applied.

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

/// Decodes the picture (of a GIF the first frame). A panic of a decoder is [`PictureError::Damaged`].
///
/// # Errors
/// Not a picture, too large, or damaged.
pub fn decode(_bytes: &[u8]) -> Result<Picture, PictureError> {
    todo!()
}
