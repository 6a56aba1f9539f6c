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
#![expect(
    clippy::needless_range_loop,
    reason = "closures and adapters over vectors would not be inlined with them"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512, _mm512_add_epi32, _mm512_castsi512_si256, _mm512_cvtepi32_ps, _mm512_cvtps_epi32,
    _mm512_fmadd_ps, _mm512_inserti64x4, _mm512_load_si512, _mm512_loadu_ps, _mm512_maskz_loadu_ps,
    _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_permutex2var_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_storeu_si512, _mm512_xor_si512,
};

use super::aligned::Aligned;
use super::amx::{COLUMNS, ROW_BYTES, ROWS_MAX, TILE_BYTES};
use super::gemm::VECTORS;
use super::tile_matrix::{Gate, TileMatrix};

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
/// Of each digit, the largest first: where it is in 16 integers and 16 more.
#[cfg(target_arch = "x86_64")]
#[expect(clippy::cast_possible_truncation, reason = "they are below 128")]
static DIGIT_BYTES: DigitBytes = {
    let mut bytes = [[0; BLOCK]; DIGITS];
    let mut at = 0;
    while at < DIGITS * BLOCK / 2 {
        let (digit, input) = (at / (BLOCK / 2), at % (BLOCK / 2));
        bytes[digit][input] = (4 * input + DIGITS - 1 - digit) as u8;
        at += 1;
    }
    DigitBytes(bytes)
};
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

#[cfg(target_arch = "x86_64")]
#[repr(align(64))]
struct DigitBytes([[u8; BLOCK]; DIGITS]);

