//! A matrix in 24-bit fixed point with a scale an output, for inputs between −1 and 1: as exact as f32, and multiplied in
//! tiles of bytes.
//!
//! Of a row of the matrix a weight w becomes the integer k = round(w / s), where s is the largest weight over K = 127 · 2¹⁶,
//! and an input h becomes j = round(K · h). Both are written with three signed bytes as digits, k = k₂ · 2¹⁶ + k₁ · 2⁸ + k₀.
//! Of the nine products of digits the six largest are summed, in i32 and exactly, those of one magnitude together:
//! S₀ = Σ k₂j₂, S₁ = Σ (k₂j₁ + k₁j₂), S₂ = Σ (k₂j₀ + k₁j₁ + k₀j₂), and the product is
//! s · 2³² / K · (S₀ + 2⁻⁸ · S₁ + 2⁻¹⁶ · S₂), rounded as often in f32. A sum of integers does not depend on its order: the
//! bits of a row depend on nothing but the row.
//!
//! Error of one product w · h against exact arithmetic, in units of s = 2⁻²³ · (the largest weight of the output): ½ · |h|
//! from k, ½ · |w| / (the largest weight) from j, and at most 1 from the products that are left out, or 2 · n · s for n
//! inputs in the worst case. f32 rounds each of n additions to 2⁻²⁴ of the sum so far, which is no better.
//!
//! Sketch, of n inputs and a panel of 16 units by four gates, for up to 16 rows: 4 · n / 64 · 6 tile instructions of 16 cycles
//! (n = 256: 1,536 cycles) and as many loads of tiles, half of them 192 · n bytes of weights (48 KiB). Three tiles are sums,
//! three the digits of the rows, two those of the weights.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512, __m512i, _mm_storeu_si128, _mm512_add_epi32, _mm512_cvtepi32_epi8, _mm512_cvtepi32_ps,
    _mm512_cvtps_epi32, _mm512_fmadd_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_mask_loadu_ps,
    _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_srli_epi32, _mm512_xor_si512,
};

use super::aligned::Aligned;
use super::amx::{COLUMNS, ROW_BYTES, ROWS_MAX, TILE_BYTES};
use super::gemm::VECTORS;
use super::tile_matrix::{Place, TileMatrix};

/// Digits of a number.
const DIGITS: usize = 3;
/// What the largest weight and an input of 1 become: the largest number whose first digit is a signed byte.
const ONE: f32 = 8_323_072.0;
/// What a digit is worth of the one before.
const BASE_INVERSE: f32 = 1.0 / 256.0;
/// Makes every digit of an integer a signed byte: it is added, and taken off of each byte again.
const CARRY: i32 = 0x0080_8080;
/// Inputs of one tile.
const BLOCK: usize = ROW_BYTES;
/// Inputs whose sums stay below 2³¹.
pub const INPUTS_MAX: usize = (i32::MAX as usize) / (DIGITS * 128 * 128);

/// A packed matrix. Shared between threads; nothing changes it.
#[derive(Clone, Debug)]
pub struct PackedI24 {
    inputs: usize,
    /// Tiles of inputs.
    blocks: usize,
    /// Panel by panel, gate by gate, block by block: the tiles of the first, second and third digits, in which a row is
    /// four inputs of 16 outputs.
    weights: Aligned<u8>,
    /// s · 2³² / K of every column.
    scales: Aligned,
}

/// S₀, S₁ and S₂ of one panel for as many rows as a tile has, gate by gate.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Sums([[[i32; ROWS_MAX * COLUMNS]; DIGITS]; VECTORS]);

impl TileMatrix for PackedI24 {
    type Sums = Sums;

