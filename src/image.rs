//! Pictures: from encoded bytes to the normalised pixels a network sees.

mod augment;
mod decode;
mod preparation;

pub use augment::Augmentation;
pub use decode::{Picture, PictureError, check_size, decode};
pub use preparation::{Fit, Preparation};
