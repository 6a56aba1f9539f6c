//! A matrix of bfloat16, for inputs between −1 and 1, multiplied in tiles: two bytes a weight and one instruction for 8,192
//! multiply-adds.
//!
//! A weight w and an input h are rounded to the nearest bfloat16, which has 8 binary digits, ties to even. A product is
//! summed in f32: of every 32 inputs the even ones and the odd ones for themselves, in order, with fused multiply-adds; the two
//! sums are added, and that sum to those of the inputs before. Numbers below 2⁻¹²⁶ are 0. It is what the instruction
//! does for each row by itself, so the bits of a row do not depend on its neighbours.
//!
//! Error of one product w · h against exact arithmetic: 2⁻⁹ of its magnitude from each of the two roundings, which add up like
//! the square root: hidden states of trained networks are some 1e-3 off. The sum's own rounding is f32's.
//!
//! Sketch, of n inputs and a panel of 16 units by four gates, for up to 16 rows: 4 · n / 32 tile instructions of 16 cycles
//! (n = 256: 512 cycles) and 5 · n / 32 loads of tiles, 128 · n bytes of weights (32 KiB). Four tiles are sums, one of each
//! gate, one is the rows', two are weights.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512, _mm256_storeu_si256, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castps_si512,
    _mm512_cvtepi32_epi16, _mm512_load_ps, _mm512_mask_loadu_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_srli_epi32,
};

use super::aligned::Aligned;
use super::amx::{COLUMNS, ROW_BYTES, ROWS_MAX, TILE_BYTES};
use super::gemm::VECTORS;
use super::tile_matrix::{Place, TileMatrix};

/// Bytes of a number.
const BYTES: usize = 2;
/// Inputs of one tile.
const BLOCK: usize = ROW_BYTES / BYTES;

/// A packed matrix. Shared between threads; nothing changes it.
#[derive(Clone, Debug)]
pub struct PackedBf16 {
    inputs: usize,
    /// Tiles of inputs.
    blocks: usize,
    /// Panel by panel, block by block, gate by gate: tiles in which a row is two inputs of 16 outputs.
    weights: Aligned<u8>,
}

/// The sums of one panel for as many rows as a tile has, gate by gate.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Sums([[f32; ROWS_MAX * COLUMNS]; VECTORS]);

/// The nearest bfloat16, ties to even, as f32.
#[must_use]
pub fn nearest(value: f32) -> f32 {
    f32::from_bits(u32::from(bits(value)) << 16)
}

/// The nearest bfloat16 of a number that is finite and stays so.
fn bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let [high, low, ..] = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)).to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// An input: what is beyond ±1 is cut, and NaN is −1.
fn input_bits(x: f32) -> u16 {
    let x = if x > -1.0 { x } else { -1.0 };
    bits(if x < 1.0 { x } else { 1.0 })
}

impl TileMatrix for PackedBf16 {
    type Sums = Sums;

