//! Examples: rows prepared as serving prepares them, with their labels as numbers.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use super::data::{BadRows, DataError, Row, Source};
use crate::image::{Augmentation, Picture, Preparation, decode};
use crate::model::InputPreparation;
use crate::name::nearest;
use crate::pipeline::Preparer;
use crate::value::{Features, Input};

/// A prepared row.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    /// What the network sees, or what it is made of.
    pub(crate) sample: Sample,
    /// Numbers of its labels, in the order of the labels.
    pub(crate) labels: Vec<u32>,
    /// The input, for showing.
    pub(crate) source: Source,
    /// Where it is from.
    pub(crate) place: String,
}

/// What the network sees, or what it is made of anew in every epoch.
#[derive(Clone, Debug)]
pub(crate) enum Sample {
    /// The same each time.
    Ready(Features),
    /// A picture to vary, at the size at which it is varied.
    Varied(Picture),
}

impl Example {
    /// Tokens or pixels, for batches of rows of like length.
    pub(crate) fn length(&self) -> usize {
        match &self.sample {
            Sample::Ready(features) => features.work(),
            Sample::Varied(picture) => picture.rgb.len(),
        }
    }

    /// The features, where they are the same each time.
    pub(crate) fn features(&self) -> Option<&Features> {
        match &self.sample {
            Sample::Ready(features) => Some(features),
            Sample::Varied(_) => None,
        }
    }
}

/// Turns rows into examples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Examiner<'a> {
    /// The preparation that serving uses.
    pub(crate) preparer: &'a Preparer,
    /// The labels, in the order of their numbers.
    pub(crate) labels: &'a [String],
    /// What becomes of a bad row.
    pub(crate) bad_rows: BadRows,
    /// How pictures are varied; `None` for rows that are only answered.
    pub(crate) variation: Option<&'a Variation>,
}

impl Examiner<'_> {
    /// Prepares the rows. Returns the examples and how many bad rows were passed over.
    pub(crate) fn examine(&self, rows: Vec<Row>) -> Result<(Vec<Example>, usize), DataError> {
        let numbers: HashMap<&str, u32> = self.labels.iter().map(String::as_str).zip(0_u32..).collect();
        let mut examples = Vec::with_capacity(rows.len());
        let mut skipped = 0;
        for row in rows {
            match self.numbers(&row, &numbers).and_then(|labels| Ok((labels, self.sample(&row.source)?))) {
                Ok((labels, sample)) => {
                    examples.push(Example { sample, labels, source: row.source, place: row.place });
                }
                Err(_) if self.bad_rows == BadRows::Skip => skipped += 1,
                Err(problem) => return Err(DataError::BadRow { place: row.place, problem }),
            }
        }
        Ok((examples, skipped))
    }

    fn numbers(&self, row: &Row, numbers: &HashMap<&str, u32>) -> Result<Vec<u32>, String> {
        let number = |label: &String| {
            numbers.get(label.as_str()).copied().ok_or_else(|| {
                let near = nearest(label, self.labels.iter().map(String::as_str));
                let meant = near.map(|near| format!(", is {near:?} meant?")).unwrap_or_default();
                format!("the label {label:?} is none of the model's {}{meant}", self.labels.len())
            })
        };
        row.labels.iter().map(number).collect()
    }

    fn sample(&self, source: &Source) -> Result<Sample, String> {
        let input = read_input(source)?;
        if let (Some(variation), Input::Picture(bytes)) = (self.variation, &input) {
            let picture = decode(bytes).map_err(|error| error.to_string())?;
            return Ok(Sample::Varied(variation.enlarged.resize(&picture)));
        }
        let prepared = self.preparer.prepare(&input).map_err(|error| error.to_string())?;
        Ok(Sample::Ready(prepared.features))
    }
}

/// The input as a caller would give it.
pub(crate) fn read_input(source: &Source) -> Result<Input, String> {
    match source {
        Source::Text(text) => Ok(Input::Text(text.clone())),
        Source::Picture(path, _) => {
            fs::read(path).map(|bytes| Input::Picture(bytes.into())).map_err(|error| error.to_string())
        }
    }
}

/// How training rows differ from epoch to epoch.
#[derive(Clone, Debug)]
pub(crate) struct Variation {
    /// Changes to pictures.
    pub(crate) augmentation: Augmentation,
    /// The network's picture preparation.
    pub(crate) preparation: Preparation,
    /// The same at the size at which pictures are varied.
    pub(crate) enlarged: Preparation,
}

impl Variation {
    /// The variation of pictures by a recipe; `None` for texts, and when nothing is varied.
    pub(crate) fn new(
        preparation: &InputPreparation,
        augmentation: &Augmentation,
        oversample: usize,
    ) -> Option<Self> {
        let InputPreparation::Picture(preparation) = preparation else { return None };
        let enlarged = Preparation {
            height: preparation.height * oversample,
            width: preparation.width * oversample,
            ..preparation.clone()
        };
        let is_varied = *augmentation != Augmentation::default();
        is_varied.then(|| Self {
            augmentation: augmentation.clone(),
            preparation: preparation.clone(),
            enlarged,
        })
    }

    /// One variant of a picture, as the network sees it.
    pub(crate) fn features(&self, picture: &Picture, generator: &mut ChaCha8Rng) -> Features {
        let varied = self.augmentation.apply(picture, generator);
        let sized = if self.enlarged == self.preparation { varied } else { self.preparation.resize(&varied) };
        Features::Pixels(self.preparation.normalise(&sized).into())
    }
}

/// Replaces each token by `unknown` with this probability.
pub(crate) fn drop_tokens(
    features: &Features,
    unknown: u32,
    probability: f64,
    generator: &mut ChaCha8Rng,
) -> Features {
    match features {
        Features::Tokens(ids) if probability > 0.0 => {
            let dropped: Arc<[u32]> =
                ids.iter().map(|id| if generator.random_bool(probability) { unknown } else { *id }).collect();
            Features::Tokens(dropped)
        }
        _ => features.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::generator::{Purpose, generator};
    use super::*;

    #[test]
    fn about_the_asked_share_of_tokens_is_dropped_the_same_each_time() {
        let features = Features::Tokens((10..1010).collect());
        let dropped =
            |position| drop_tokens(&features, 1, 0.3, &mut generator(7, Purpose::Augmentation, 0, position));
        let Features::Tokens(ids) = dropped(0) else { panic!("tokens stay tokens") };
        let count = ids.iter().filter(|id| **id == 1).count();
        assert!((250..350).contains(&count), "{count}");
        assert!(ids.iter().zip(10..).all(|(id, old)| *id == 1 || *id == old));
        assert_eq!(dropped(0), Features::Tokens(ids));
        assert_ne!(dropped(0), dropped(1));
    }

    #[test]
    fn nothing_is_dropped_at_probability_nothing() {
        let features = Features::Tokens([5, 6].into());
        assert_eq!(drop_tokens(&features, 1, 0.0, &mut generator(7, Purpose::Augmentation, 0, 0)), features);
    }
}