    fn new<'a>([columns, inputs]: [usize; 2], row: impl Fn(usize) -> Option<&'a [f32]>) -> Self {
        assert!(inputs <= INPUTS_MAX, "sums of {inputs} inputs may overflow");
        let blocks = inputs.div_ceil(BLOCK);
        let mut weights = Aligned::zeros_u8(columns / COLUMNS * blocks * DIGITS * TILE_BYTES);
        let mut scales = Aligned::zeros(columns);
        for column in 0..columns {
            let Some(row) = row(column) else { continue };
            let largest = row.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
            let scale = f64::from(largest) / f64::from(ONE);
            scales[column] = rounded(scale * f64::from(1_u32 << 16).powi(2) / f64::from(ONE));
            for (input, weight) in row.iter().enumerate() {
                let at = place(column, blocks, input);
                for (digit, byte) in digits(quotient(*weight, scale)).into_iter().enumerate() {
                    weights[at + digit * TILE_BYTES] = byte;
                }
            }
        }
        Self { inputs, blocks, weights, scales }
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn row_bytes(&self) -> usize {
        self.blocks * DIGITS * BLOCK
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn prepare(&self, x: &[f32], row: &mut [u8]) {
        let row = &mut row[..x.len().div_ceil(BLOCK) * DIGITS * BLOCK];
        for (at, x) in x.chunks(COLUMNS).enumerate() {
            let first = at * COLUMNS / BLOCK * DIGITS * BLOCK + at * COLUMNS % BLOCK;
            // SAFETY: the caller promises the instructions; no more of `x` is read than there is; three digits of 16 inputs
            // are inside of `row`, as the slice above says.
            unsafe {
                let present = u16::MAX >> (COLUMNS - x.len());
                let x = _mm512_mask_loadu_ps(_mm512_setzero_ps(), present, x.as_ptr());
                // NaN becomes −1, as in the twin: of both the second operand is taken then.
                let x = _mm512_max_ps(x, _mm512_set1_ps(-1.0));
                let x = _mm512_mul_ps(_mm512_min_ps(x, _mm512_set1_ps(1.0)), _mm512_set1_ps(ONE));
                let carry = _mm512_set1_epi32(CARRY);
                let digits = _mm512_xor_si512(_mm512_add_epi32(_mm512_cvtps_epi32(x), carry), carry);
                let to = row.as_mut_ptr().add(first);
                _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_srli_epi32::<16>(digits)));
                _mm_storeu_si128(to.add(BLOCK).cast(), _mm512_cvtepi32_epi8(_mm512_srli_epi32::<8>(digits)));
                _mm_storeu_si128(to.add(2 * BLOCK).cast(), _mm512_cvtepi32_epi8(digits));
            }
        }
    }

    fn prepare_scalar(&self, x: &[f32], row: &mut [u8]) {
        for (input, x) in x.iter().enumerate() {
            for (digit, byte) in digits(quantise(*x)).into_iter().enumerate() {
                row[row_place(input) + digit * BLOCK] = byte;
            }
        }
    }

    /// A gate.
    const PASSES: usize = VECTORS;

    fn blocks(&self) -> usize {
        self.blocks
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn multiply(&self, place: Place, rows: *const u8, sums: *mut Sums) {
        let Place { panel, pass: gate, block } = place;
        let tiles = ((panel * VECTORS + gate) * self.blocks + block) * DIGITS;
        // SAFETY: the caller promises the instructions, tiles shaped for the rows, that the gate and the block are there,
        // `row_bytes` for each of the rows, and room for the sums. A block of a row is three digits of `BLOCK` bytes, one of a
        // gate three tiles; what is asked for ahead is only asked for.
        unsafe {
            if block == 0 {
                std::arch::asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    options(nomem, nostack, preserves_flags),
                );
            }
            std::arch::asm!(
                "tileloadd tmm3, [{rows} + {row_bytes} * 1]",
                "tileloadd tmm6, [{weights} + {tile_row} * 1]",
                "tdpbssd tmm0, tmm3, tmm6",
                "tileloadd tmm4, [{rows} + {row_bytes} * 1 + {digit}]",
                "tdpbssd tmm1, tmm4, tmm6",
                "tileloadd tmm5, [{rows} + {row_bytes} * 1 + 2 * {digit}]",
                "tdpbssd tmm2, tmm5, tmm6",
                "tileloadd tmm7, [{weights} + {tile_row} * 1 + {tile}]",
                "tdpbssd tmm1, tmm3, tmm7",
                "tdpbssd tmm2, tmm4, tmm7",
                "tileloadd tmm6, [{weights} + {tile_row} * 1 + 2 * {tile}]",
                "tdpbssd tmm2, tmm3, tmm6",
                rows = in(reg) rows.add(block * DIGITS * BLOCK),
                weights = in(reg) self.weights.as_ptr().add(tiles * TILE_BYTES),
                row_bytes = in(reg) self.row_bytes(),
                tile_row = in(reg) ROW_BYTES,
                digit = const BLOCK,
                tile = const TILE_BYTES,
                options(nostack, readonly, preserves_flags),
            );
            if block + 1 == self.blocks {
                std::arch::asm!(
                    "tilestored [{sums} + {tile_row} * 1], tmm0",
                    "tilestored [{sums} + {tile_row} * 1 + {tile}], tmm1",
                    "tilestored [{sums} + {tile_row} * 1 + 2 * {tile}], tmm2",
                    sums = in(reg) (&raw mut (*sums).0[gate]).cast::<i32>(),
                    tile_row = in(reg) ROW_BYTES,
                    tile = const TILE_BYTES,
                    options(nostack, preserves_flags),
                );
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn add(
        &self,
        panel: usize,
        (sums, row): (*const Sums, usize),
        mut to: [__m512; VECTORS],
    ) -> [__m512; VECTORS] {
        for (gate, to) in to.iter_mut().enumerate() {
            // SAFETY: the caller promises the instructions, and the sums of the row.
            unsafe {
                let magnitudes =
                    [load(sums, gate, 0, row), load(sums, gate, 1, row), load(sums, gate, 2, row)];
                *to = self.scaled(panel * VECTORS + gate, magnitudes, *to);
            }
        }
        to
    }

    fn accumulate_scalar(&self, column: usize, row: &[u8], sum: f32) -> f32 {
        let mut sums = [0_i32; DIGITS];
        for input in 0..self.blocks * BLOCK {
            let (weight, x) = (place(column, self.blocks, input), row_place(input));
            for (magnitude, sum) in sums.iter_mut().enumerate() {
                for digit in 0..=magnitude {
                    let weight = self.weights[weight + digit * TILE_BYTES].cast_signed();
                    let x = row[x + (magnitude - digit) * BLOCK].cast_signed();
                    *sum += i32::from(weight) * i32::from(x);
                }
            }
        }
        let [first, second, third] = sums.map(|sum| sum as f32);
        let first = third.mul_add(BASE_INVERSE, second).mul_add(BASE_INVERSE, first);
        first.mul_add(self.scales[column], sum)
    }
}

impl PackedI24 {
    /// `to` plus s · 2³² / K · (S₀ + 2⁻⁸ · S₁ + 2⁻¹⁶ · S₂) of one gate of all panels.
    ///
    /// # Safety
    /// The machine has AVX-512.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn scaled(&self, gate: usize, [first, second, third]: [__m512i; DIGITS], to: __m512) -> __m512 {
        let scales = &self.scales[gate * COLUMNS..][..COLUMNS];
        // SAFETY: the caller promises the instructions; the scales of a gate were sliced.
        unsafe {
            let base = _mm512_set1_ps(BASE_INVERSE);
            let second = _mm512_fmadd_ps(_mm512_cvtepi32_ps(third), base, _mm512_cvtepi32_ps(second));
            let first = _mm512_fmadd_ps(second, base, _mm512_cvtepi32_ps(first));
            _mm512_fmadd_ps(first, _mm512_loadu_ps(scales.as_ptr()), to)
        }
    }
}

/// One row of one of a gate's tiles of sums.
///
/// # Safety
/// The machine has AVX-512, and the row is there.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn load(sums: *const Sums, gate: usize, tile: usize, row: usize) -> __m512i {
    // SAFETY: as the caller promises; rows are on boundaries of 64 bytes.
    unsafe {
        let tile: *const [i32; ROWS_MAX * COLUMNS] = &raw const (*sums).0[gate][tile];
        _mm512_load_si512(tile.cast::<i32>().add(row * COLUMNS).cast())
    }
}