/// S₀, S₁ and S₂ of one gate of a panel for as many rows as a tile has.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Sums([[i32; ROWS_MAX * COLUMNS]; DIGITS]);

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

    fn blocks(&self) -> usize {
        self.blocks
    }

    const ROW_BLOCK: usize = DIGITS * BLOCK;

    const GATE_BLOCK: usize = DIGITS * TILE_BYTES;

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn prepare(&self, x: &[f32], row: &mut [u8]) {
        for (x, block) in x.chunks(BLOCK).zip(row.chunks_exact_mut(Self::ROW_BLOCK)) {
            // SAFETY: the caller promises the instructions; no more of `x` is read than there is; a block of a row is as long as
            // three digits of its inputs.
            unsafe {
                let mut numbers = [_mm512_set1_epi32(0); BLOCK / COLUMNS];
                for at in 0..x.len().div_ceil(COLUMNS) {
                    let present = u16::MAX >> (COLUMNS - (x.len() - at * COLUMNS).min(COLUMNS));
                    let x = _mm512_maskz_loadu_ps(present, x.as_ptr().add(at * COLUMNS));
                    // NaN becomes −1, as in the twin: of both the second operand is taken then.
                    let x = _mm512_max_ps(x, _mm512_set1_ps(-1.0));
                    let x = _mm512_mul_ps(_mm512_min_ps(x, _mm512_set1_ps(1.0)), _mm512_set1_ps(ONE));
                    let carry = _mm512_set1_epi32(CARRY);
                    numbers[at] = _mm512_xor_si512(_mm512_add_epi32(_mm512_cvtps_epi32(x), carry), carry);
                }
                for digit in 0..DIGITS {
                    let which = _mm512_load_si512(DIGIT_BYTES.0[digit].as_ptr().cast());
                    let low = _mm512_permutex2var_epi8(numbers[0], which, numbers[1]);
                    let high = _mm512_permutex2var_epi8(numbers[2], which, numbers[3]);
                    let digits = _mm512_inserti64x4::<1>(low, _mm512_castsi512_si256(high));
                    _mm512_storeu_si512(block.as_mut_ptr().add(digit * BLOCK).cast(), digits);
                }
            }
        }
    }

    fn prepare_scalar(&self, x: &[f32], row: &mut [u8]) {
        row.fill(0);
        for (input, x) in x.iter().enumerate() {
            for (digit, byte) in digits(quantise(*x)).into_iter().enumerate() {
                row[row_place(input) + digit * BLOCK] = byte;
            }
        }
    }

    fn gate(&self, panel: usize, gate: usize) -> Gate {
        let gate = panel * VECTORS + gate;
        let bytes = self.blocks * Self::GATE_BLOCK;
        let weights = self.weights[gate * bytes..][..bytes].as_ptr();
        Gate { weights, scales: self.scales[gate * COLUMNS..][..COLUMNS].as_ptr() }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn clear() {
        // SAFETY: the caller promises tiles.
        unsafe {
            std::arch::asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                options(nomem, nostack, preserves_flags),
            );
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn multiply<const HALF: usize>(weights: *const u8, rows: *const u8, row_bytes: usize) {
        // SAFETY: the caller promises tiles shaped for the rows, and a block of each of them and of a gate: three digits of
        // `BLOCK` bytes, and three tiles. The second half finds the rows' digits where the first has left them.
        unsafe {
            if HALF == 0 {
                std::arch::asm!(
                    "tileloadd tmm3, [{rows} + {row_bytes} * 1]",
                    "tileloadd tmm6, [{weights} + {tile_row} * 1]",
                    "tdpbssd tmm0, tmm3, tmm6",
                    "tileloadd tmm4, [{rows} + {row_bytes} * 1 + {digit}]",
                    "tdpbssd tmm1, tmm4, tmm6",
                    "tileloadd tmm5, [{rows} + {row_bytes} * 1 + 2 * {digit}]",
                    "tdpbssd tmm2, tmm5, tmm6",
                    rows = in(reg) rows,
                    weights = in(reg) weights,
                    row_bytes = in(reg) row_bytes,
                    tile_row = in(reg) ROW_BYTES,
                    digit = const BLOCK,
                    options(nostack, readonly, preserves_flags),
                );
            } else {
                std::arch::asm!(
                    "tileloadd tmm7, [{weights} + {tile_row} * 1 + {tile}]",
                    "tdpbssd tmm1, tmm3, tmm7",
                    "tdpbssd tmm2, tmm4, tmm7",
                    "tileloadd tmm6, [{weights} + {tile_row} * 1 + 2 * {tile}]",
                    "tdpbssd tmm2, tmm3, tmm6",
                    weights = in(reg) weights,
                    tile_row = in(reg) ROW_BYTES,
                    tile = const TILE_BYTES,
                    options(nostack, readonly, preserves_flags),
                );
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn store(sums: *mut Sums) {
        // SAFETY: the caller promises tiles, and room for them.
        unsafe {
            std::arch::asm!(
                "tilestored [{sums} + {tile_row} * 1], tmm0",
                "tilestored [{sums} + {tile_row} * 1 + {tile}], tmm1",
                "tilestored [{sums} + {tile_row} * 1 + 2 * {tile}], tmm2",
                sums = in(reg) sums,
                tile_row = in(reg) ROW_BYTES,
                tile = const TILE_BYTES,
                options(nostack, preserves_flags),
            );
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn add<const N: usize>(
        gate: Gate,
        sums: *const Sums,
        first: usize,
        mut to: [__m512; N],
    ) -> [__m512; N] {
        // SAFETY: the caller promises the instructions, the sums of the rows, and the gate's scales.
        unsafe {
            let (base, scale) = (_mm512_set1_ps(BASE_INVERSE), _mm512_loadu_ps(gate.scales));
            let sums = sums.cast::<[i32; COLUMNS]>().add(first);
            for row in 0..N {
                let first = _mm512_cvtepi32_ps(_mm512_load_si512(sums.add(row).cast()));
                let second = _mm512_cvtepi32_ps(_mm512_load_si512(sums.add(ROWS_MAX + row).cast()));
                let third = _mm512_cvtepi32_ps(_mm512_load_si512(sums.add(2 * ROWS_MAX + row).cast()));
                let sum = _mm512_fmadd_ps(_mm512_fmadd_ps(third, base, second), base, first);
                to[row] = _mm512_fmadd_ps(sum, scale, to[row]);
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
