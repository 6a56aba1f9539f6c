//! `golden.json`: inputs with the logits that the version must reproduce before it may answer anyone.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::files::GOLDEN;
use super::{InputPreparation, Manifest};
use crate::limits::GOLDEN_SAMPLES_MAX;
use crate::nn::Architecture;
use crate::nn::lstm::Pooling;
use crate::value::Input;

/// Largest absolute difference of a logit from its golden value, times `max(1, |golden|)`: kernels differ in the
/// order of their sums, and a wrong weight shows far above it.
pub const GOLDEN_TOLERANCE: f32 = 1e-4;

/// One input and what the network said of it when it was published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenSample {
    /// The input.
    pub input: GoldenInput,
    /// Its logits, position by position.
    pub logits: Vec<f32>,
}

/// An input as JSON: `{"text": "…"}` or `{"picture": "base64"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GoldenInput {
    /// A text.
    Text(String),
    /// An encoded picture, base64 in the file.
    #[serde(with = "base64_bytes")]
    Picture(Bytes),
}

impl From<&GoldenInput> for Input {
    fn from(input: &GoldenInput) -> Self {
        match input {
            GoldenInput::Text(text) => Self::Text(text.clone()),
            GoldenInput::Picture(bytes) => Self::Picture(bytes.clone()),
        }
    }
}

/// The samples of a version with this manifest, or everything that is wrong with them.
pub(super) fn read(bytes: &[u8], manifest: &Manifest) -> Result<Vec<GoldenSample>, Vec<String>> {
    let samples: Vec<GoldenSample> =
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(bytes))
            .map_err(|error| vec![format!("{GOLDEN}: {}: {}", error.path(), error.inner())])?;
    if !(1..=GOLDEN_SAMPLES_MAX).contains(&samples.len()) {
        let found = samples.len();
        return Err(vec![format!("{GOLDEN} has {found} samples, expected 1 to {GOLDEN_SAMPLES_MAX}")]);
    }
    let problem = |(place, sample)| Some(format!("{GOLDEN}: sample {place} {}", problem(sample, manifest)?));
    let problems: Vec<String> = samples.iter().enumerate().filter_map(problem).collect();
    if problems.is_empty() { Ok(samples) } else { Err(problems) }
}

fn problem(sample: &GoldenSample, manifest: &Manifest) -> Option<String> {
    match (&sample.input, &manifest.input) {
        (GoldenInput::Text(_), InputPreparation::Text(_))
        | (GoldenInput::Picture(_), InputPreparation::Picture(_)) => {}
        (GoldenInput::Text(_), _) => return Some("is a text, expected a picture".into()),
        (GoldenInput::Picture(_), _) => return Some("is a picture, expected a text".into()),
    }
    if let Some(place) = sample.logits.iter().position(|logit| !logit.is_finite()) {
        return Some(format!("has no finite number at logits[{place}]"));
    }
    let (found, outputs) = (sample.logits.len(), manifest.architecture.outputs());
    let unpooled =
        matches!(&manifest.architecture, Architecture::LstmClassifier(lstm) if lstm.pooling == Pooling::None);
    if unpooled {
        let whole = found > 0 && found.is_multiple_of(outputs);
        return (!whole).then(|| format!("has {found} logits, expected {outputs} a token"));
    }
    (found != outputs).then(|| format!("has {found} logits, expected {outputs}"))
}

/// The file's bytes.
pub(super) fn write(samples: &[GoldenSample]) -> Result<Vec<u8>, String> {
    serde_json::to_vec_pretty(samples).map_err(|error| format!("{GOLDEN}: {error}"))
}

mod base64_bytes {
    //! Bytes as a base64 string.

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes::from).map_err(de::Error::custom)
    }
}
