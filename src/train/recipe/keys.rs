//! Keys of a recipe said one by one, over a whole recipe: by dotted name, values as text or as JSON.

mod value;

use std::collections::BTreeMap;

use super::{Recipe, RecipeError};
use crate::name::nearest;
use crate::value::Task;

/// The keys of every recipe.
const COMMON: [&str; 28] = [
    "description",
    "licence",
    "objective",
    "seed",
    "epochs",
    "batch_size",
    "valid_fraction",
    "metric",
    "patience",
    "gradient_clip",
    "average_decay",
    "network.kind",
    "network.dropout",
    "optimizer.kind",
    "optimizer.learning_rate",
    "optimizer.beta1",
    "optimizer.beta2",
    "optimizer.epsilon",
    "optimizer.weight_decay",
    "optimizer.momentum",
    "schedule.kind",
    "schedule.warmup_steps",
    "schedule.drop_epochs",
    "schedule.drop_factor",
    "schedule.final_share",
    "loss.label_smoothing",
    "loss.balanced",
    "loss.label_weights",
];

/// And those of recipes for texts.
const TEXT: [&str; 13] = [
    "network.embedding_dim",
    "network.hidden_dim",
    "network.layers",
    "network.bidirectional",
    "network.pooling",
    "text.tokens_max",
    "text.token_dropout",
    "text.tokenizer_file",
    "tokenizer.kind",
    "tokenizer.vocabulary",
    "tokenizer.frequency_min",
    "tokenizer.lowercase",
    "tokenizer.strip_accents",
];

/// And those of recipes for pictures.
const IMAGE: [&str; 15] = [
    "network.preset",
    "network.channels",
    "network.height",
    "network.width",
    "network.blocks",
    "network.head",
    "picture.fit",
    "picture.mean",
    "picture.std",
    "picture.oversample",
    "augmentation.flip",
    "augmentation.crop_padding",
    "augmentation.colour_jitter",
    "augmentation.rotate_degrees",
    "augmentation.zoom",
];

/// A weight by label has a key a label.
const LABEL_WEIGHT: &str = "loss.label_weights.";

/// Why what is said over a recipe is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::train) enum Refused {
    /// No key has this name: what is wrong with it, and the known name that is meant, maybe.
    Name { name: String, problem: String, meant: Option<String> },
    /// A name, its value, and what is wrong with that.
    Value { name: String, value: String, problem: String },
    /// All are well by themselves, and make no recipe together.
    Together(RecipeError),
}

/// A key with what is said of it.
struct Said<'a> {
    /// As it was said.
    name: &'a str,
    /// As it was said.
    text: &'a str,
    /// Its place in a recipe.
    key: String,
    /// Its value; the key goes when there is none.
    value: Option<toml::Value>,
}

/// The recipe with these keys over it. A name is a dotted one (`optimizer.learning_rate`) or its last part where
/// that is one key's alone (`learning_rate`); a value is plain text, or JSON; `null` takes the key away.
pub(in crate::train) fn over(
    recipe: &Recipe,
    said: &BTreeMap<String, String>,
    task: Task,
) -> Result<Recipe, Refused> {
    if said.is_empty() {
        return Ok(recipe.clone());
    }
    let base =
        toml::Table::try_from(recipe).map_err(|error| Refused::Together(RecipeError(error.to_string())))?;
    let mut understood: Vec<Said<'_>> = Vec::new();
    for (name, text) in said {
        let key = resolve(name, task)?;
        if let Some(before) = understood.iter().find(|before| before.key == key) {
            return Err(refused(name, text, format!("{key} is said twice, as {} too", before.name)));
        }
        let value = value::read(&base, &key, text).map_err(|problem| refused(name, text, problem))?;
        understood.push(Said { name, text, key, value });
    }
    let all: Vec<&Said<'_>> = understood.iter().collect();
    together(&base, &all, task).map_err(|error| blame(&base, &all, task, error))
}

