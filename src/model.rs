//! A directory on disk ⇄ a model: manifest, weights, tokenizer, golden samples; loading, publishing, importing.

mod files;
mod golden;
mod load;
mod manifest;
mod publish;
mod tensors;
mod versions;

pub mod import;

pub use golden::{GOLDEN_TOLERANCE, GoldenInput, GoldenSample};
pub use load::{LoadError, Model, load};
pub use manifest::{FileDigest, InputPreparation, Manifest, TextInput};
pub use publish::{Draft, PublishError, publish};
pub use versions::{place, versions, versions_named};
