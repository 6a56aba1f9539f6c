//! From TOML to a recipe, with a misspelt key answered by the nearest that exists.

use serde::de::DeserializeOwned;

use crate::name::nearest;

/// Why a recipe is refused: the key, what was found, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::train) struct RecipeError(pub(in crate::train) String);

/// Reads a value of TOML; an unknown key is refused with the nearest known one.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, RecipeError> {
    toml::from_str(text).map_err(|error| {
        let meant = meant(error.message());
        let error = error.to_string();
        RecipeError(format!("{}{meant}", error.trim_end()))
    })
}

/// The same of a table already read.
pub(super) fn from_table<T: DeserializeOwned>(table: toml::Table, name: &str) -> Result<T, RecipeError> {
    table.try_into().map_err(|error: toml::de::Error| {
        let message = error.message();
        RecipeError(format!("[{name}]: {message}{}", meant(message)))
    })
}

/// What a misspelt key was meant to be, read from serde's "unknown field `a`, expected one of `b`, `c`".
fn meant(message: &str) -> String {
    let Some(rest) =
        message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))
    else {
        return String::new();
    };
    let mut words = rest.split('`').skip(1).step_by(2);
    let wanted = words.next().unwrap_or_default();
    nearest(wanted, words).map(|known| format!("\nis `{known}` meant?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Recipe;
    use crate::value::Task;

    #[test]
    fn a_misspelt_key_is_refused_with_the_nearest() {
        for (text, near) in [
            ("epoch = 3\n[network]\nkind = \"lstm-classifier\"\n", "is `epochs` meant?"),
            ("optimizer.learning_rte = 1.0\n[network]\n", "is `learning_rate` meant?"),
            ("metric = \"acuracy\"\n[network]\n", "is `accuracy` meant?"),
            (
                "[network]\nkind = \"lstm-classifier\"\nembedding_dim = 4\nhiden_dim = 4\n",
                "is `hidden_dim` meant?",
            ),
        ] {
            let error = Recipe::parse(text, Task::TextClassification).unwrap_err().0;
            assert!(error.contains(near), "{error}");
        }
    }
}
