//! A directory on disk ⇄ a model: manifest, weights, tokenizer, golden samples; loading, publishing, importing.

mod golden;
mod load;
mod manifest;
mod publish;

pub mod import;

pub use golden::{GOLDEN_TOLERANCE, GoldenInput, GoldenSample};
pub use load::{LoadError, Model, load, versions};
pub use manifest::{FileDigest, InputPreparation, Manifest, TextInput};
pub use publish::{Draft, PublishError, publish};
