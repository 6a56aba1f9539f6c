//! Values on cache-line boundaries: packed weights and states, so that no vector straddles two lines; many of them on large
//! pages, where the system has some: rows of a table that are read here and there are found without a walk for each.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// f32 values of one cache line, and of one AVX-512 vector.
pub const LINE: usize = 16;
/// Bytes of one cache line.
const LINE_BYTES: usize = 64;
/// Bytes of a large page on x86, and on ARM where pages are 4 KiB.
const LARGE_PAGE_BYTES: usize = 2 << 20;

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
        let count = (len * size_of::<T>()).div_ceil(LINE_BYTES);
        let mut lines = Vec::with_capacity(count);
        #[cfg(target_os = "linux")]
        on_large_pages(&mut lines);
        lines.resize(count, Line([0; LINE_BYTES]));
        Self { lines, len, values: PhantomData }
    }
}

/// Asks the system for large pages under what the lines will fill, as many as lie in it whole: a hint, without which nothing is
/// lost but time.
#[cfg(target_os = "linux")]
fn on_large_pages(lines: &mut Vec<Line>) {
    let room = lines.spare_capacity_mut();
    let Some(inside) = room.get_mut(room.as_ptr().align_offset(LARGE_PAGE_BYTES)..) else { return };
    let bytes = size_of_val(inside) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
    if bytes > 0 {
        // SAFETY: the pages are whole and the vector's own, and only what they are made of changes.
        unsafe { libc::madvise(inside.as_mut_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
    }
}

/// Asks for the cache line of this address.
#[inline(always)]
#[expect(clippy::inline_always, reason = "an instruction must land in the loop that asks")]
pub(super) fn prefetch_line(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing; any address will do.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
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
    fn values_on_large_pages_are_zeros_to_begin_with() {
        for len in [LARGE_PAGE_BYTES - 1, LARGE_PAGE_BYTES, 3 * LARGE_PAGE_BYTES + 100] {
            let mut values = Aligned::zeros_u8(len);
            assert!(values.len() == len && values.iter().all(|value| *value == 0));
            values.fill(1);
        }
    }

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
