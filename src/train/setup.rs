//! From options to everything that training needs: recipe, data, tokenizer, examples, architecture.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::data::{self, BadRows, DataError, Dataset, Reading, Row, Source, hexadecimal};
use super::examples::{Examiner, Example, Variation};
use super::loss::Loss;
use super::progress::Progress;
use super::recipe::{Recipe, RecipeError, Refused, over};
use super::session::{Options, SessionError};
use crate::image::Preparation;
use crate::limits::{LABELS_MAX, TOKENIZER_BYTES_MAX};
use crate::model::{InputPreparation, TextInput};
use crate::nn::Architecture;
use crate::pipeline::Preparer;
use crate::text::Tokenizer;
use crate::value::{Objective, Task};

/// Everything that training needs, but for the state that it changes.
pub(crate) struct Plan {
    pub(super) task: Task,
    pub(super) recipe: Recipe,
    pub(crate) labels: Vec<String>,
    pub(crate) preparation: InputPreparation,
    pub(crate) tokenizer: Option<Tokenizer>,
    pub(crate) architecture: Architecture,
    pub(crate) variation: Option<Variation>,
    pub(crate) loss: Loss,
    pub(crate) training: Vec<Example>,
    pub(crate) validation: Vec<Example>,
    /// Bad rows passed over, in all data.
    pub(crate) skipped: usize,
    /// What decides the result, by key.
    pub(crate) inputs: BTreeMap<String, String>,
}

/// The recipe of the options: a file or the one compiled in, with the settings and the flags over it.
pub(super) fn recipe(options: &Options) -> Result<Recipe, SessionError> {
    let (text, from) = match &options.recipe {
        Some(path) => {
            let text = fs::read_to_string(path)
                .map_err(|error| SessionError::Recipe(path.display().to_string(), error.to_string()))?;
            (text, path.display().to_string())
        }
        None => (Recipe::default_text(options.task).to_owned(), "the default recipe".to_owned()),
    };
    let refused = |error: RecipeError| SessionError::Recipe(from.clone(), error.0);
    let recipe = Recipe::parse(&text, options.task).map_err(refused)?;
    let mut recipe = over(&recipe, &options.settings, options.task).map_err(|error| match error {
        Refused::Name { name, problem, meant } => SessionError::Name { name, problem, meant },
        Refused::Value { name, value, problem } => SessionError::Value { name, value, problem },
        Refused::Together(error) => {
            SessionError::Recipe(format!("{from} with the settings over it"), error.0)
        }
    })?;
    let overrides = &options.overrides;
    recipe.seed = overrides.seed.unwrap_or(recipe.seed);
    recipe.epochs = overrides.epochs.unwrap_or(recipe.epochs);
    recipe.batch_size = overrides.batch_size.unwrap_or(recipe.batch_size);
    recipe.optimizer.learning_rate = overrides.learning_rate.unwrap_or(recipe.optimizer.learning_rate);
    recipe.patience = overrides.patience.or(recipe.patience);
    if let Some(file) = &overrides.tokenizer {
        recipe.text.get_or_insert_default().tokenizer_file = Some(file.clone());
    }
    recipe
        .validate(options.task)
        .map_err(|error| SessionError::Recipe(format!("{from} with the flags over it"), error.0))?;
    Ok(recipe)
}

