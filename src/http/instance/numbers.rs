//! Nested lists of numbers of one shape, kept flat.

use super::Instance;
use crate::limits::REQUEST_INPUTS_MAX;

/// Numbers of a shape, the last dimension running fastest.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) struct Numbers {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Numbers {
    /// The lengths of its lists, outermost first.
    pub(in crate::http) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers, row by row.
    pub(in crate::http) fn values(&self) -> &[f32] {
        &self.values
    }

    /// What is at each place of the outermost list, as far as a request may bring inputs, and one more where there are
    /// more: a million numbers, each as a value of its own, would take many times as much.
    pub(in crate::http) fn inputs(mut self) -> Vec<Instance> {
        let size = self.shape.iter().skip(1).product::<usize>().max(1);
        self.values.truncate((REQUEST_INPUTS_MAX + 1).saturating_mul(size));
        self.items()
    }

    /// What is at each place of the outermost list.
    fn items(self) -> Vec<Instance> {
        let Some((_, inner)) = self.shape.split_first() else { return Vec::new() };
        if inner.is_empty() {
            return self.values.into_iter().map(|value| Instance::Number(value.into())).collect();
        }
        let size = inner.iter().product::<usize>().max(1);
        let items = self.values.chunks_exact(size);
        items
            .map(|values| Instance::Numbers(Self { shape: inner.to_vec(), values: values.to_vec() }))
            .collect()
    }
}

/// A list as it comes in, item by item.
#[derive(Debug)]
pub(super) enum Growing {
    /// Nothing yet.
    Empty,
    /// Numbers, or lists of them of this shape.
    Even {
        /// The shape of an item; empty when it is a number.
        inner: Vec<usize>,
        /// Items so far.
        count: usize,
        /// Their numbers.
        values: Vec<f32>,
    },
    /// Anything else.
    Uneven(Vec<Instance>),
}

impl Growing {
    /// Takes the next item in, and says how many values it now holds that are counted.
    pub(super) fn push(self, item: Instance) -> Self {
        match (self, item) {
            (Self::Empty, Instance::Number(number)) => {
                Self::Even { inner: Vec::new(), count: 1, values: vec![narrow(number)] }
            }
            (Self::Empty, Instance::Numbers(numbers)) => {
                Self::Even { inner: numbers.shape, count: 1, values: numbers.values }
            }
            (Self::Empty, other) => Self::Uneven(vec![other]),
            (Self::Even { inner, count, mut values }, Instance::Number(number)) if inner.is_empty() => {
                values.push(narrow(number));
                Self::Even { inner, count: count + 1, values }
            }
            (Self::Even { inner, count, mut values }, Instance::Numbers(numbers))
                if inner == numbers.shape =>
            {
                values.extend(numbers.values);
                Self::Even { inner, count: count + 1, values }
            }
            (even @ Self::Even { .. }, other) => {
                let mut items = even.finish().items().unwrap_or_default();
                items.push(other);
                Self::Uneven(items)
            }
            (Self::Uneven(mut items), other) => {
                items.push(other);
                Self::Uneven(items)
            }
        }
    }

    /// Items that the next one would turn into values by themselves, if it is not like them.
    pub(super) fn numbers(&self) -> usize {
        match self {
            Self::Even { count, .. } => *count,
            Self::Empty | Self::Uneven(_) => 0,
        }
    }

    /// Whether this item is like those before it.
    pub(super) fn takes(&self, item: &Instance) -> bool {
        match (self, item) {
            (Self::Empty, Instance::Number(_) | Instance::Numbers(_)) => true,
            (Self::Even { inner, .. }, Instance::Number(_)) => inner.is_empty(),
            (Self::Even { inner, .. }, Instance::Numbers(numbers)) => *inner == numbers.shape,
            _ => false,
        }
    }

    /// The whole list.
    pub(super) fn finish(self) -> Instance {
        match self {
            Self::Empty => Instance::List(Vec::new()),
            Self::Even { inner, count, values } => {
                let shape = std::iter::once(count).chain(inner).collect();
                Instance::Numbers(Numbers { shape, values })
            }
            Self::Uneven(items) => Instance::List(items),
        }
    }
}

/// As networks take numbers. What is too large becomes infinite, which every reader refuses.
#[expect(clippy::cast_possible_truncation, reason = "networks compute in f32")]
fn narrow(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Instance {
        Instance::parse(text.as_bytes()).unwrap()
    }

    fn numbers(text: &str) -> Numbers {
        let Instance::Numbers(numbers) = parse(text) else { panic!("{text} is no numbers") };
        numbers
    }

    #[test]
    fn even_lists_are_numbers_with_a_shape() {
        let found = numbers("[[[1, 2], [3, 4], [5, 6]]]");
        assert_eq!((found.shape(), found.values()), (&[1, 3, 2][..], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]));
        assert_eq!(numbers("[1, 2.5, -3e2]").shape(), [3]);
        assert!(numbers("[1e300]").values()[0].is_infinite());
    }

    #[test]
    fn uneven_lists_keep_their_items() {
        for (text, items) in [
            ("[[1, 2], [3]]", vec!["[1, 2]", "[3]"]),
            ("[1, [2]]", vec!["1", "[2]"]),
            ("[[1], \"a\", [2]]", vec!["[1]", "\"a\"", "[2]"]),
            ("[[], []]", vec!["[]", "[]"]),
            ("[[[1], [2]], [[3], [4, 5]]]", vec!["[[1], [2]]", "[[3], [4, 5]]"]),
        ] {
            let items = items.into_iter().map(parse).collect();
            assert_eq!(parse(text), Instance::List(items), "{text}");
        }
    }

    #[test]
    fn the_items_of_even_lists_are_their_rows() {
        let rows = numbers("[[1, 2], [3, 4]]").items();
        assert_eq!(rows, [parse("[1, 2]"), parse("[3, 4]")]);
        assert_eq!(numbers("[1, 2]").items(), [Instance::Number(1.0), Instance::Number(2.0)]);
        assert_eq!(numbers("[[1, 2], [3, 4]]").inputs(), rows);
    }

    #[test]
    fn of_very_many_items_those_are_made_that_tell_that_they_are_too_many() {
        for item in ["1", "[1, 2]"] {
            let many = numbers(&format!("[{}{item}]", format!("{item},").repeat(10_000)));
            let inputs = many.inputs();
            assert_eq!(inputs.len(), REQUEST_INPUTS_MAX + 1);
            assert_eq!(inputs.last(), Some(&parse(item)));
        }
    }
}
