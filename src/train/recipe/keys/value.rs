//! The value of one key: read from text as the key wants it, put in its place, and its errors in plain words.

use super::super::{Recipe, RecipeError, parse};
use super::LABEL_WEIGHT;

/// What a text says of a key: the first of its readings that the key takes. `None`: the key is to go.
///
/// # Errors
/// What the key expects.
pub(super) fn read(base: &toml::Table, key: &str, text: &str) -> Result<Option<toml::Value>, String> {
    let mut refused = None;
    for reading in readings(text) {
        let mut table = base.clone();
        put(&mut table, key, reading.clone());
        // A network is a free table until the data are known; its values are held against it in the end.
        match parse::from_table::<Recipe>(table, "recipe") {
            Ok(_) => return Ok(reading),
            Err(RecipeError(error)) => drop(refused.get_or_insert(error)),
        }
    }
    Err(problem(key, &refused.unwrap_or_default()))
}

/// What a text may mean, the most likely first: JSON as such, JSON in a JSON string, Python's truth, plain text.
fn readings(text: &str) -> Vec<Option<toml::Value>> {
    let plain = || Some(toml::Value::String(text.to_owned()));
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Null) => vec![None],
        // It is shorter than what it was in.
        Ok(serde_json::Value::String(inner)) => readings(&inner),
        Ok(json) => toml::Value::try_from(json).ok().map(Some).into_iter().chain([plain()]).collect(),
        Err(_) => {
            let truth = match text {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            };
            truth.map(|truth| Some(truth.into())).into_iter().chain([plain()]).collect()
        }
    }
}

/// Puts a value in a key's place; takes the key away when there is none.
pub(super) fn put(table: &mut toml::Table, key: &str, value: Option<toml::Value>) {
    // A label may have dots in it.
    let (path, name) = match key.strip_prefix(LABEL_WEIGHT) {
        Some(label) => (LABEL_WEIGHT.trim_end_matches('.'), label),
        None => key.rsplit_once('.').unwrap_or(("", key)),
    };
    let mut table = table;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let inner = table.entry(part).or_insert_with(|| toml::Table::new().into());
        if !inner.is_table() {
            *inner = toml::Table::new().into();
        }
        let toml::Value::Table(inner) = inner else { return };
        table = inner;
    }
    match value {
        Some(value) => drop(table.insert(name.to_owned(), value)),
        None => drop(table.remove(name)),
    }
}

/// What a recipe's error says of a key, in plain words and without the key.
pub(super) fn problem(key: &str, error: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    let mut said = error;
    for before in ["[recipe]: ", "[network]: ", "[network] architecture."] {
        said = said.strip_prefix(before).unwrap_or(said);
    }
    for name in [key, name] {
        said = said.strip_prefix(name).unwrap_or(said);
    }
    let said = said.trim_start_matches([':', ' ']);
    match said.rsplit_once(", expected ") {
        Some((begin, expected)) if begin.starts_with("invalid ") => format!("expected {}", words(expected)),
        Some((begin, expected)) if begin.starts_with("unknown variant ") => {
            format!("expected {}", expected.replace("\nis", "; is"))
        }
        _ => said.replace('\n', "; "),
    }
}

/// A type as people call it.
fn words(expected: &str) -> &str {
    match expected {
        "u64" | "usize" | "u32" | "i64" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "a text",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other,
    }
}
