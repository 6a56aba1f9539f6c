//! f32 values on cache-line boundaries: packed weights and states, so that no vector straddles two lines.

use std::ops::{Deref, DerefMut};

/// f32 values of one cache line, and of one AVX-512 vector.
pub const LINE: usize = 16;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// A fixed number of f32 values whose first lies on a 64-byte boundary. Dereferences to a slice.
#[derive(Clone, Debug, Default)]
pub struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Self { lines: vec![Line([0.0; LINE]); len.div_ceil(LINE)], len }
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `Line` is `repr(C)` and exactly 16 f32 without padding, so `lines` is one initialised run of
        // `16 · lines.len() ≥ len` f32, borrowed as long as `self`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_writable_and_as_many_as_asked_for() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let mut values = Aligned::zeros(len);
            assert_eq!(values.len(), len);
            assert_eq!(values.as_ptr() as usize % 64, 0);
            for (index, value) in values.iter_mut().enumerate() {
                *value = index as f32;
            }
            assert!(
                values.iter().enumerate().all(|(index, value)| value.to_bits() == (index as f32).to_bits())
            );
        }
    }
}
