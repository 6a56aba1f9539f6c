//! From the bytes of a storage to f32 values, whatever the elements and their order.

use safetensors::Dtype;

use super::{ImportError, RawTensor};
use crate::limits;

/// A kind of number that a file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    U8,
    I8,
    I16,
    I32,
    I64,
    Bool,
}

impl Element {
    /// The kind behind a storage class of module `torch`.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "FloatStorage" => Self::F32,
            "DoubleStorage" => Self::F64,
            "ByteStorage" => Self::U8,
            "CharStorage" => Self::I8,
            "ShortStorage" => Self::I16,
            "IntStorage" => Self::I32,
            "LongStorage" => Self::I64,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    pub(super) fn of_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
            Dtype::U8 => Self::U8,
            Dtype::I8 => Self::I8,
            Dtype::I16 => Self::I16,
            Dtype::I32 => Self::I32,
            Dtype::I64 => Self::I64,
            Dtype::BOOL => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }
}

/// The numbers of a storage, in order; a rest that is no whole number is left out.
#[expect(clippy::cast_possible_truncation, reason = "weights are f32; rounding f64 and i64 is meant")]
pub(super) fn to_f32(bytes: &[u8], element: Element) -> Vec<f32> {
    fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
    }
    match element {
        Element::F16 => each(bytes, |b| half(u16::from_le_bytes(b))),
        Element::Bf16 => each(bytes, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
        Element::F32 => each(bytes, f32::from_le_bytes),
        Element::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Element::U8 => each(bytes, |[b]: [u8; 1]| f32::from(b)),
        Element::I8 => each(bytes, |b| f32::from(i8::from_le_bytes(b))),
        Element::I16 => each(bytes, |b| f32::from(i16::from_le_bytes(b))),
        Element::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
        Element::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
        Element::Bool => each(bytes, |[b]: [u8; 1]| if b == 0 { 0.0 } else { 1.0 }),
    }
}

/// IEEE 754 binary16, every value exact in f32.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    }
}

/// How a tensor lies in a storage, in elements: bounded, and within a storage of the given length once made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    count: usize,
}

impl View {
    /// Checks a claimed view against the storage's `length`, before anything of its size is allocated.
    pub(super) fn new(
        offset: i64,
        shape: &[i64],
        strides: &[i64],
        length: usize,
    ) -> Result<Self, ImportError> {
        let wrong = |problem: &str| {
            ImportError(format!(
                "claims shape {shape:?}, strides {strides:?} and offset {offset} in a storage of {length} values: {problem}"
            ))
        };
        if shape.len() > limits::TENSOR_RANK_MAX || shape.len() != strides.len() {
            return Err(ImportError(format!(
                "has {} dimensions and {} strides, expected as many of both and at most {}",
                shape.len(),
                strides.len(),
                limits::TENSOR_RANK_MAX
            )));
        }
        let whole = |values: &[i64]| {
            values.iter().map(|&value| usize::try_from(value)).collect::<Result<Vec<_>, _>>()
        };
        let negative = |_| wrong("no number may be negative");
        let (sides, steps) = (whole(shape).map_err(negative)?, whole(strides).map_err(negative)?);
        let offset = usize::try_from(offset).map_err(negative)?;
        let too_large = || wrong("it reaches beyond the storage");
        let count =
            sides.iter().try_fold(1_usize, |count, &side| count.checked_mul(side)).ok_or_else(too_large)?;
        let mut last = offset;
        for (&side, &step) in sides.iter().zip(&steps) {
            let reach = side.saturating_sub(1).checked_mul(step).ok_or_else(too_large)?;
            last = last.checked_add(reach).ok_or_else(too_large)?;
        }
        if count > 0 && last >= length {
            return Err(too_large());
        }
        Ok(Self { offset, shape: sides, strides: steps, count })
    }

    /// Values that the tensor has, repeated ones counted again.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The tensor's values out of its storage's.
    pub(super) fn read(&self, storage: &[f32]) -> Result<RawTensor, ImportError> {
        let mut values = Vec::with_capacity(self.count);
        let mut place = vec![0_usize; self.shape.len()];
        for _ in 0..self.count {
            let steps = place.iter().zip(&self.strides).map(|(index, stride)| index * stride);
            let at = self.offset + steps.sum::<usize>();
            values.push(*storage.get(at).ok_or_else(|| ImportError::new("its storage is cut short"))?);
            for (index, &side) in place.iter_mut().zip(&self.shape).rev() {
                *index += 1;
                if *index < side {
                    break;
                }
                *index = 0;
            }
        }
        Ok(RawTensor { shape: self.shape.clone(), values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_number_becomes_f32() {
        let check = |element, bytes: &[u8], expected: &[f32]| assert_eq!(to_f32(bytes, element), expected);
        check(Element::F16, &[0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00], &[1.0, -2.0, 2_f32.powi(-24)]);
        check(Element::F16, &[0xff, 0x7b, 0x00, 0x7c], &[65504.0, f32::INFINITY]);
        assert!(to_f32(&[0x01, 0x7c], Element::F16)[0].is_nan());
        check(Element::Bf16, &[0x80, 0x3f, 0x00, 0xc0], &[1.0, -2.0]);
        check(Element::F32, &1.5_f32.to_le_bytes(), &[1.5]);
        check(Element::F64, &(-0.25_f64).to_le_bytes(), &[-0.25]);
        check(Element::U8, &[255], &[255.0]);
        check(Element::I8, &[255], &[-1.0]);
        check(Element::I16, &(-300_i16).to_le_bytes(), &[-300.0]);
        check(Element::I32, &70_000_i32.to_le_bytes(), &[70_000.0]);
        check(Element::I64, &(-5_i64).to_le_bytes(), &[-5.0]);
        check(Element::Bool, &[0, 1], &[0.0, 1.0]);
    }

    #[test]
    fn strides_and_offsets_are_followed() {
        let storage = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let transposed = View::new(0, &[3, 2], &[1, 3], 6).unwrap().read(&storage).unwrap();
        assert_eq!(transposed.values, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let column = View::new(1, &[2], &[3], 6).unwrap().read(&storage).unwrap();
        assert_eq!(column.values, [1.0, 4.0]);
        let scalar = View::new(4, &[], &[], 6).unwrap().read(&storage).unwrap();
        assert_eq!((scalar.shape, scalar.values), (vec![], vec![4.0]));
    }

    #[test]
    fn views_beyond_their_storage_are_refused() {
        let cases: [(i64, &[i64], &[i64]); 7] = [
            (0, &[7], &[1]),
            (1, &[6], &[1]),
            (-1, &[2], &[1]),
            (0, &[-2], &[1]),
            (0, &[2], &[-1]),
            (0, &[1 << 40, 1 << 40], &[1 << 40, 1]),
            (0, &[2, 2], &[1]),
        ];
        for (offset, shape, strides) in cases {
            assert!(View::new(offset, shape, strides, 6).is_err(), "{offset} {shape:?} {strides:?}");
        }
        assert!(View::new(0, &[1; 9], &[1; 9], 6).is_err());
    }
}