impl Plan {
    /// Reads and prepares everything. Says on the way what it found.
    pub(crate) fn new(options: &Options, progress: &Progress) -> Result<Self, SessionError> {
        let recipe = recipe(options)?;
        let task = options.task;
        let reading = Reading { task, objective: recipe.objective, bad_rows: options.bad_rows };
        let Dataset { rows, skipped, sha256 } = data::read(&options.data, reading)?;
        let mut inputs = flattened("recipe", &recipe);
        inputs.insert("data sha256".into(), sha256);
        let labels = labels(&rows, recipe.objective, &options.data)?;
        let (training, validation, valid_skipped) = if let Some(path) = &options.valid {
            let valid = data::read(path, reading)?;
            inputs.insert("valid sha256".into(), valid.sha256);
            (rows, valid.rows, valid.skipped)
        } else {
            let (training, validation) = data::split(rows, recipe.valid_fraction, recipe.seed);
            (training, validation, 0)
        };
        if training.is_empty() || validation.is_empty() {
            let problem = "too few rows to hold some out for validation; give data to validate on, too";
            return Err(DataError::unusable(&options.data, problem).into());
        }
        let tokenizer = match task {
            Task::TextClassification => Some(tokenizer(&recipe, &training, &mut inputs)?),
            Task::ImageClassification => None,
        };
        let vocabulary = tokenizer.as_ref().map_or(0, Tokenizer::vocabulary);
        let architecture = recipe
            .network
            .architecture(task, vocabulary, recipe.objective.outputs(labels.len()))
            .map_err(|error| SessionError::Recipe("the recipe".into(), error.0))?;
        let preparation = preparation(&recipe, &architecture)?;
        let augmentation = recipe.augmentation.clone().unwrap_or_default();
        let oversample = recipe.picture.clone().unwrap_or_default().oversample;
        let variation = Variation::new(&preparation, &augmentation, oversample);
        let preparer = Preparer::new(preparation.clone(), tokenizer.clone());
        let examiner = Examiner {
            preparer: &preparer,
            labels: &labels,
            bad_rows: options.bad_rows,
            variation: variation.as_ref(),
        };
        let (training, training_skipped) = examiner.examine(training)?;
        let (validation, validation_skipped) =
            Examiner { variation: None, ..examiner }.examine(validation)?;
        let loss = loss(&recipe, &labels, &training)?;
        let skipped = skipped + valid_skipped + training_skipped + validation_skipped;
        inputs.insert("rows".into(), format!("{} + {}", training.len(), validation.len()));
        let plan = Self {
            task,
            recipe,
            labels,
            preparation,
            tokenizer,
            architecture,
            variation,
            loss,
            training,
            validation,
            skipped,
            inputs,
        };
        plan.announce(options, progress);
        Ok(plan)
    }

    fn announce(&self, options: &Options, progress: &Progress) {
        let parameters: usize =
            self.architecture.tensors().values().map(|shape| shape.iter().product::<usize>()).sum();
        progress.say(&format!(
            "{} rows to train on, {} to validate on, {} labels; {parameters} weights",
            self.training.len(),
            self.validation.len(),
            self.labels.len(),
        ));
        if options.bad_rows == BadRows::Skip {
            progress.say(&format!("{} bad rows passed over", self.skipped));
        }
    }

    /// The id of the token that stands for unknown ones: `[UNK]` or `<unk>` of the tokenizer, else 1.
    pub(crate) fn unknown_token(&self) -> u32 {
        let Some(tokenizer) = &self.tokenizer else { return 1 };
        let known = |id: &u32| {
            tokenizer.token(*id).is_some_and(|token| matches!(token.as_str(), "[UNK]" | "<unk>" | "<UNK>"))
        };
        (0..u32::try_from(tokenizer.vocabulary()).unwrap_or(u32::MAX)).find(known).unwrap_or(1)
    }
}

/// The labels in sorted order.
fn labels(rows: &[Row], objective: Objective, path: &Path) -> Result<Vec<String>, DataError> {
    let mut labels: Vec<String> = rows.iter().flat_map(|row| row.labels.iter().cloned()).collect();
    labels.sort_unstable();
    labels.dedup();
    let shown = labels.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match (objective, labels.len()) {
        (Objective::Binary, 2)
        | (Objective::MultiLabel, 1..=LABELS_MAX)
        | (Objective::MultiClass, 2..=LABELS_MAX) => Ok(labels),
        (Objective::Binary, count) => Err(DataError::unusable(
            path,
            format!("objective \"binary\" needs exactly 2 labels, found {count}: {shown}"),
        )),
        (_, count) => Err(DataError::unusable(
            path,
            format!("expected 2 to {LABELS_MAX} labels, found {count}: {shown}"),
        )),
    }
}

