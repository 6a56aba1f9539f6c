//! Reading JSON into values without more memory than its size allows for.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Instance;
use super::numbers::Growing;
use crate::limits::{JSON_MEMBERS_MAX, JSON_VALUES_MAX};

/// What is said of a body with more values than a request may have.
pub(super) const TOO_MANY: &str = "more values than one request may have: send them in several";

/// Values that may still come.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(JSON_VALUES_MAX))
    }
}

impl Budget {
    fn take<E: Error>(&self, values: usize) -> Result<(), E> {
        let left = self.0.get().checked_sub(values).ok_or_else(|| E::custom(TOO_MANY))?;
        self.0.set(left);
        Ok(())
    }
}

/// Reads one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a Budget);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Instance;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Instance, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Instance;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Instance, E> {
        Ok(Instance::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Instance, E> {
        Ok(Instance::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Instance, E> {
        Ok(Instance::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Instance, E> {
        Ok(Instance::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Instance, E> {
        Ok(Instance::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Instance, E> {
        Ok(Instance::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Instance, E> {
        Ok(Instance::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Instance, A::Error> {
        let mut items = Growing::Empty;
        while let Some(item) = list.next_element_seed(self)? {
            if !items.takes(&item) {
                self.0.take(1 + items.numbers())?;
            }
            items = items.push(item);
        }
        Ok(items.finish())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Instance, A::Error> {
        let mut members: Vec<(String, Instance)> = Vec::new();
        while let Some(name) = object.next_key::<String>()? {
            self.0.take(1)?;
            if members.len() >= JSON_MEMBERS_MAX {
                return Err(A::Error::custom(TOO_MANY));
            }
            if members.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format!("{name:?} is there twice")));
            }
            members.push((name, object.next_value_seed(self)?));
        }
        Ok(Instance::Object(members))
    }
}
