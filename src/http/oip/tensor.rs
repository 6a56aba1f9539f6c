//! Tensors as they go over the wire: a name, a datatype, a shape and the raw bytes, little-endian and row by row.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::datatype::Datatype;
use super::errors::invalid;
use crate::http::problem::Problem;

/// A tensor. Its bytes are checked against its shape when a model reads it ([`Tensor::check_size`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Tensor {
    /// What it is called.
    pub(in crate::http) name: String,
    /// What its elements are.
    pub(in crate::http) datatype: Datatype,
    /// The sizes of its dimensions, the batch first.
    pub(in crate::http) shape: Vec<i64>,
    /// Its elements, little-endian, row by row, without padding; a byte string is its length (4 bytes) and its bytes.
    pub(in crate::http) data: Bytes,
}

impl Tensor {
    /// A tensor of byte strings.
    pub(in crate::http) fn of_bytes<T: AsRef<[u8]>>(
        name: &str,
        shape: Vec<i64>,
        elements: impl IntoIterator<Item = T>,
    ) -> Self {
        let mut data = BytesMut::new();
        for element in elements {
            put_element(&mut data, element.as_ref());
        }
        Self { name: name.to_owned(), datatype: Datatype::Bytes, shape, data: data.freeze() }
    }

    /// A tensor of singles.
    pub(in crate::http) fn of_f32(
        name: &str,
        shape: Vec<i64>,
        values: impl IntoIterator<Item = f32>,
    ) -> Self {
        let data: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        Self { name: name.to_owned(), datatype: Datatype::Fp32, shape, data: data.into() }
    }

    /// Elements that the shape has room for; `None` when a dimension is negative or there are too many.
    pub(in crate::http) fn elements(&self) -> Option<usize> {
        elements_of(&self.shape)
    }

    /// Refuses the tensor unless it has the bytes that its shape says.
    pub(in crate::http) fn check_size(&self, model: &str) -> Result<(), Problem> {
        let name = &self.name;
        let elements = self.elements().ok_or_else(|| {
            invalid(format!(
                "All input dimensions should be specified for input '{name}' for model '{model}', got {}",
                shown(&self.shape)
            ))
        })?;
        let Some(size) = self.datatype.size() else { return self.byte_strings(model).map(drop) };
        let (expected, got) = (elements.saturating_mul(size), self.data.len());
        if expected == got {
            return Ok(());
        }
        let detail = format!(
            "input byte size mismatch for input '{name}' for model '{model}'. Expected {expected}, got {got}"
        );
        Err(invalid(detail))
    }

    /// The byte strings of it, as many as its shape says.
    pub(in crate::http) fn byte_strings(&self, model: &str) -> Result<Vec<Bytes>, Problem> {
        let name = &self.name;
        let expected = self.elements().unwrap_or(0);
        let mut found = Vec::new();
        let mut rest = self.data.clone();
        while !rest.is_empty() {
            let Some(length) = rest.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes) as usize)
            else {
                let left = rest.len();
                return Err(invalid(format!(
                    "incomplete string length indicator for inference input '{name}' for model '{model}', expecting \
                     4 bytes but only {left} bytes available. Please make sure the string length indicator is in one \
                     buffer."
                )));
            };
            if found.len() == expected {
                let found = found.len() + 1;
                return Err(invalid(format!(
                    "unexpected number of string elements {found} for inference input '{name}' for model '{model}', \
                     expecting {expected}"
                )));
            }
            let _length = rest.split_to(4);
            if rest.len() < length {
                let left = rest.len();
                return Err(invalid(format!(
                    "incomplete string data for inference input '{name}' for model '{model}', expecting string of \
                     length {length} but only {left} bytes available"
                )));
            }
            found.push(rest.split_to(length));
        }
        if found.len() == expected {
            return Ok(found);
        }
        let got = found.len();
        Err(invalid(format!(
            "expected {expected} string elements for inference input '{name}' for model '{model}', got {got}"
        )))
    }

    /// Its elements of `N` bytes each, little-endian; a part of one that is left over is dropped.
    pub(in crate::http) fn chunks<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        self.data.as_chunks::<N>().0.iter().copied()
    }
}

/// Writes a byte string as it is in a tensor. Strings of 4 GiB and more do not fit into any body that is taken.
pub(in crate::http) fn put_element(data: &mut BytesMut, element: &[u8]) {
    data.put_u32_le(u32::try_from(element.len()).unwrap_or(u32::MAX));
    data.put_slice(element);
}

/// Elements that a shape has room for; `None` when a dimension is negative or there are too many.
pub(in crate::http) fn elements_of(shape: &[i64]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |elements, side| elements.checked_mul(usize::try_from(*side).ok()?))
}

/// A shape as messages show it: `[-1,16]`.
pub(in crate::http) fn shown(shape: &[i64]) -> String {
    let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", sides.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(shape: &[i64], data: &'static [u8]) -> Tensor {
        let data = Bytes::from_static(data);
        Tensor { name: "text".to_owned(), datatype: Datatype::Bytes, shape: shape.to_vec(), data }
    }

    #[test]
    fn byte_strings_go_there_and_back() {
        let tensor = Tensor::of_bytes("text", vec![3], ["", "a", "日本"]);
        assert_eq!(tensor.byte_strings("m").unwrap(), ["", "a", "日本"]);
        assert_eq!(tensor.data.len(), 3 * 4 + 1 + 6);
        tensor.check_size("m").unwrap();
    }

    #[test]
    fn byte_strings_that_are_cut_or_too_many_are_refused() {
        let cases = [
            (bytes(&[1], b"\x01\0\0"), "incomplete string length indicator"),
            (bytes(&[1], b"\x02\0\0\0a"), "expecting string of length 2 but only 1 bytes available"),
            (bytes(&[1], b"\xff\xff\xff\xffa"), "expecting string of length 4294967295"),
            (bytes(&[2], b"\x01\0\0\0a"), "expected 2 string elements"),
            (bytes(&[1], b"\x01\0\0\0a\0\0\0\0"), "unexpected number of string elements 2"),
        ];
        for (tensor, expected) in cases {
            let problem = tensor.check_size("m").unwrap_err();
            assert!(problem.detail.contains(expected), "{}", problem.detail);
            assert!(problem.detail.contains("'text' for model 'm'"), "{}", problem.detail);
        }
    }

    #[test]
    fn the_bytes_are_those_that_the_shape_says() {
        let tensor =
            |shape: &[i64]| Tensor { shape: shape.to_vec(), ..Tensor::of_f32("x", vec![], [0.5; 6]) };
        tensor(&[2, 3]).check_size("m").unwrap();
        let problem = tensor(&[2, 2]).check_size("m").unwrap_err();
        assert_eq!(
            problem.detail,
            "input byte size mismatch for input 'x' for model 'm'. Expected 16, got 24"
        );
        for shape in [&[-1, 3][..], &[i64::MAX, 3]] {
            assert!(tensor(shape).check_size("m").is_err(), "{shape:?}");
        }
    }
}