/// The tokenizer of the recipe's file, or one trained on the training texts.
fn tokenizer(
    recipe: &Recipe,
    rows: &[Row],
    inputs: &mut BTreeMap<String, String>,
) -> Result<Tokenizer, SessionError> {
    if let Some(path) = recipe.text.as_ref().and_then(|text| text.tokenizer_file.as_ref()) {
        let unusable = |problem: String| SessionError::Data(DataError::unusable(path, problem));
        let bytes = fs::metadata(path).map_err(|error| unusable(error.to_string()))?.len();
        if bytes > TOKENIZER_BYTES_MAX {
            return Err(unusable(format!("{bytes} bytes, at most {TOKENIZER_BYTES_MAX} are read")));
        }
        let json = fs::read(path).map_err(|error| unusable(error.to_string()))?;
        inputs.insert("tokenizer sha256".into(), hexadecimal(&Sha256::digest(&json)));
        return Tokenizer::from_json(&json).map_err(|error| unusable(error.0));
    }
    let mut texts = rows.iter().filter_map(|row| match &row.source {
        Source::Text(text) => Some(text.as_str()),
        Source::Picture(..) => None,
    });
    recipe
        .tokenizer
        .clone()
        .unwrap_or_default()
        .train(&mut texts)
        .map_err(|error| SessionError::Recipe("[tokenizer]".into(), error.0))
}

fn preparation(recipe: &Recipe, architecture: &Architecture) -> Result<InputPreparation, SessionError> {
    match architecture {
        Architecture::LstmClassifier(_) => {
            let tokens_max = recipe.text.clone().unwrap_or_default().tokens_max;
            Ok(InputPreparation::Text(TextInput { tokens_max }))
        }
        Architecture::ConvClassifier(config) => {
            let picture = recipe.picture.clone().unwrap_or_default();
            let half = || vec![0.5; config.channels];
            let preparation = Preparation {
                channels: config.channels,
                height: config.height,
                width: config.width,
                fit: picture.fit,
                mean: picture.mean.unwrap_or_else(half),
                std: picture.std.unwrap_or_else(half),
            };
            preparation.validate().map_err(|problem| SessionError::Recipe("[picture]".into(), problem))?;
            Ok(InputPreparation::Picture(preparation))
        }
    }
}

/// The loss with a weight a label: the recipe's, times the inverse of its share where `balanced` says so.
fn loss(recipe: &Recipe, labels: &[String], training: &[Example]) -> Result<Loss, SessionError> {
    if let Some(unknown) = recipe.loss.label_weights.keys().find(|name| !labels.contains(name)) {
        let problem = format!("loss.label_weights: there is no label {unknown:?} in the data");
        return Err(SessionError::Recipe("the recipe".into(), problem));
    }
    let mut counts = vec![0_u64; labels.len()];
    for label in training.iter().flat_map(|example| &example.labels) {
        counts[*label as usize] += 1;
    }
    let given: u64 = counts.iter().sum();
    let weight = |(label, count): (&String, &u64)| {
        let balance = given as f64 / (labels.len() as f64 * (*count).max(1) as f64);
        let chosen = recipe.loss.label_weights.get(label).copied().unwrap_or(1.0);
        if recipe.loss.balanced { chosen * balance } else { chosen }
    };
    Ok(Loss {
        objective: recipe.objective,
        label_smoothing: recipe.loss.label_smoothing,
        label_weights: labels.iter().zip(&counts).map(weight).collect(),
    })
}

/// A table as dotted keys with their values as text.
fn flattened(name: &str, value: impl serde::Serialize) -> BTreeMap<String, String> {
    fn walk(name: &str, value: &toml::Value, found: &mut BTreeMap<String, String>) {
        match value {
            toml::Value::Table(table) => {
                table.iter().for_each(|(key, value)| walk(&format!("{name}.{key}"), value, found));
            }
            other => drop(found.insert(name.to_owned(), other.to_string())),
        }
    }
    let mut found = BTreeMap::new();
    if let Ok(value) = toml::Value::try_from(value) {
        walk(name, &value, &mut found);
    }
    found
}
