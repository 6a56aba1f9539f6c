//! Recipes: TOML files that say how a network is trained. Data and output are not in them.

mod keys;
mod network;
mod parse;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{optimizer, schedule};
use crate::image::{Augmentation, Fit};
use crate::limits::{RECIPE_BATCH_MAX, RECIPE_EPOCHS_MAX, TEXT_TOKENS_MAX};
use crate::text;
use crate::value::{Objective, Task};

pub(super) use keys::{Refused, over};
pub(super) use network::NetworkRecipe;
pub(super) use parse::RecipeError;

const TEXT_DEFAULT: &str = include_str!("../../config/train/text.toml");
const IMAGE_DEFAULT: &str = include_str!("../../config/train/image.toml");

/// How a network is trained. Every key has a default, but for the network's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    /// One line for people, written into the model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    /// Licence of the model and of the data behind it, written into the model and its `LICENSE`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) licence: String,
    /// How outputs become scores.
    #[serde(default = "multi_class")]
    pub(super) objective: Objective,
    /// What every random number follows from.
    #[serde(default)]
    pub(super) seed: u64,
    /// Times that all rows are seen, at most.
    #[serde(default = "ten")]
    pub(super) epochs: u64,
    /// Rows a step.
    #[serde(default = "thirty_two")]
    pub(super) batch_size: usize,
    /// Share of the rows held out for validation when none are given.
    #[serde(default = "tenth")]
    pub(super) valid_fraction: f64,
    /// By what the best epoch is chosen.
    #[serde(default)]
    pub(super) metric: Metric,
    /// Epochs without a better one after which training stops; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) patience: Option<u64>,
    /// Largest norm of all gradients together; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gradient_clip: Option<f64>,
    /// Decay a step of the running average of the weights, which then is the model; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) average_decay: Option<f64>,
    /// The network.
    pub(super) network: NetworkRecipe,
    /// How texts become tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Text>,
    /// How a tokenizer is trained, when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tokenizer: Option<text::Recipe>,
    /// How pictures become numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) picture: Option<PictureRecipe>,
    /// How training pictures are varied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) augmentation: Option<Augmentation>,
    /// The optimizer.
    #[serde(default)]
    pub(super) optimizer: optimizer::Config,
    /// The learning-rate schedule.
    #[serde(default)]
    pub(super) schedule: schedule::Config,
    /// The loss.
    #[serde(default)]
    pub(super) loss: LossRecipe,
}

fn multi_class() -> Objective {
    Objective::MultiClass
}

fn ten() -> u64 {
    10
}

fn thirty_two() -> usize {
    32
}

fn tenth() -> f64 {
    0.1
}

/// By what epochs are compared, on the validation rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Metric {
    /// The share of rows answered rightly.
    #[default]
    Accuracy,
    /// The mean of the labels' F1.
    MacroF1,
    /// The mean loss; less is better.
    Loss,
}

/// The `[text]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Text {
    /// Tokens read of each text.
    pub(super) tokens_max: usize,
    /// Probability that a token is replaced by `[UNK]`; in training only.
    pub(super) token_dropout: f64,
    /// A `tokenizer.json` to use instead of training one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tokenizer_file: Option<PathBuf>,
}

impl Default for Text {
    fn default() -> Self {
        Self { tokens_max: 256, token_dropout: 0.0, tokenizer_file: None }
    }
}

/// The `[picture]` table; the size is the network's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PictureRecipe {
    /// How a picture of another shape is made to fit.
    pub(super) fit: Fit,
    /// Subtracted from each channel; 0.5 each when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mean: Option<Vec<f32>>,
    /// Then divided by; 0.5 each when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) std: Option<Vec<f32>>,
    /// Training pictures are varied at so many times the network's size, then brought down to it.
    pub(super) oversample: usize,
}

impl Default for PictureRecipe {
    fn default() -> Self {
        Self { fit: Fit::Stretch, mean: None, std: None, oversample: 1 }
    }
}

/// The `[loss]` table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LossRecipe {
    /// Share of the target spread over all labels.
    pub(super) label_smoothing: f64,
    /// Whether labels weigh by the inverse of how often they are seen.
    pub(super) balanced: bool,
    /// Weight by label; 1 where not named.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) label_weights: BTreeMap<String, f64>,
}

