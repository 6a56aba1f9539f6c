//! Tensors by name, in natural order (`conv2` before `conv10`), taken out one by one as their place is found.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::super::{ImportError, RawTensor};

/// The tensors whose place is not found yet, in natural order.
#[derive(Debug)]
pub(super) struct Tensors(Vec<(String, RawTensor)>);

impl Tensors {
    pub(super) fn new(tensors: BTreeMap<String, RawTensor>) -> Self {
        let mut tensors: Vec<(String, RawTensor)> = tensors.into_iter().collect();
        tensors.sort_by(|(a, _), (b, _)| natural(a, b));
        Self(tensors)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn any(&self, wanted: impl Fn(&str, &[usize]) -> bool) -> bool {
        self.0.iter().any(|(name, tensor)| wanted(name, &tensor.shape))
    }

    /// Names of those that are wanted, in natural order.
    pub(super) fn names(&self, wanted: impl Fn(&str, &[usize]) -> bool) -> Vec<String> {
        let wanted = self.0.iter().filter(|(name, tensor)| wanted(name, &tensor.shape));
        wanted.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, tensor)| tensor.shape.as_slice())
    }

    /// Takes out the tensor of this name.
    pub(super) fn take(&mut self, name: &str) -> Option<RawTensor> {
        let index = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.remove(index).1)
    }

    /// Takes out the tensor of this name, which must be there.
    pub(super) fn need(&mut self, name: &str) -> Result<RawTensor, ImportError> {
        self.take(name).ok_or_else(|| ImportError(format!("tensor {name} is missing; found {}", self.list())))
    }

    pub(super) fn forget(&mut self, unwanted: impl Fn(&str, &[usize]) -> bool) {
        self.0.retain(|(name, tensor)| !unwanted(name, &tensor.shape));
    }

    /// Names and shapes for a message, twenty at most.
    pub(super) fn list(&self) -> String {
        if self.0.is_empty() {
            return "no tensors".into();
        }
        let mut lines: Vec<String> =
            self.0.iter().take(20).map(|(name, tensor)| format!("{name} {:?}", tensor.shape)).collect();
        if self.0.len() > 20 {
            lines.push(format!("and {} more", self.0.len() - 20));
        }
        lines.join(", ")
    }
}

/// A vector or matrix of one value.
pub(super) fn constant(shape: &[usize], value: f32) -> RawTensor {
    RawTensor { shape: shape.to_vec(), values: vec![value; shape.iter().product()] }
}

/// What comes before the last `.weight`, `.bias`, ….
pub(super) fn module(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(module, _)| module)
}

/// The number at the end of a module's name: 2 in `layers.bn2`.
pub(super) fn number(module: &str) -> Option<u64> {
    let digits = module.bytes().rev().take_while(u8::is_ascii_digit).count();
    module.get(module.len() - digits..)?.parse().ok()
}

/// Orders names with the numbers in them as numbers.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (left, right) = (piece(a), piece(b));
        if left.is_empty() || right.is_empty() {
            return a.len().cmp(&b.len());
        }
        let order = match (left.parse::<u64>(), right.parse::<u64>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => left.cmp(right),
        };
        if order != Ordering::Equal {
            return order;
        }
        a = a.get(left.len()..).unwrap_or_default();
        b = b.get(right.len()..).unwrap_or_default();
    }
}

/// The digits, or what is no digit, that a text begins with.
fn piece(text: &str) -> &str {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_ordered_as_numbers() {
        let mut names = ["conv10.bias", "conv2.bias", "bn1", "conv2.weight", "10.x", "9.x", "conv"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9.x", "10.x", "bn1", "conv", "conv2.bias", "conv2.weight", "conv10.bias"]);
        assert_eq!(natural("a1", "a1"), Ordering::Equal);
    }

    #[test]
    fn modules_and_their_numbers() {
        assert_eq!(module("features.0.weight"), "features.0");
        assert_eq!((number("features.0"), number("layers.bn12"), number("stem")), (Some(0), Some(12), None));
    }
}