    fn new<'a>([columns, inputs]: [usize; 2], row: impl Fn(usize) -> Option<&'a [f32]>) -> Self {
        let blocks = inputs.div_ceil(BLOCK);
        let mut weights = Aligned::zeros_u8(columns / COLUMNS * blocks * TILE_BYTES);
        for column in 0..columns {
            let Some(row) = row(column) else { continue };
            for (input, weight) in row.iter().enumerate() {
                let at = place(column, blocks, input);
                weights[at..at + BYTES].copy_from_slice(&bits(*weight).to_le_bytes());
            }
        }
        Self { inputs, blocks, weights }
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn row_bytes(&self) -> usize {
        self.blocks * ROW_BYTES
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn prepare(&self, x: &[f32], row: &mut [u8]) {
        for (x, row) in x.chunks(COLUMNS).zip(row.chunks_exact_mut(COLUMNS * BYTES)) {
            // SAFETY: the caller promises the instructions; no more of `x` is read than there is; 16 numbers are inside of
            // `row`, a chunk as long.
            unsafe {
                let present = u16::MAX >> (COLUMNS - x.len());
                let x = _mm512_mask_loadu_ps(_mm512_setzero_ps(), present, x.as_ptr());
                // NaN becomes −1, as in the twin: of both the second operand is taken then.
                let x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-1.0)), _mm512_set1_ps(1.0));
                let bits = _mm512_castps_si512(x);
                let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
                let high = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
                _mm256_storeu_si256(row.as_mut_ptr().cast(), high);
            }
        }
    }

    fn prepare_scalar(&self, x: &[f32], row: &mut [u8]) {
        for (x, row) in x.iter().zip(row.chunks_exact_mut(BYTES)) {
            row.copy_from_slice(&input_bits(*x).to_le_bytes());
        }
    }

    /// All gates at once.
    const PASSES: usize = 1;

    fn blocks(&self) -> usize {
        self.blocks
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn multiply(&self, Place { panel, block, .. }: Place, rows: *const u8, sums: *mut Sums) {
        let tiles = (panel * self.blocks + block) * VECTORS;
        // SAFETY: the caller promises the instructions, tiles shaped for the rows, that the block is there, `row_bytes` for each
        // of the rows, and room for the sums. A block of a row is `ROW_BYTES`, one of a panel four tiles.
        unsafe {
            if block == 0 {
                std::arch::asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    options(nomem, nostack, preserves_flags),
                );
            }
            std::arch::asm!(
                "tileloadd tmm4, [{rows} + {row_bytes} * 1]",
                "tileloadd tmm6, [{weights} + {tile_row} * 1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{weights} + {tile_row} * 1 + {tile}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm6, [{weights} + {tile_row} * 1 + 2 * {tile}]",
                "tdpbf16ps tmm2, tmm4, tmm6",
                "tileloadd tmm7, [{weights} + {tile_row} * 1 + 3 * {tile}]",
                "tdpbf16ps tmm3, tmm4, tmm7",
                rows = in(reg) rows.add(block * ROW_BYTES),
                weights = in(reg) self.weights.as_ptr().add(tiles * TILE_BYTES),
                row_bytes = in(reg) self.row_bytes(),
                tile_row = in(reg) ROW_BYTES,
                tile = const TILE_BYTES,
                options(nostack, readonly, preserves_flags),
            );
            if block + 1 == self.blocks {
                std::arch::asm!(
                    "tilestored [{sums} + {tile_row} * 1], tmm0",
                    "tilestored [{sums} + {tile_row} * 1 + {tile}], tmm1",
                    "tilestored [{sums} + {tile_row} * 1 + 2 * {tile}], tmm2",
                    "tilestored [{sums} + {tile_row} * 1 + 3 * {tile}], tmm3",
                    sums = in(reg) sums,
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
        _: usize,
        (sums, row): (*const Sums, usize),
        mut to: [__m512; VECTORS],
    ) -> [__m512; VECTORS] {
        for (gate, to) in to.iter_mut().enumerate() {
            // SAFETY: the caller promises the instructions, and the sums of the row.
            unsafe {
                let sums: *const [f32; ROWS_MAX * COLUMNS] = &raw const (*sums).0[gate];
                *to = _mm512_add_ps(_mm512_load_ps(sums.cast::<f32>().add(row * COLUMNS)), *to);
            }
        }
        to
    }

    fn accumulate_scalar(&self, column: usize, row: &[u8], sum: f32) -> f32 {
        let number = |bytes: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16);
        let mut total = 0.0;
        for block in 0..self.blocks {
            let mut sums = [0.0; 2];
            for input in block * BLOCK..(block + 1) * BLOCK {
                let weight = number(&self.weights[place(column, self.blocks, input)..]);
                let x = number(&row[input * BYTES..]);
                let sum = &mut sums[input % 2];
                *sum = flushed(flushed(x).mul_add(flushed(weight), *sum));
            }
            total = flushed(total + flushed(sums[0] + sums[1]));
        }
        total + sum
    }
}

/// 0 for what is below the smallest normal number.
fn flushed(value: f32) -> f32 {
    if value.abs() < f32::MIN_POSITIVE { 0.0 } else { value }
}

/// Where a weight is.
fn place(column: usize, blocks: usize, input: usize) -> usize {
    let (panel, gate) = (column / COLUMNS / VECTORS, column / COLUMNS % VECTORS);
    let tile = (panel * blocks + input / BLOCK) * VECTORS + gate;
    let input = input % BLOCK;
    tile * TILE_BYTES + input / 2 * ROW_BYTES + column % COLUMNS * 4 + input % 2 * BYTES
}
