//! What a model and a version of it are called, and which known name a misspelt one was meant to be.

use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::NAME_BYTES_MAX;

/// The name of a model: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`. It names a folder, so it can never climb out of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(Arc<str>);

impl ModelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no model name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a model name: expected 1 to 64 of the characters A-Z a-z 0-9 . _ -, the first a letter or a digit"
)]
pub struct BadName(String);

impl FromStr for ModelName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let first_fits = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest_fits =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if first_fits && rest_fits && text.len() <= NAME_BYTES_MAX {
            Ok(Self(text.into()))
        } else {
            Err(BadName(text.chars().take(NAME_BYTES_MAX).collect()))
        }
    }
}

impl TryFrom<String> for ModelName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl Borrow<str> for ModelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A version of a model: a positive integer, later versions larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(NonZeroU32);

impl Version {
    /// The first version of a model.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The version after this one; `None` past 4,294,967,295.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The number itself.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// Why a text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version: expected a positive integer without sign or leading zero, such as \"3\"")]
pub struct BadVersion(String);

impl FromStr for Version {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let number = if plain { text.parse().ok() } else { None };
        number.map(Self).ok_or_else(|| BadVersion(text.chars().take(20).collect()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The known name nearest to `wanted`, if one is near enough to be what was meant.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folder_names_and_nothing_else() {
        for good in ["a", "sentiment", "v1.2_x-y", "0", &"a".repeat(64)] {
            assert_eq!(good.parse::<ModelName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "-x", ".x", "a b", "ä", "a\0", &"a".repeat(65)] {
            bad.parse::<ModelName>().unwrap_err();
        }
    }

    #[test]
    fn versions_are_plain_positive_integers() {
        assert_eq!("3".parse::<Version>().unwrap().get(), 3);
        for bad in ["", "0", "-1", "+1", "01", "1.0", "4294967296", "x"] {
            bad.parse::<Version>().unwrap_err();
        }
        assert_eq!(Version::FIRST.next().unwrap().to_string(), "2");
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let known = ["sentiment", "intents", "sign-digits"];
        assert_eq!(nearest("sentimnt", known), Some("sentiment"));
        assert_eq!(nearest("Intent", known), Some("intents"));
        assert_eq!(nearest("zebra", known), None);
    }
}