/// Where the first digit of a weight is.
fn place(column: usize, blocks: usize, input: usize) -> usize {
    let tile = (column / COLUMNS * blocks + input / BLOCK) * DIGITS;
    let input = input % BLOCK;
    tile * TILE_BYTES + input / 4 * ROW_BYTES + column % COLUMNS * 4 + input % 4
}

/// Where the first digit of an input is in its row.
fn row_place(input: usize) -> usize {
    input / BLOCK * DIGITS * BLOCK + input % BLOCK
}

/// The digits of an integer of up to ±[`ONE`], the largest first; each is a signed byte.
fn digits(integer: i32) -> [u8; DIGITS] {
    let [_, first, second, third] = (integer.wrapping_add(CARRY) ^ CARRY).to_be_bytes();
    [first, second, third]
}

/// An input in fixed point, ties to even; what is beyond ±1 is cut, and NaN is −1.
#[expect(clippy::cast_possible_truncation, reason = "it is within ±ONE")]
fn quantise(x: f32) -> i32 {
    let x = if x > -1.0 { x } else { -1.0 };
    let x = if x < 1.0 { x } else { 1.0 };
    (x * ONE).round_ties_even() as i32
}

#[expect(clippy::cast_possible_truncation, reason = "the scale keeps it within ±ONE; 0 / 0 is 0")]
fn quotient(weight: f32, scale: f64) -> i32 {
    (f64::from(weight) / scale).round() as i32
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what this is for")]
fn rounded(scale: f64) -> f32 {
    scale as f32
}
