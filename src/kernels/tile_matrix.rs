//! A matrix whose product with up to 16 rows at once is computed in tiles, whatever its numbers are.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m512;

#[cfg(target_arch = "x86_64")]
use super::gemm::VECTORS;

/// A block of inputs in one pass over a panel.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// 16 units by their four gates.
    pub panel: usize,
    /// Which pass over the inputs.
    pub pass: usize,
    /// Which block of inputs.
    pub block: usize,
}

/// A matrix in panels of 16 units by their four gates, packed for the tiles of `amx`. Implementations of the
/// methods with vectors are `#[inline(always)]`, to land in the caller's instruction set.
pub trait TileMatrix: Sized + Send + Sync {
    /// Sums of one panel for as many rows as a tile has, as tiles are stored.
    type Sums;

    /// Packs `columns` rows of `inputs` weights, whole panels: `row(column)`, or `None` for weights of 0.
    fn new<'a>(size: [usize; 2], row: impl Fn(usize) -> Option<&'a [f32]>) -> Self;

    /// Inputs of one row.
    fn inputs(&self) -> usize;

    /// Bytes of one row of inputs in the numbers of this matrix.
    fn row_bytes(&self) -> usize;

    /// Writes inputs in the numbers of this matrix. What is beyond them in `row` stays, and is 0.
    ///
    /// # Safety
    /// The machine has AVX-512.
    #[cfg(target_arch = "x86_64")]
    unsafe fn prepare(&self, x: &[f32], row: &mut [u8]);

    /// The scalar twin of [`prepare`](Self::prepare).
    fn prepare_scalar(&self, x: &[f32], row: &mut [u8]);

    /// Passes over the inputs in which a panel is multiplied.
    const PASSES: usize;

    /// Blocks of inputs in one pass.
    fn blocks(&self) -> usize;

    /// Multiplies one block of a panel with as many prepared rows as the tiles are shaped for. All blocks of all passes, in
    /// order and with no other product between them, write the sums.
    ///
    /// # Safety
    /// The machine has tiles, the thread's are shaped, the place is inside of the matrix, `rows` has
    /// [`row_bytes`](Self::row_bytes) for every row of their shape, and `sums` may be written.
    #[cfg(target_arch = "x86_64")]
    unsafe fn multiply(&self, place: Place, rows: *const u8, sums: *mut Self::Sums);

    /// Adds the product of one row, in the order of the gates.
    ///
    /// # Safety
    /// The machine has AVX-512, and `sums` has what [`multiply`](Self::multiply) wrote for this panel and at least `row + 1` rows.
    #[cfg(target_arch = "x86_64")]
    unsafe fn add(
        &self,
        panel: usize,
        sums_and_row: (*const Self::Sums, usize),
        to: [__m512; VECTORS],
    ) -> [__m512; VECTORS];

    /// The scalar twin of both: `sum` plus the product of a prepared row with one column.
    fn accumulate_scalar(&self, column: usize, row: &[u8], sum: f32) -> f32;
}
