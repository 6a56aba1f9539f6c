//! What the pieces of a tail leave for each other: a few vectors of every row of a tile.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use std::arch::x86_64::__m512;

use super::{PANEL, TILE_ROWS};
use crate::kernels::aligned::LINE;
use crate::kernels::gates::Fraction;
use crate::kernels::lanes::Lanes;
use crate::kernels::tile_matrix::TileMatrix;

/// What is kept from one piece to another.
#[repr(C, align(64))]
pub(super) struct Kept<M: TileMatrix> {
    /// The sums of the last two gates, as of the pass's gates.
    pub(super) sums: [[M::Sums; 2]; 2],
    /// 1 / σ of the sums of the input, the forget and the output gate.
    pub(super) input: Values,
    pub(super) forget: Values,
    pub(super) output: Values,
    pub(super) g: Fraction<Values>,
    pub(super) cell: Values,
    pub(super) tanh: Fraction<Values>,
    /// What the sums of every other tile begin with, where it is computed.
    pub(super) begin: [[[f32; PANEL]; TILE_ROWS]; 2],
}

/// A value of 16 units in every row of a tile.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Values([[f32; LINE]; TILE_ROWS]);

/// The values of `N` rows.
///
/// # Safety
/// The machine has AVX-512, and the rows are a tile's and have been stored.
#[inline(always)]
pub(super) unsafe fn load<const N: usize>(values: *const Values, first: usize) -> [__m512; N] {
    // SAFETY: as the caller promises.
    unsafe { Lanes::load(values.cast::<[f32; LINE]>().add(first).cast()) }
}

/// Keeps the values of `N` rows.
///
/// # Safety
/// The rows are a tile's.
#[inline(always)]
pub(super) unsafe fn store<const N: usize>(values: *mut Values, first: usize, of: [__m512; N]) {
    // SAFETY: as the caller promises.
    unsafe { of.store(values.cast::<[f32; LINE]>().add(first).cast()) }
}

/// As [`load`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn load_fraction<const N: usize>(
    values: *const Fraction<Values>,
    first: usize,
) -> Fraction<[__m512; N]> {
    // SAFETY: as the caller promises.
    unsafe {
        Fraction {
            dividend: load(&raw const (*values).dividend, first),
            divisor: load(&raw const (*values).divisor, first),
        }
    }
}

/// As [`store`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn store_fraction<const N: usize>(
    values: *mut Fraction<Values>,
    first: usize,
    of: Fraction<[__m512; N]>,
) {
    // SAFETY: as the caller promises.
    unsafe {
        store(&raw mut (*values).dividend, first, of.dividend);
        store(&raw mut (*values).divisor, first, of.divisor);
    }
}
