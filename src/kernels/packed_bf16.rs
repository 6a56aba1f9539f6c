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
//! (n = 256: 512 cycles) and twice as many loads of tiles, half of them 128 · n bytes of weights (32 KiB). One tile is the
//! sums, one the rows', one the weights'. Weights are loaded past the first-level cache, which they would wash the rest out
//! of: some 5 % more rows a second.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(
    clippy::needless_range_loop,
    reason = "closures and adapters over vectors would not be inlined with them"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castps_si512, _mm512_load_ps,
    _mm512_load_si512, _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_permutex2var_epi16,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_srli_epi32, _mm512_storeu_si512,
};

use super::aligned::Aligned;
use super::amx::{COLUMNS, ROW_BYTES, ROWS_MAX, TILE_BYTES};
use super::gemm::VECTORS;
use super::tile_matrix::{Gate, TileMatrix};

/// Bytes of a number.
const BYTES: usize = 2;
/// Inputs of one tile.
const TILE_INPUTS: usize = ROW_BYTES / BYTES;
/// Inputs of one block: two tiles.
const BLOCK: usize = 2 * TILE_INPUTS;

/// Where the high halves of 16 numbers and of 16 more are.
#[cfg(target_arch = "x86_64")]
#[expect(clippy::cast_possible_truncation, reason = "they are below 64")]
static HIGH_HALVES: HighHalves = {
    let mut halves = [0; TILE_INPUTS];
    let mut input = 0;
    while input < TILE_INPUTS {
        halves[input] = (2 * input + 1) as u16;
        input += 1;
    }
    HighHalves(halves)
};

#[cfg(target_arch = "x86_64")]
#[repr(align(64))]
struct HighHalves([u16; TILE_INPUTS]);

/// A packed matrix. Shared between threads; nothing changes it.
#[derive(Clone, Debug)]
pub struct PackedBf16 {
    inputs: usize,
    /// Blocks of inputs.
    blocks: usize,
    /// Panel by panel, gate by gate, block by block: tiles in which a row is two inputs of 16 outputs.
    weights: Aligned<u8>,
}

/// The sums of one gate of a panel for as many rows as a tile has.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Sums([f32; ROWS_MAX * COLUMNS]);

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
        let mut weights = Aligned::zeros_u8(columns / COLUMNS * blocks * Self::GATE_BLOCK);
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

    fn blocks(&self) -> usize {
        self.blocks
    }

    const ROW_BLOCK: usize = 2 * ROW_BYTES;

    const GATE_BLOCK: usize = 2 * TILE_BYTES;

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn prepare(&self, x: &[f32], row: &mut [u8]) {
        for (at, tile) in row.chunks_exact_mut(ROW_BYTES).enumerate() {
            let x = &x[x.len().min(at * TILE_INPUTS)..x.len().min((at + 1) * TILE_INPUTS)];
            // SAFETY: the caller promises the instructions; no more of `x` is read than there is; a row of a tile is 32 numbers.
            unsafe {
                let mut numbers = [_mm512_set1_epi32(0); TILE_INPUTS / COLUMNS];
                for at in 0..x.len().div_ceil(COLUMNS) {
                    let present = u16::MAX >> (COLUMNS - (x.len() - at * COLUMNS).min(COLUMNS));
                    let x = _mm512_maskz_loadu_ps(present, x.as_ptr().add(at * COLUMNS));
                    // NaN becomes −1, as in the twin: of both the second operand is taken then.
                    let x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-1.0)), _mm512_set1_ps(1.0));
                    let bits = _mm512_castps_si512(x);
                    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                    numbers[at] = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
                }
                let which = _mm512_load_si512(HIGH_HALVES.0.as_ptr().cast());
                let high = _mm512_permutex2var_epi16(numbers[0], which, numbers[1]);
                _mm512_storeu_si512(tile.as_mut_ptr().cast(), high);
            }
        }
    }

    fn prepare_scalar(&self, x: &[f32], row: &mut [u8]) {
        row.fill(0);
        for (x, row) in x.iter().zip(row.chunks_exact_mut(BYTES)) {
            row.copy_from_slice(&input_bits(*x).to_le_bytes());
        }
    }

    fn gate(&self, panel: usize, gate: usize) -> Gate {
        let bytes = self.blocks * Self::GATE_BLOCK;
        let weights = self.weights[(panel * VECTORS + gate) * bytes..][..bytes].as_ptr();
        Gate { weights, scales: std::ptr::null() }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn clear() {
        // SAFETY: the caller promises tiles.
        unsafe { std::arch::asm!("tilezero tmm0", options(nomem, nostack, preserves_flags)) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn multiply<const HALF: usize>(weights: *const u8, rows: *const u8, row_bytes: usize) {
        // SAFETY: the caller promises tiles shaped for the rows, and a block of each of them and of a gate: two times
        // `ROW_BYTES`, and two tiles.
        unsafe {
            std::arch::asm!(
                "tileloadd tmm4, [{rows} + {row_bytes} * 1]",
                "tileloaddt1 tmm6, [{weights} + {tile_row} * 1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                rows = in(reg) rows.add(HALF * ROW_BYTES),
                weights = in(reg) weights.add(HALF * TILE_BYTES),
                row_bytes = in(reg) row_bytes,
                tile_row = in(reg) ROW_BYTES,
                options(nostack, readonly, preserves_flags),
            );
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn store(sums: *mut Sums) {
        // SAFETY: the caller promises tiles, and room for them.
        unsafe {
            std::arch::asm!(
                "tilestored [{sums} + {tile_row} * 1], tmm0",
                sums = in(reg) sums,
                tile_row = in(reg) ROW_BYTES,
                options(nostack, preserves_flags),
            );
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn add<const N: usize>(
        _: Gate,
        sums: *const Sums,
        first: usize,
        mut to: [__m512; N],
    ) -> [__m512; N] {
        // SAFETY: the caller promises the instructions, and the sums of the rows.
        unsafe {
            let sums = sums.cast::<[f32; COLUMNS]>().add(first);
            for row in 0..N {
                to[row] = _mm512_add_ps(_mm512_load_ps(sums.add(row).cast()), to[row]);
            }
        }
        to
    }

    fn accumulate_scalar(&self, column: usize, row: &[u8], sum: f32) -> f32 {
        let number = |bytes: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16);
        let mut total = 0.0;
        for tile in 0..2 * self.blocks {
            let mut sums = [0.0; 2];
            for input in tile * TILE_INPUTS..(tile + 1) * TILE_INPUTS {
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
    let tile = 2 * (column / COLUMNS * blocks) + input / TILE_INPUTS;
    let input = input % TILE_INPUTS;
    tile * TILE_BYTES + input / 2 * ROW_BYTES + column % COLUMNS * 4 + input % 2 * BYTES
}