/// The recipe that the table and what is said over it make.
fn together(base: &toml::Table, said: &[&Said<'_>], task: Task) -> Result<Recipe, RecipeError> {
    let mut table = base.clone();
    if said.iter().any(|said| said.key == "network.preset") {
        // A preset decides the whole table.
        table.insert("network".into(), toml::Table::new().into());
    }
    for said in said {
        value::put(&mut table, &said.key, said.value.clone());
    }
    let recipe: Recipe = super::parse::from_table(table, "recipe")?;
    recipe.validate(task)?;
    Ok(recipe)
}

/// Whose fault the error is: of the key without which it is another, or none.
fn blame(base: &toml::Table, all: &[&Said<'_>], task: Task, error: RecipeError) -> Refused {
    let guilty = all.iter().find(|one| {
        let others: Vec<&Said<'_>> = all.iter().filter(|other| other.key != one.key).copied().collect();
        together(base, &others, task).err().as_ref() != Some(&error)
    });
    match guilty {
        Some(said) => refused(said.name, said.text, value::problem(&said.key, &error.0)),
        None => Refused::Together(error),
    }
}

fn refused(name: &str, value: &str, problem: String) -> Refused {
    Refused::Value { name: name.to_owned(), value: value.to_owned(), problem }
}

/// The key that a name means.
fn resolve(name: &str, task: Task) -> Result<String, Refused> {
    let plain = name.replace('-', "_");
    let keys: Vec<&str> = match task {
        Task::TextClassification => COMMON.iter().chain(&TEXT).copied().collect(),
        Task::ImageClassification => COMMON.iter().chain(&IMAGE).copied().collect(),
    };
    if let Some(label) = name.strip_prefix(LABEL_WEIGHT) {
        return Ok(format!("{LABEL_WEIGHT}{label}"));
    }
    if keys.contains(&plain.as_str()) {
        return Ok(plain);
    }
    let unknown = |problem: String, near: Option<&str>| {
        Err(Refused::Name { name: name.to_owned(), problem, meant: near.map(str::to_owned) })
    };
    let named: Vec<&str> = keys.iter().filter(|key| last(key) == plain).copied().collect();
    match named.as_slice() {
        [key] => return Ok((*key).to_owned()),
        [] => {}
        several => return unknown(format!("several keys are called so: {}", several.join(", ")), None),
    }
    let of_table: Vec<&str> =
        keys.iter().filter(|key| key.split('.').next() == Some(&*plain)).copied().collect();
    if !of_table.is_empty() {
        return unknown(format!("a table, its keys are said one by one: {}", of_table.join(", ")), None);
    }
    let near = if plain.contains('.') {
        nearest(&plain, keys.iter().copied())
    } else {
        nearest(&plain, keys.iter().map(last))
    };
    unknown(format!("no key of a recipe for {task}"), near)
}

fn last<'a>(key: &'a &str) -> &'a str {
    key.rsplit('.').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASKS: [Task; 2] = [Task::TextClassification, Task::ImageClassification];

    fn said(said: &[(&str, &str)], task: Task) -> Result<Recipe, Refused> {
        let recipe = Recipe::parse(Recipe::default_text(task), task).unwrap();
        let said = said.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        over(&recipe, &said, task)
    }

    fn text(pairs: &[(&str, &str)]) -> Result<Recipe, Refused> {
        said(pairs, Task::TextClassification)
    }

    #[test]
    fn values_come_as_text_or_json_or_json_in_json() {
        let recipe = text(&[
            ("epochs", "3"),
            ("batch_size", "\"16\""),
            ("learning_rate", "1e-2"),
            ("optimizer.kind", "\"adam\""),
            ("schedule.kind", "step"),
            ("loss.balanced", "True"),
            ("lowercase", "false"),
            ("description", "3"),
            ("licence", "\"\\\"null\\\" and void\""),
            ("loss.label_weights", "{\"good\": 2, \"a.b\": 0.5}"),
            ("loss.label_weights.c.d", "4"),
            ("hidden-dim", "9"),
            ("pooling", "mean"),
            ("patience", "null"),
        ]);
        let recipe = recipe.unwrap();
        assert_eq!((recipe.epochs, recipe.batch_size, recipe.patience), (3, 16, None));
        assert!((recipe.optimizer.learning_rate - 0.01).abs() < 1e-15);
        assert_eq!(recipe.optimizer.kind, super::super::optimizer::Kind::Adam);
        assert_eq!(recipe.schedule.kind, super::super::schedule::Kind::Step);
        assert!(recipe.loss.balanced && !recipe.tokenizer.unwrap().lowercase);
        assert_eq!((recipe.description.as_str(), recipe.licence.as_str()), ("3", "\"null\" and void"));
        let weights =
            [("a.b", 0.5), ("c.d", 4.0), ("good", 2.0)].map(|(label, weight)| (label.into(), weight));
        assert_eq!(recipe.loss.label_weights, weights.into());
        assert_eq!(recipe.network.0["hidden_dim"].as_integer(), Some(9));
        assert_eq!(recipe.network.0["pooling"].as_str(), Some("mean"));
    }

    #[test]
    fn a_preset_takes_the_place_of_the_network() {
        let task = Task::ImageClassification;
        let recipe = said(&[("preset", "article"), ("dropout", "0.25")], task).unwrap();
        assert_eq!(recipe.network.0.len(), 2);
        let blocks = r#"[{"channels": 8, "padding": 1, "pool": {"kind": "max", "size": 2}}]"#;
        let recipe = said(&[("blocks", blocks), ("height", "14"), ("width", "14")], task).unwrap();
        assert_eq!(recipe.network.0["blocks"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_wrong_value_is_named_with_what_was_expected() {
        for (pairs, name, problem) in [
            (&[("epochs", "three")][..], "epochs", "expected a whole number"),
            (&[("epochs", "3.5")], "epochs", "expected a whole number"),
            (&[("batch_size", "8"), ("epochs", "0")], "epochs", "expected 1 to 100,000"),
            (&[("learning_rate", "fast")], "learning_rate", "expected a number"),
            (&[("learning_rate", "-1")], "learning_rate", "expected above 0, at most 100"),
            (&[("loss.balanced", "perhaps")], "loss.balanced", "expected true or false"),
            (
                &[("optimizer.kind", "\"adm\"")],
                "optimizer.kind",
                "expected one of `adam`, `adamw`, `sgd`; is `adam` meant?",
            ),
            (&[("seed", "1"), ("hidden_dim", "many")], "hidden_dim", "expected a whole number"),
            (&[("hidden_dim", "0")], "hidden_dim", "is 0, expected 1 to 16384"),
            (
                &[("pooling", "maxx")],
                "pooling",
                "expected one of `last`, `mean`, `max`, `none`; is `max` meant?",
            ),
            (&[("learning_rate", "1"), ("optimizer.learning_rate", "1")], "optimizer.learning_rate", "twice"),
            (&[("description", "[1, null]"), ("metric", "[]")], "metric", "expected"),
        ] {
            let Err(Refused::Value { name: named, problem: found, .. }) = text(pairs) else {
                panic!("{pairs:?} is taken")
            };
            assert!(named == name && found.contains(problem), "{named}: {found}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_by_the_nearest() {
        for (name, task, problem, near) in [
            ("epoch", TASKS[0], "no key of a recipe for text-classification", Some("epochs")),
            ("optimiser.learning_rate", TASKS[0], "no key", Some("optimizer.learning_rate")),
            ("kind", TASKS[0], "network.kind, optimizer.kind, schedule.kind, tokenizer.kind", None),
            ("schedule", TASKS[0], "schedule.kind, schedule.warmup_steps", None),
            ("augmentation.flip", TASKS[0], "no key", None),
            ("colour_jiter", TASKS[1], "no key", Some("colour_jitter")),
        ] {
            let Err(Refused::Name { name: named, problem: found, meant }) = said(&[(name, "1")], task) else {
                panic!("{name} is known")
            };
            assert!(named == name && found.contains(problem), "{found}");
            assert_eq!(meant.as_deref(), near, "{name}");
        }
    }

    #[test]
    fn the_names_are_exactly_those_of_recipes() {
        for task in TASKS {
            let own: &[&str] = if task == TASKS[0] { &TEXT } else { &IMAGE };
            for key in COMMON.iter().chain(own).filter(|key| **key != "network.preset") {
                // A text takes it as one; any other key that exists says what it expects instead.
                match said(&[(key, "[[[]]]")], task) {
                    Ok(recipe) => assert_ne!(recipe, said(&[], task).unwrap(), "{key}"),
                    Err(Refused::Value { problem, .. }) => {
                        assert!(!problem.contains("unknown field"), "{key}: {problem}");
                    }
                    Err(other) => panic!("{key}: {other:?}"),
                }
            }
            for table in ["", "network.", "text.", "tokenizer.", "picture.", "augmentation.", "optimizer."] {
                let recipe = Recipe::parse(Recipe::default_text(task), task).unwrap();
                let mut base = toml::Table::try_from(&recipe).unwrap();
                value::put(&mut base, &format!("{table}zzz"), Some(1.into()));
                let parsed: Result<Recipe, _> = super::super::parse::from_table(base, "recipe");
                let error = match parsed {
                    Ok(recipe) => recipe.validate(task).unwrap_err(),
                    Err(error) => error,
                };
                for known in error.0.split('`').skip(3).step_by(2) {
                    let decided = ["vocabulary", "outputs"].contains(&known) && table == "network.";
                    let key = format!("{table}{known}");
                    let listed = COMMON
                        .iter()
                        .chain(&TEXT)
                        .chain(&IMAGE)
                        .any(|listed| *listed == key || listed.split('.').next() == Some(&key));
                    assert!(listed || decided, "{key} is not listed");
                }
            }
        }
    }
}
