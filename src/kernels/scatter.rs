//! A slice that several threads write, each its own places.

use std::marker::PhantomData;

/// f32 values that are borrowed exclusively and written through copies of this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scatter<'a> {
    first: *mut f32,
    len: usize,
    values: PhantomData<&'a mut [f32]>,
}

// SAFETY: it gives out only addresses; whoever reads or writes through them promises that no other thread writes there.
unsafe impl Send for Scatter<'_> {}
// SAFETY: as above.
unsafe impl Sync for Scatter<'_> {}

impl<'a> Scatter<'a> {
    pub(super) fn new(values: &'a mut [f32]) -> Self {
        Self { first: values.as_mut_ptr(), len: values.len(), values: PhantomData }
    }

    /// Where the first value is.
    #[inline]
    pub(super) fn first(self) -> *mut f32 {
        self.first
    }

    pub(super) fn len(self) -> usize {
        self.len
    }

    /// The same without the first `values`.
    pub(super) fn from(self, values: usize) -> Self {
        assert!(values <= self.len, "beyond the end");
        // SAFETY: it is inside, or one past the end.
        Self { first: unsafe { self.first.add(values) }, len: self.len - values, ..self }
    }

    /// Where `len` values begin that lie inside.
    #[inline]
    pub(super) fn at(self, first: usize, len: usize) -> *mut f32 {
        assert!(first.checked_add(len).is_some_and(|end| end <= self.len), "outside of what is shared");
        // SAFETY: it is inside, as asserted.
        unsafe { self.first.add(first) }
    }
}
