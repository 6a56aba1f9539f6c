//! `hyperparameters.json`: the job's own words, and keys of the recipe. Every value is a text, often JSON within.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use serde_json::Value;

use super::super::super::Failure;
use super::json;
use crate::name::{ModelName, nearest};
use crate::train::BadRows;
use crate::value::Task;

/// Those that are no keys of a recipe.
const OWN: [&str; 5] = ["task", "name", "recipe", "skip_bad_rows", "checkpoint_every"];
/// What the model is called when the job does not say.
const NAME: &str = "model";
/// Steps between two checkpoints when the job does not say.
const CHECKPOINT_STEPS: u64 = 200;

/// What the hyperparameters say.
#[derive(Debug)]
pub(super) struct Hyperparameters {
    /// Texts or pictures.
    pub(super) task: Task,
    /// What the model is called.
    pub(super) name: ModelName,
    /// The recipe's file in the channel `config`.
    pub(super) recipe: Option<String>,
    /// What becomes of a bad row.
    pub(super) bad_rows: BadRows,
    /// Steps between two checkpoints.
    pub(super) checkpoint_steps: u64,
    /// Keys of the recipe, as they were said.
    pub(super) settings: BTreeMap<String, String>,
}

impl Hyperparameters {
    /// Reads the file; none is there when nothing was said.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let said: Option<BTreeMap<String, Value>> = json(path, "an object of hyperparameters")?;
        Self::understand(said.unwrap_or_default())
    }

    fn understand(said: BTreeMap<String, Value>) -> Result<Self, Failure> {
        let mut own: BTreeMap<&str, (String, String)> = BTreeMap::new();
        let mut settings = BTreeMap::new();
        for (name, value) in said {
            // The platform's SDK and its tuning jobs add some for containers of their own kind.
            if name.starts_with("sagemaker_") || name.starts_with('_') {
                continue;
            }
            let text = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            let plain = name.replace('-', "_");
            match OWN.iter().find(|own| **own == plain) {
                Some(known) => {
                    if let Some((before, _)) = own.insert(known, (name.clone(), unwrapped(text))) {
                        let problem = format!("hyperparameter {name}: it is said twice, as {before} too");
                        return Err(Failure::data(problem));
                    }
                }
                None => drop(settings.insert(name, text)),
            }
        }
        let task = own.remove("task").ok_or_else(|| {
            Failure::data(
                "hyperparameter task is missing: expected \"text\" or \"image\", what is classified",
            )
        })?;
        let task = match task.1.as_str() {
            "text" => Task::TextClassification,
            "image" => Task::ImageClassification,
            _ => return Err(wrong(&task, "expected \"text\" or \"image\"")),
        };
        let name = match own.remove("name") {
            Some(said) => said
                .1
                .parse()
                .map_err(|error| Failure::data(format!("hyperparameter {}: {error}", said.0)))?,
            None => NAME.parse().map_err(Failure::failed)?,
        };
        let bad_rows = match own.remove("skip_bad_rows") {
            None => BadRows::Stop,
            Some(said) => match said.1.to_lowercase().as_str() {
                "true" => BadRows::Skip,
                "false" => BadRows::Stop,
                _ => return Err(wrong(&said, "expected true or false")),
            },
        };
        let checkpoint_steps = match own.remove("checkpoint_every") {
            None => CHECKPOINT_STEPS,
            Some(said) => match said.1.parse() {
                Ok(steps) if steps > 0 => steps,
                _ => return Err(wrong(&said, "expected a whole number of steps, 1 or more")),
            },
        };
        let recipe = own.remove("recipe").map(|(_, file)| file);
        Ok(Self { task, name, recipe, bad_rows, checkpoint_steps, settings })
    }
}

/// The hyperparameter, no key of a recipe, that a name was meant to be.
pub(super) fn nearest_own(name: &str) -> Option<&'static str> {
    nearest(&name.replace('-', "_"), OWN)
}

fn wrong((name, value): &(String, String), expected: impl Display) -> Failure {
    Failure::data(format!("hyperparameter {name} = {value:?}: {expected}"))
}

/// A text without the JSON strings that it is wrapped in.
fn unwrapped(text: String) -> String {
    match serde_json::from_str(&text) {
        Ok(Value::String(inner)) => unwrapped(inner),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn understood(said: &Value) -> Result<Hyperparameters, String> {
        let said = serde_json::from_value(said.clone()).unwrap();
        Hyperparameters::understand(said).map_err(|failure| failure.message)
    }

    #[test]
    fn the_jobs_own_words_are_told_from_keys_of_the_recipe() {
        let found = understood(&json!({
            "task": "\"text\"", "name": "films", "recipe": "a.toml", "skip-bad-rows": "True", "checkpoint_every": 7,
            "epochs": "3", "optimizer.kind": "\"adam\"", "dropout": 0.5,
            "sagemaker_region": "\"eu-west-1\"", "_tuning_objective_metric": "model:accuracy",
        }));
        let found = found.unwrap();
        assert_eq!((found.task, found.name.as_str()), (Task::TextClassification, "films"));
        assert_eq!((found.recipe.as_deref(), found.checkpoint_steps), (Some("a.toml"), 7));
        assert_eq!(found.bad_rows, BadRows::Skip);
        let settings = [("dropout", "0.5"), ("epochs", "3"), ("optimizer.kind", "\"adam\"")];
        assert_eq!(found.settings, settings.map(|(name, text)| (name.into(), text.into())).into());
    }

    #[test]
    fn a_wrong_word_is_named_with_what_was_expected() {
        for (said, expected) in [
            (json!({}), "hyperparameter task is missing: expected \"text\" or \"image\""),
            (
                json!({"task": "text", "skip-bad-rows": "true", "skip_bad_rows": "false"}),
                "hyperparameter skip_bad_rows: it is said twice, as skip-bad-rows too",
            ),
            (json!({"task": "txt"}), "hyperparameter task = \"txt\": expected \"text\" or \"image\""),
            (
                json!({"task": "text", "name": "a b"}),
                "hyperparameter name: \"a b\" is not a model name: expected",
            ),
            (
                json!({"task": "text", "skip_bad_rows": "yes"}),
                "hyperparameter skip_bad_rows = \"yes\": expected true",
            ),
            (
                json!({"task": "text", "checkpoint-every": "0"}),
                "hyperparameter checkpoint-every = \"0\": expected a whole",
            ),
        ] {
            let found = understood(&said).unwrap_err();
            assert!(found.starts_with(expected), "{found}");
        }
        assert_eq!(nearest_own("skip_bad_row"), Some("skip_bad_rows"));
    }
}