impl Recipe {
    /// The recipe compiled in for a task.
    pub(super) fn default_text(task: Task) -> &'static str {
        match task {
            Task::TextClassification => TEXT_DEFAULT,
            Task::ImageClassification => IMAGE_DEFAULT,
        }
    }

    /// Reads a recipe and checks everything that can be checked without data.
    pub(super) fn parse(toml: &str, task: Task) -> Result<Self, RecipeError> {
        let recipe: Self = parse::parse(toml)?;
        recipe.validate(task)?;
        Ok(recipe)
    }

    /// Checks every number against its range, and the tables against the task.
    pub(super) fn validate(&self, task: Task) -> Result<(), RecipeError> {
        let text = self.text.clone().unwrap_or_default();
        let oversample = self.picture.as_ref().map_or(1, |picture| picture.oversample);
        let clip = self.gradient_clip.unwrap_or(1.0);
        let weights_fit = self.loss.label_weights.values().all(|weight| *weight >= 0.0 && weight.is_finite());
        let checks = [
            ("epochs", (1..=RECIPE_EPOCHS_MAX).contains(&self.epochs), "1 to 100,000"),
            ("batch_size", (1..=RECIPE_BATCH_MAX).contains(&self.batch_size), "1 to 65,536"),
            (
                "valid_fraction",
                self.valid_fraction > 0.0 && self.valid_fraction <= 0.9,
                "above 0, at most 0.9",
            ),
            ("patience", self.patience != Some(0), "1 or more, or absent"),
            ("gradient_clip", clip > 0.0 && clip.is_finite(), "above 0, or absent"),
            ("average_decay", (0.0..1.0).contains(&self.average_decay.unwrap_or(0.0)), "0 or more, below 1"),
            ("text.tokens_max", (1..=TEXT_TOKENS_MAX).contains(&text.tokens_max), "1 to 16,384"),
            ("text.token_dropout", (0.0..1.0).contains(&text.token_dropout), "0 or more, below 1"),
            ("picture.oversample", (1..=8).contains(&oversample), "1 to 8"),
            ("loss.label_smoothing", (0.0..1.0).contains(&self.loss.label_smoothing), "0 or more, below 1"),
            ("loss.label_weights", weights_fit, "numbers of 0 or more"),
        ];
        if let Some((key, _, expected)) = checks.iter().find(|(_, holds, _)| !holds) {
            return Err(RecipeError(format!("{key}: expected {expected}")));
        }
        self.optimizer.validate().map_err(RecipeError)?;
        self.schedule.validate().map_err(RecipeError)?;
        let augmentation = self.augmentation.clone().unwrap_or_default();
        augmentation.validate().map_err(|problem| RecipeError(format!("augmentation.{problem}")))?;
        self.fits(task)
    }

    /// Checks that the tables are those of the task.
    fn fits(&self, task: Task) -> Result<(), RecipeError> {
        let foreign = match task {
            Task::TextClassification => {
                [("picture", self.picture.is_some()), ("augmentation", self.augmentation.is_some())]
            }
            Task::ImageClassification => {
                [("text", self.text.is_some()), ("tokenizer", self.tokenizer.is_some())]
            }
        };
        if let Some((table, _)) = foreign.iter().find(|(_, is_there)| *is_there) {
            return Err(RecipeError(format!("[{table}] has no place in a recipe for {task}")));
        }
        self.network.architecture(task, 2, 2).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = "[network]\nkind = \"lstm-classifier\"\nembedding_dim = 4\nhidden_dim = 4\n";

    #[test]
    fn numbers_out_of_range_are_named_with_what_was_expected() {
        for (line, expected) in [
            ("epochs = 0", "epochs: expected 1 to 100,000"),
            ("batch_size = 0", "batch_size: expected 1 to 65,536"),
            ("valid_fraction = 1.0", "valid_fraction: expected above 0, at most 0.9"),
            ("average_decay = 1.0", "average_decay: expected 0 or more, below 1"),
            ("optimizer.beta1 = 1.0", "optimizer.beta1: expected 0 or more, below 1"),
            ("schedule.drop_epochs = 0", "schedule.drop_epochs: expected 1 or more"),
            ("picture.oversample = 2", "[picture] has no place in a recipe for text-classification"),
        ] {
            let error = Recipe::parse(&format!("{line}\n{NETWORK}"), Task::TextClassification).unwrap_err();
            assert_eq!(error.0, expected);
        }
    }

    #[test]
    fn what_is_written_down_reads_back_the_same() {
        let recipe = Recipe::parse(NETWORK, Task::TextClassification).unwrap();
        let written = toml::to_string(&recipe).unwrap();
        assert_eq!(Recipe::parse(&written, Task::TextClassification).unwrap(), recipe);
    }

    #[test]
    fn the_committed_recipes_are_valid() {
        for task in [Task::TextClassification, Task::ImageClassification] {
            Recipe::parse(Recipe::default_text(task), task).unwrap();
        }
        for (text, task) in [
            (include_str!("../../config/train/sentiment.toml"), Task::TextClassification),
            (include_str!("../../config/train/intents.toml"), Task::TextClassification),
            (include_str!("../../config/train/sign-digits.toml"), Task::ImageClassification),
        ] {
            Recipe::parse(text, task).unwrap();
        }
    }
}
