//! The `data` of a tensor in JSON: nested or flat, read into a flat list of one kind, then into a datatype's bytes.

use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::http::oip::datatype::Datatype;
use crate::http::oip::tensor::put_element;

/// The elements of a `data` member, row by row. The list is of the kind that the first element was, and of a wider one
/// as soon as another needs it: an array of pixels takes 8 bytes an element, whatever its numbers are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Elements {
    /// None.
    #[default]
    None,
    /// `true` and `false`.
    Truths(Vec<u8>),
    /// Whole numbers.
    Whole(Vec<i64>),
    /// Whole numbers, some of them beyond those of 64 bits with a sign.
    Large(Vec<i128>),
    /// Numbers.
    Numbers(Vec<f64>),
    /// Texts, as byte strings in a tensor, and how many they are.
    Texts(BytesMut, usize),
    /// Something that is no element, or kinds that do not go together.
    Mixed,
}

impl Elements {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::None | Self::Mixed => 0,
            Self::Truths(truths) => truths.len(),
            Self::Whole(numbers) => numbers.len(),
            Self::Large(numbers) => numbers.len(),
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(_, count) => *count,
        }
    }

    fn truth(&mut self, truth: bool) {
        match self {
            Self::None => *self = Self::Truths(vec![u8::from(truth)]),
            Self::Truths(truths) => truths.push(u8::from(truth)),
            _ => *self = Self::Mixed,
        }
    }

    fn whole(&mut self, number: i64) {
        match self {
            Self::None => *self = Self::Whole(vec![number]),
            Self::Whole(numbers) => numbers.push(number),
            Self::Large(numbers) => numbers.push(number.into()),
            Self::Numbers(numbers) => numbers.push(number as f64),
            _ => *self = Self::Mixed,
        }
    }

    /// A number beyond those of 64 bits with a sign.
    fn large(&mut self, number: u64) {
        match self {
            Self::None => *self = Self::Large(vec![number.into()]),
            Self::Whole(numbers) => {
                let all = numbers.iter().map(|number| i128::from(*number)).chain([i128::from(number)]);
                *self = Self::Large(all.collect());
            }
            Self::Large(numbers) => numbers.push(number.into()),
            Self::Numbers(numbers) => numbers.push(number as f64),
            _ => *self = Self::Mixed,
        }
    }

    fn number(&mut self, number: f64) {
        match self {
            Self::None => *self = Self::Numbers(vec![number]),
            Self::Whole(numbers) => {
                *self = Self::Numbers(numbers.iter().map(|number| *number as f64).chain([number]).collect());
            }
            Self::Large(numbers) => {
                *self = Self::Numbers(numbers.iter().map(|number| *number as f64).chain([number]).collect());
            }
            Self::Numbers(numbers) => numbers.push(number),
            _ => *self = Self::Mixed,
        }
    }

    fn text(&mut self, text: &str) {
        if matches!(self, Self::None) {
            *self = Self::Texts(BytesMut::new(), 0);
        }
        match self {
            Self::Texts(data, count) => {
                put_element(data, text.as_bytes());
                *count += 1;
            }
            _ => *self = Self::Mixed,
        }
    }

    /// The bytes of a tensor of this datatype.
    ///
    /// # Errors
    /// What an element is that it cannot be.
    pub(super) fn into_bytes(self, datatype: Datatype) -> Result<Bytes, String> {
        let unfit = || format!("expected elements for datatype {}", datatype.as_str());
        match (datatype, self) {
            (_, Self::None) => Ok(Bytes::new()),
            (Datatype::Bool, Self::Truths(truths)) => Ok(truths.into()),
            (Datatype::Bytes, Self::Texts(data, _)) => Ok(data.freeze()),
            (Datatype::Fp32, Self::Numbers(numbers)) => Ok(singles(numbers.into_iter())),
            (Datatype::Fp32, Self::Whole(numbers)) => {
                Ok(singles(numbers.into_iter().map(|number| number as f64)))
            }
            (Datatype::Fp32, Self::Large(numbers)) => {
                Ok(singles(numbers.into_iter().map(|number| number as f64)))
            }
            (Datatype::Fp64, Self::Numbers(numbers)) => Ok(doubles(numbers.into_iter())),
            (Datatype::Fp64, Self::Whole(numbers)) => {
                Ok(doubles(numbers.into_iter().map(|number| number as f64)))
            }
            (Datatype::Fp64, Self::Large(numbers)) => {
                Ok(doubles(numbers.into_iter().map(|number| number as f64)))
            }
            (datatype, Self::Whole(numbers)) => {
                whole(datatype, numbers.into_iter().map(i128::from)).unwrap_or_else(|| Err(unfit()))
            }
            (datatype, Self::Large(numbers)) => {
                whole(datatype, numbers.into_iter()).unwrap_or_else(|| Err(unfit()))
            }
            _ => Err(unfit()),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a single is what the datatype says; too large is infinite"
)]
fn singles(numbers: impl Iterator<Item = f64>) -> Bytes {
    numbers.flat_map(|number| (number as f32).to_le_bytes()).collect()
}

