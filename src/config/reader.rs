//! Reading keys one by one: a key is known because it is read, and every mistake is noted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::{ConfigError, Key, Origin, Problem, Said, Value};
use crate::name::nearest;

/// A value in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// Its key.
    pub key: Key,
    /// The value, understood.
    pub value: toml::Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Reads what was said. A key that cannot be read yields a stand-in and a problem, so that reading goes on and every
/// problem is found; [`finish`](Self::finish) then refuses the whole.
#[derive(Debug)]
pub(super) struct Reader {
    said: BTreeMap<Key, Said>,
    known: BTreeSet<Key>,
    effective: Vec<Effective>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(said: BTreeMap<Key, Said>, problems: Vec<Problem>) -> Self {
        Self { said, known: BTreeSet::new(), effective: Vec::new(), problems }
    }

    /// A whole number in this range.
    pub(super) fn integer<T>(&mut self, key: &Key, range: &RangeInclusive<T>) -> T
    where
        T: TryFrom<u64> + PartialOrd + Copy + Display,
    {
        let read = |value: &Value| {
            let number = value.integer()?;
            let fitting = T::try_from(number).ok().filter(|fitting| range.contains(fitting))?;
            Some((fitting, toml::Value::Integer(i64::try_from(number).ok()?)))
        };
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, &expected, read).unwrap_or(*range.start())
    }

    /// `true` or `false`.
    pub(super) fn switch(&mut self, key: &Key) -> bool {
        let read = |value: &Value| value.switch().map(|yes| (yes, toml::Value::Boolean(yes)));
        self.read(key, "true or false", read).unwrap_or_default()
    }

    /// A text that `parse` understands.
    pub(super) fn text<T>(
        &mut self,
        key: &Key,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let read = |value: &Value| {
            let text = value.text()?;
            Some((parse(text)?, toml::Value::String(text.to_owned())))
        };
        self.read(key, expected, read)
    }

    /// Whatever `read` makes of the value, with how it is shown. `None` when that is a problem.
    pub(super) fn read<T>(
        &mut self,
        key: &Key,
        expected: &str,
        read: impl Fn(&Value) -> Option<(T, toml::Value)>,
    ) -> Option<T> {
        self.known.insert(key.clone());
        let Some(said) = self.said.get(key) else {
            self.reject(key, expected);
            return None;
        };
        if let Some((meant, value)) = read(&said.value) {
            self.effective.push(Effective { key: key.clone(), value, origin: said.origin.clone() });
            Some(meant)
        } else {
            self.reject(key, expected);
            None
        }
    }

    /// Whether anything was said of a key that need not be there; from now on it is known.
    pub(super) fn has(&mut self, key: &Key) -> bool {
        self.known.insert(key.clone());
        self.said.contains_key(key)
    }

    /// The names of the tables inside this one.
    pub(super) fn tables_in(&self, table: &str) -> BTreeSet<String> {
        let inside = |key: &Key| match key.names() {
            [outer, name, ..] if outer == table => Some(name.clone()),
            _ => None,
        };
        self.said.keys().filter_map(inside).collect()
    }

    /// Notes that the key's value is not what it takes.
    pub(super) fn reject(&mut self, key: &Key, expected: &str) {
        let (value, origin) = self.said.get(key).map_or(("nothing".to_owned(), Origin::Default), |said| {
            (said.value.to_string(), said.origin.clone())
        });
        let expected = expected.to_owned();
        self.problems.push(Problem::Wrong { key: key.to_string(), value, origin, expected });
    }

    /// Notes that a table's name is not one it may have; what is in the table is not looked at.
    pub(super) fn misnamed(&mut self, table: &Key, bad: &impl Display) {
        let inside = |key: &&Key| key.names().starts_with(table.names());
        let keys: Vec<Key> = self.said.keys().filter(inside).cloned().collect();
        let origin = keys.first().and_then(|key| self.said.get(key)).map(|said| said.origin.clone());
        self.known.extend(keys);
        self.problems.push(Problem::Misnamed {
            table: table.to_string(),
            origin: origin.unwrap_or(Origin::Default),
            reason: bad.to_string(),
        });
    }

    /// Whether the key was said and could be read.
    pub(super) fn understood(&self, key: &Key) -> bool {
        self.effective.iter().any(|effective| effective.key == *key)
    }

    /// The values in effect.
    ///
    /// # Errors
    /// Everything that was noted, and every key that nobody read.
    pub(super) fn finish(mut self) -> Result<Vec<Effective>, ConfigError> {
        let unknown: Vec<Problem> = self
            .said
            .iter()
            .filter(|(key, said)| !self.known.contains(*key) && !self.is_empty_table(key, said))
            .map(|(key, said)| self.unknown(key, said))
            .collect();
        self.problems.extend(unknown);
        if self.problems.is_empty() { Ok(self.effective) } else { Err(ConfigError(self.problems)) }
    }

    /// A table of ours that says nothing.
    fn is_empty_table(&self, key: &Key, said: &Said) -> bool {
        matches!(&said.value, Value::Toml(toml::Value::Table(table)) if table.is_empty())
            && self.is_table(key)
    }

    fn is_table(&self, key: &Key) -> bool {
        self.known.iter().any(|known| known.table().starts_with(key.names())) || key.names() == ["model"]
    }

    fn unknown(&self, key: &Key, said: &Said) -> Problem {
        if self.is_table(key) && !matches!(said.origin, Origin::Environment { .. }) {
            return Problem::Wrong {
                key: key.to_string(),
                value: said.value.to_string(),
                origin: said.origin.clone(),
                expected: format!("a table, [{key}]"),
            };
        }
        let meant = self.meant(key);
        let (kind, name, nearest) = match &said.origin {
            Origin::Environment { variable } => ("variable", variable.clone(), meant.map(Key::variable)),
            _ => ("key", key.to_string(), meant.map(ToString::to_string)),
        };
        Problem::Unknown { kind, name, value: said.value.to_string(), origin: said.origin.clone(), nearest }
    }

    /// The known key that is nearest: in the same table by its name, else by its whole.
    fn meant(&self, key: &Key) -> Option<&Key> {
        let siblings: Vec<&Key> = self.known.iter().filter(|known| known.table() == key.table()).collect();
        if siblings.is_empty() {
            let wholes: Vec<String> = self.known.iter().map(ToString::to_string).collect();
            let whole = nearest(&key.to_string(), wholes.iter().map(String::as_str));
            let by_name = || self.known.iter().find(|known| known.name() == key.name());
            whole
                .and_then(|whole| self.known.iter().find(|known| known.to_string() == whole))
                .or_else(by_name)
        } else {
            let name = nearest(key.name(), siblings.iter().map(|sibling| sibling.name()))?;
            siblings.into_iter().find(|sibling| sibling.name() == name)
        }
    }
}
