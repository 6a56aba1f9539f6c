//! The `[network]` table: an architecture without the sizes that the data decide.

use serde::{Deserialize, Serialize};

use super::parse::{RecipeError, from_table};
use crate::nn::{Architecture, conv};
use crate::value::Task;

/// The `[network]` table: the keys of `nn`'s architectures but for `vocabulary` and `outputs`; or `preset = "article"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::train) struct NetworkRecipe(pub(in crate::train) toml::Table);

impl NetworkRecipe {
    /// The architecture for `vocabulary` tokens (texts only) and `outputs` outputs.
    pub(in crate::train) fn architecture(
        &self,
        task: Task,
        vocabulary: usize,
        outputs: usize,
    ) -> Result<Architecture, RecipeError> {
        let architecture = match self.0.get("preset") {
            Some(preset) => self.preset(preset, outputs)?,
            None => self.described(task, vocabulary, outputs)?,
        };
        match (&architecture, task) {
            (Architecture::LstmClassifier(_), Task::TextClassification)
            | (Architecture::ConvClassifier(_), Task::ImageClassification) => {}
            _ => return Err(RecipeError(format!("network.kind: this architecture is not for {task}"))),
        }
        architecture.validate().map_err(|error| RecipeError(format!("[network] {error}")))?;
        Ok(architecture)
    }

    fn preset(&self, preset: &toml::Value, outputs: usize) -> Result<Architecture, RecipeError> {
        if preset.as_str() != Some("article") {
            return Err(RecipeError(format!("network.preset: {preset} is not known, expected \"article\"")));
        }
        let mut config = conv::Config::article(outputs);
        for (key, value) in &self.0 {
            match (key.as_str(), value) {
                ("preset", _) => {}
                #[expect(clippy::cast_possible_truncation, reason = "a probability is kept in f32")]
                ("dropout", toml::Value::Float(rate)) => config.dropout = *rate as f32,
                ("dropout", _) => {
                    return Err(RecipeError("network.dropout: expected a number such as 0.5".into()));
                }
                (other, _) => {
                    let problem = "a preset decides it; only dropout may be set beside it";
                    return Err(RecipeError(format!("network.{other}: {problem}")));
                }
            }
        }
        Ok(Architecture::ConvClassifier(config))
    }

    fn described(&self, task: Task, vocabulary: usize, outputs: usize) -> Result<Architecture, RecipeError> {
        if let Some(decided) = ["vocabulary", "outputs"].into_iter().find(|key| self.0.contains_key(*key)) {
            return Err(RecipeError(format!("network.{decided}: the data decide it, leave it out")));
        }
        let count = |count: usize| toml::Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
        let mut table = self.0.clone();
        table.insert("outputs".into(), count(outputs));
        if task == Task::TextClassification {
            table.insert("vocabulary".into(), count(vocabulary));
        }
        from_table(table, "network")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(toml: &str, task: Task) -> Result<Architecture, String> {
        NetworkRecipe(toml.parse().unwrap()).architecture(task, 10, 3).map_err(|error| error.0)
    }

    #[test]
    fn data_decide_vocabulary_and_outputs() {
        let text = "kind = \"lstm-classifier\"\nembedding_dim = 4\nhidden_dim = 5\n";
        let Architecture::LstmClassifier(config) = built(text, Task::TextClassification).unwrap() else {
            panic!("an LSTM was described");
        };
        assert_eq!((config.vocabulary, config.outputs, config.hidden_dim), (10, 3, 5));
        let decided = built(&format!("{text}outputs = 3\n"), Task::TextClassification).unwrap_err();
        assert_eq!(decided, "network.outputs: the data decide it, leave it out");
    }

    #[test]
    fn the_articles_network_is_a_preset() {
        let article = built("preset = \"article\"", Task::ImageClassification).unwrap();
        assert_eq!(article, Architecture::ConvClassifier(conv::Config::article(3)));
        for (toml, expected) in [
            ("preset = \"artcle\"", "network.preset: \"artcle\" is not known"),
            ("preset = \"article\"\nheight = 3", "network.height: a preset decides it"),
        ] {
            let error = built(toml, Task::ImageClassification).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let wrong = built("preset = \"article\"", Task::TextClassification).unwrap_err();
        assert!(wrong.contains("not for text-classification"), "{wrong}");
    }
}
