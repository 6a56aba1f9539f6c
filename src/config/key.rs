//! What a setting is called: in a file, in the environment, in a flag.

use std::fmt;

/// A key: the names of the tables it is in and its own, outermost first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<String>);

/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "SCONCE_";

/// The table whose members are named by models, so that their spelling is kept.
const BY_MODEL: &str = "model";

/// The table whose members are tasks: words joined by hyphens, which a variable cannot have.
const BY_TASK: &str = "default_models";

impl Key {
    /// The key of these names.
    #[must_use]
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// The key of names joined by dots, none of which has a dot itself.
    #[must_use]
    pub fn dotted(text: &str) -> Self {
        Self::new(text.split('.'))
    }

    /// Reads a key as TOML writes it: `http.port`, `model."a.b".device`. `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains(['\n', '\r', '=', '#', '[']) {
            return None;
        }
        let mut table: toml::Table = format!("{text} = 0").parse().ok()?;
        let mut names = Vec::new();
        while let Some((name, value)) = table.into_iter().next() {
            names.push(name);
            table = match value {
                toml::Value::Table(inner) => inner,
                _ => toml::Table::new(),
            };
        }
        Some(Self(names))
    }

    /// The key that a variable's name means; `None` when it is not one of ours.
    pub(super) fn from_variable(variable: &str) -> Option<Self> {
        let mut names: Vec<String> = variable.strip_prefix(PREFIX)?.split("__").map(str::to_owned).collect();
        let mut table = String::new();
        for (depth, name) in names.iter_mut().enumerate() {
            let keeps_case = depth == 1 && table == BY_MODEL && name.contains(|c: char| c.is_lowercase());
            if !keeps_case {
                *name = name.to_lowercase();
            }
            if depth == 0 {
                table.clone_from(name);
            } else if table == BY_TASK {
                *name = name.replace('_', "-");
            }
        }
        Some(Self(names))
    }

    /// The variable that means this key: `SCONCE_HTTP__PORT`.
    #[must_use]
    pub fn variable(&self) -> String {
        let by_model = self.0.first().is_some_and(|table| table == BY_MODEL);
        let name = |(depth, name): (usize, &String)| match (depth, by_model) {
            (1, true) if name.contains(|c: char| c.is_uppercase()) => name.clone(),
            (1, true) => name.to_uppercase(),
            _ => name.to_uppercase().replace('-', "_"),
        };
        PREFIX.to_owned() + &self.0.iter().enumerate().map(name).collect::<Vec<_>>().join("__")
    }

    /// The names, outermost first.
    pub(super) fn names(&self) -> &[String] {
        &self.0
    }

    /// The key of this name inside this one's table.
    pub(super) fn child(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.to_owned()]).collect())
    }

    /// The table this key is in.
    pub(super) fn table(&self) -> &[String] {
        self.0.split_last().map_or(&[], |(_, table)| table)
    }

    /// Its own name.
    pub(super) fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        let names: Vec<String> =
            self.0.iter().map(|name| if bare(name) { name.clone() } else { format!("{name:?}") }).collect();
        f.pad(&names.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_variable_mean_each_other() {
        for (key, variable) in [
            ("http.port", "SCONCE_HTTP__PORT"),
            ("default_models.text-classification", "SCONCE_DEFAULT_MODELS__TEXT_CLASSIFICATION"),
            ("model.sign-digits.device", "SCONCE_MODEL__SIGN-DIGITS__DEVICE"),
            ("model.Mixed.device", "SCONCE_MODEL__Mixed__DEVICE"),
            ("model.\"a.b\".device", "SCONCE_MODEL__A.B__DEVICE"),
        ] {
            let parsed = Key::parse(key).unwrap();
            assert_eq!(parsed.to_string(), key);
            assert_eq!(parsed.variable(), variable);
            assert_eq!(Key::from_variable(variable), Some(parsed));
        }
        assert_eq!(Key::from_variable("PATH"), None);
    }

    #[test]
    fn what_is_no_key_is_not_read_as_one() {
        for text in ["", "a b", "a..b", "a.", "[http]\nport", "a = 1\nb", "http.port #"] {
            assert_eq!(Key::parse(text), None, "{text:?}");
        }
    }
}
