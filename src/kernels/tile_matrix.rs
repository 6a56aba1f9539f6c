//! A matrix whose product with up to 16 rows at once is computed in tiles, whatever its numbers are.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m512;

/// A matrix in panels of 16 units by their four gates, packed for the tiles of `amx`. Implementations of the
/// methods with vectors are `#[inline(always)]`, to land in the caller's instruction set.
pub trait TileMatrix: Sized + Send + Sync {
    /// Sums of one gate of a panel for as many rows as a tile has, as tiles are stored.
    type Sums;

    /// Packs `columns` rows of `inputs` weights, whole panels: `row(column)`, or `None` for weights of 0.
    fn new<'a>(size: [usize; 2], row: impl Fn(usize) -> Option<&'a [f32]>) -> Self;

    /// Inputs of one row.
    fn inputs(&self) -> usize;

    /// Blocks of inputs, one after the other in a row and in a gate.
    fn blocks(&self) -> usize;

    /// Bytes of one block of a row of inputs in the numbers of this matrix.
    const ROW_BLOCK: usize;

    /// Bytes of one block of a gate of a panel.
    const GATE_BLOCK: usize;

    /// Bytes of one row of inputs in the numbers of this matrix.
    fn row_bytes(&self) -> usize {
        self.blocks() * Self::ROW_BLOCK
    }

    /// Writes inputs in the numbers of this matrix, and 0 for what is beyond them in `row`.
    ///
    /// # Safety
    /// The machine has AVX-512.
    #[cfg(target_arch = "x86_64")]
    unsafe fn prepare(&self, x: &[f32], row: &mut [u8]);

    /// The scalar twin of [`prepare`](Self::prepare).
    fn prepare_scalar(&self, x: &[f32], row: &mut [u8]);

    /// The weights and the scales of one gate of a panel.
    ///
    /// # Panics
    /// When it is not there.
    fn gate(&self, panel: usize, gate: usize) -> Gate;

    /// Clears the sums.
    ///
    /// # Safety
    /// The machine has tiles, and the thread's are shaped.
    #[cfg(target_arch = "x86_64")]
    unsafe fn clear();

    /// Adds the product of one block of a gate with as many prepared rows as the tiles are shaped for: in two halves, so that
    /// something else can be done between.
    ///
    /// # Safety
    /// As [`clear`](Self::clear). `weights` are a block of a gate, `rows` the block of the first row, and the others follow
    /// `row_bytes` from one to the next.
    #[cfg(target_arch = "x86_64")]
    unsafe fn multiply<const HALF: usize>(weights: *const u8, rows: *const u8, row_bytes: usize);

    /// Writes the sums.
    ///
    /// # Safety
    /// As [`clear`](Self::clear), and there is room for them.
    #[cfg(target_arch = "x86_64")]
    unsafe fn store(sums: *mut Self::Sums);

    /// Adds the product of `N` rows from the first with a gate.
    ///
    /// # Safety
    /// The machine has AVX-512, and `sums` are those of this gate and at least so many rows.
    #[cfg(target_arch = "x86_64")]
    unsafe fn add<const N: usize>(
        gate: Gate,
        sums: *const Self::Sums,
        first: usize,
        to: [__m512; N],
    ) -> [__m512; N];

    /// The scalar twin of all four: `sum` plus the product of a prepared row with one column.
    fn accumulate_scalar(&self, column: usize, row: &[u8], sum: f32) -> f32;
}

/// One gate of a panel, packed: block after block.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Its weights.
    pub(super) weights: *const u8,
    /// A scale for each of its units, where there are scales.
    pub(super) scales: *const f32,
}
