//! Values on cache-line boundaries: packed weights and states, so that no vector straddles two lines.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// f32 values of one cache line, and of one AVX-512 vector.
pub const LINE: usize = 16;
/// Bytes of one cache line.
const LINE_BYTES: usize = 64;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; LINE_BYTES]);

/// A fixed number of values, f32, i16 or u8, whose first lies on a 64-byte boundary. Dereferences to a slice.
#[derive(Clone, Debug)]
pub struct Aligned<T = f32> {
    lines: Vec<Line>,
    len: usize,
    values: PhantomData<T>,
}

impl Aligned {
    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Self::of_zero_bytes(len)
    }
}

impl Aligned<i16> {
    /// `len` zeros.
    #[must_use]
    pub fn zeros_i16(len: usize) -> Self {
        Self::of_zero_bytes(len)
    }
}

impl Aligned<u8> {
    /// `len` zeros.
    #[must_use]
    pub fn zeros_u8(len: usize) -> Self {
        Self::of_zero_bytes(len)
    }
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Self { lines: Vec::new(), len: 0, values: PhantomData }
    }
}

impl<T> Aligned<T> {
    /// For f32, i16 and u8 alone, which are plain numbers that begin on any multiple of 4 bytes: the three constructors.
    fn of_zero_bytes(len: usize) -> Self {
        let lines = (len * size_of::<T>()).div_ceil(LINE_BYTES);
        Self { lines: vec![Line([0; LINE_BYTES]); lines], len, values: PhantomData }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `T` is f32, i16 or u8, of which every byte pattern is a value; `lines` is one initialised run of at
        // least `len` of them on a boundary of 64 bytes, borrowed as long as `self`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_writable_and_as_many_as_asked_for() {
        for len in [0, 1, 15, 16, 17, 31, 32, 33, 1000] {
            let mut values = Aligned::zeros(len);
            let mut integers = Aligned::zeros_i16(len);
            assert_eq!((values.len(), integers.len()), (len, len));
            assert_eq!((values.as_ptr() as usize % 64, integers.as_ptr() as usize % 64), (0, 0));
            for index in 0..len {
                values[index] = index as f32;
                integers[index] = i16::try_from(index).unwrap();
            }
            for index in 0..len {
                assert_eq!(values[index].to_bits(), (index as f32).to_bits());
                assert_eq!(usize::try_from(integers[index]).unwrap(), index);
            }
        }
    }
}
