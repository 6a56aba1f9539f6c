//! A value as it was said: a TOML value, or a text whose meaning its key decides.

use std::fmt;

use super::Origin;

/// Characters of a value that a message shows.
const SHOWN_CHARS_MAX: usize = 80;

/// A value, not yet understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// From a file.
    Toml(toml::Value),
    /// From the environment or a flag.
    Text(String),
}

/// A value and where it was said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Value {
    /// A whole number from 0.
    pub(super) fn integer(&self) -> Option<u64> {
        match self {
            Self::Toml(toml::Value::Integer(number)) => u64::try_from(*number).ok(),
            Self::Toml(_) => None,
            Self::Text(text) => text.trim().replace('_', "").parse().ok(),
        }
    }

    /// Yes or no.
    pub(super) fn switch(&self) -> Option<bool> {
        match self {
            Self::Toml(toml::Value::Boolean(yes)) => Some(*yes),
            Self::Toml(_) => None,
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Toml(toml::Value::String(text)) | Self::Text(text) => Some(text),
            Self::Toml(_) => None,
        }
    }

    /// A list of whole numbers from 0; as a text, comma separated, in brackets or not.
    pub(super) fn integers(&self) -> Option<Vec<u64>> {
        match self {
            Self::Toml(toml::Value::Array(items)) => items
                .iter()
                .map(|item| item.as_integer().and_then(|number| u64::try_from(number).ok()))
                .collect(),
            Self::Toml(_) => None,
            Self::Text(text) => {
                let text = text.trim();
                let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
                inner.split(',').map(|item| item.trim().parse().ok()).collect()
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = match self {
            Self::Toml(value) => value.to_string(),
            Self::Text(text) => format!("{text:?}"),
        };
        let mut shown: String = whole.chars().take(SHOWN_CHARS_MAX).collect();
        if shown.len() < whole.len() {
            shown.push('…');
        }
        f.write_str(&shown)
    }
}