fn doubles(numbers: impl Iterator<Item = f64>) -> Bytes {
    numbers.flat_map(f64::to_le_bytes).collect()
}

/// The bytes of whole numbers; `None` when the datatype has none.
fn whole(datatype: Datatype, numbers: impl Iterator<Item = i128>) -> Option<Result<Bytes, String>> {
    macro_rules! bytes {
        ($type:ty) => {{
            let mut bytes = Vec::with_capacity(numbers.size_hint().0.saturating_mul(size_of::<$type>()));
            for number in numbers {
                match <$type>::try_from(number) {
                    Ok(number) => bytes.extend(number.to_le_bytes()),
                    Err(_) => {
                        return Some(Err(format!("{number} is out of range for {}", datatype.as_str())));
                    }
                }
            }
            Some(Ok(bytes.into()))
        }};
    }
    match datatype {
        Datatype::Uint8 => bytes!(u8),
        Datatype::Uint16 => bytes!(u16),
        Datatype::Uint32 => bytes!(u32),
        Datatype::Uint64 => bytes!(u64),
        Datatype::Int8 => bytes!(i8),
        Datatype::Int16 => bytes!(i16),
        Datatype::Int32 => bytes!(i32),
        Datatype::Int64 => bytes!(i64),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut elements = Self::None;
        Collect(&mut elements).deserialize(deserializer)?;
        Ok(elements)
    }
}

/// Adds what comes to a list.
struct Collect<'a>(&'a mut Elements);

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("elements of a tensor")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<(), E> {
        self.0.truth(truth);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.0.whole(number);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.0.whole(number),
            Err(_) => self.0.large(number),
        }
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.0.number(number);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.text(text);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        *self.0 = Elements::Mixed;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Collect(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        *self.0 = Elements::Mixed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(json: &str, datatype: Datatype) -> Result<Vec<u8>, String> {
        let elements: Elements = serde_json::from_str(json).unwrap();
        elements.into_bytes(datatype).map(|bytes| bytes.to_vec())
    }

    #[test]
    fn nested_and_flat_are_the_same() {
        let flat: Elements = serde_json::from_str("[1, 2, 3, 4, 5, 6]").unwrap();
        assert_eq!(flat.count(), 6);
        for nested in
            ["[[1, 2, 3], [4, 5, 6]]", "[[[1, 2]], [[3, 4]], [[5], [6]]]", "[1, [2, [3, [4, 5, 6]]]]"]
        {
            assert_eq!(serde_json::from_str::<Elements>(nested).unwrap(), flat, "{nested}");
        }
    }

    #[test]
    fn every_datatype_has_its_bytes() {
        let cases: [(&str, Datatype, &[u8]); 13] = [
            ("[true, false]", Datatype::Bool, &[1, 0]),
            ("[255]", Datatype::Uint8, &[255]),
            ("[-128]", Datatype::Int8, &[128]),
            ("[65535]", Datatype::Uint16, &[255, 255]),
            ("[-2]", Datatype::Int16, &[254, 255]),
            ("[1]", Datatype::Uint32, &[1, 0, 0, 0]),
            ("[-1]", Datatype::Int32, &[255; 4]),
            ("[18446744073709551615]", Datatype::Uint64, &[255; 8]),
            ("[-9223372036854775808]", Datatype::Int64, &[0, 0, 0, 0, 0, 0, 0, 128]),
            ("[1.5]", Datatype::Fp32, &[0, 0, 192, 63]),
            ("[1]", Datatype::Fp32, &[0, 0, 128, 63]),
            ("[2]", Datatype::Fp64, &[0, 0, 0, 0, 0, 0, 0, 64]),
            (r#"["a", ""]"#, Datatype::Bytes, &[1, 0, 0, 0, b'a', 0, 0, 0, 0]),
        ];
        for (json, datatype, expected) in cases {
            assert_eq!(bytes(json, datatype).unwrap(), expected, "{json} {datatype:?}");
        }
        assert_eq!(bytes("[1, 18446744073709551615, -1, 0.5]", Datatype::Fp64).unwrap().len(), 32);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let cases = [
            ("[256]", Datatype::Uint8),
            ("[-1]", Datatype::Uint64),
            ("[9223372036854775808]", Datatype::Int64),
            ("[1.5]", Datatype::Int32),
            ("[1]", Datatype::Bool),
            ("[true]", Datatype::Int8),
            ("[1]", Datatype::Bytes),
            (r#"["1"]"#, Datatype::Fp32),
            (r#"[1, "a"]"#, Datatype::Int32),
            ("[1, true]", Datatype::Int32),
            ("[null]", Datatype::Fp32),
            ("{\"a\": 1}", Datatype::Fp32),
            ("[1]", Datatype::Fp16),
        ];
        for (json, datatype) in cases {
            assert!(bytes(json, datatype).is_err(), "{json} {datatype:?}");
        }
    }
}
