//! Vectors in and out of slices, within their bounds: what a kernel uses where a check costs nothing that counts.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(clippy::unused_self, reason = "the value is the proof that the machine has the instructions")]

use std::marker::PhantomData;

use super::lanes::Lanes;

/// The proof that the machine has the instructions of `V`, so that making a vector from nothing is safe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked<V>(PhantomData<V>);

impl<V: Lanes> Checked<V> {
    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn assume() -> Self {
        Self(PhantomData)
    }

    /// `value` in every lane.
    #[inline(always)]
    pub(super) fn splat(self, value: f32) -> V {
        // SAFETY: `self` exists, so the machine has the instructions.
        unsafe { V::splat(value) }
    }

    /// The vector that begins at `values[at]`. Panics where it ends outside.
    #[inline(always)]
    pub(super) fn load(self, values: &[f32], at: usize) -> V {
        let values = &values[at..at + V::WIDTH];
        // SAFETY: `self` exists, so the machine has the instructions; `values` is one vector long.
        unsafe { V::load(values.as_ptr()) }
    }

    /// Writes the vector that begins at `values[at]`. Panics where it ends outside.
    #[inline(always)]
    pub(super) fn store(self, vector: V, values: &mut [f32], at: usize) {
        let values = &mut values[at..at + V::WIDTH];
        // SAFETY: `self` exists, so the machine has the instructions; `values` is one vector long.
        unsafe { vector.store(values.as_mut_ptr()) }
    }
}
