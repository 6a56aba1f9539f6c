//! One vector of f32, so that a kernel is written once for every instruction set.
//!
//! A value of a `Lanes` type exists only on a machine that has its instructions: the ways to make one from nothing
//! are unsafe, everything that needs a value is safe. Every method is inlined into a function that is compiled for
//! the instructions (`#[target_feature]`); `f32` itself is the one-lane vector of the scalar twins. All of them round
//! alike, operation by operation, so a kernel gives the same bits at every width.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(
    clippy::needless_range_loop,
    reason = "closures and adapters over vectors would not be inlined with them"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, _CMP_LT_OQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm256_add_epi32,
    _mm256_add_ps, _mm256_and_ps, _mm256_andnot_ps, _mm256_blendv_ps, _mm256_castsi256_ps, _mm256_cmp_ps,
    _mm256_cvttps_epi32, _mm256_div_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_or_ps, _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps,
    _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_div_ps, _mm512_fmadd_ps,
    _mm512_fnmadd_ps, _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
    _mm512_reduce_ps, _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps, _mm512_ternarylogic_epi32,
};

use super::cpu::Level;

/// An operation that is written once for every width of vector.
pub(super) trait Kernel {
    /// Computes with vectors of type `V`. Implementations are `#[inline(always)]`, to land in the caller's
    /// instruction set.
    ///
    /// # Safety
    /// The machine has the instructions of `V`.
    unsafe fn run<V: Lanes>(self);
}

/// Runs a kernel with the vectors of `level`, or of the level below where the machine lacks it.
pub(super) fn run(level: Level, kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    fn avx512(kernel: impl Kernel) {
        // SAFETY: this function is only called where these instructions are.
        unsafe { kernel.run::<__m512>() }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(kernel: impl Kernel) {
        // SAFETY: as above.
        unsafe { kernel.run::<__m256>() }
    }
    match level.or_below() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `or_below` gives only levels that this machine has.
        Level::Amx | Level::Avx512 => unsafe { avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { avx2(kernel) },
        // SAFETY: `f32` needs no instructions beyond the target's.
        _ => unsafe { kernel.run::<f32>() },
    }
}

/// A vector of f32.
pub(super) trait Lanes: Copy {
    /// f32 values of one vector.
    const WIDTH: usize;
    /// Vector registers of the machine.
    const REGISTERS: usize;

    /// `value` in every lane.
    ///
    /// # Safety
    /// The machine has the instructions of this type.
    unsafe fn splat(value: f32) -> Self;

    /// The first `WIDTH` values at `from`.
    ///
    /// # Safety
    /// The machine has the instructions of this type, and `WIDTH` values can be read at `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes `WIDTH` values at `to`.
    ///
    /// # Safety
    /// `WIDTH` values can be written at `to`.
    unsafe fn store(self, to: *mut f32);

    /// `value` in every lane of a vector like this one.
    #[inline(always)]
    fn all(self, value: f32) -> Self {
        // SAFETY: `self` exists, so the machine has the instructions.
        unsafe { Self::splat(value) }
    }

    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self × other`.
    fn mul(self, other: Self) -> Self;
    /// `self ÷ other`.
    fn div(self, other: Self) -> Self;
    /// `self × factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `addend - self × factor`, rounded once.
    fn neg_mul_add(self, factor: Self, addend: Self) -> Self;
    /// The nearest whole number, ties to even, and what is left of `self`: at most ½.
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        (self.round(), self.sub(self.round()))
    }
    /// The larger of both; `other` where one is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller of both; `other` where one is NaN.
    fn min(self, other: Self) -> Self;
    /// The nearest whole number, ties to even.
    fn round(self) -> Self;
    /// The magnitude with the sign of `sign`.
    fn copy_sign(self, sign: Self) -> Self;
    /// `self × 2^exponent`, rounded once; `exponent` is whole and within ±252.
    fn scale(self, exponent: Self) -> Self;
    /// `then` in the lanes where `self < 0` is true, `otherwise` in the others (NaN among them).
    fn if_negative(self, then: Self, otherwise: Self) -> Self;
}

impl Lanes for f32 {
    const WIDTH: usize = 1;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        value
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises one readable value.
        unsafe { *from }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises one writable value.
        unsafe { *to = self }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self - other
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self * other
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self / other
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        f32::mul_add(self, factor, addend)
    }
    #[inline(always)]
    fn neg_mul_add(self, factor: Self, addend: Self) -> Self {
        f32::mul_add(-self, factor, addend)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
    #[inline(always)]
    fn round(self) -> Self {
        self.round_ties_even()
    }
    #[inline(always)]
    fn copy_sign(self, sign: Self) -> Self {
        self.copysign(sign)
    }
    #[inline(always)]
    fn scale(self, exponent: Self) -> Self {
        // Two factors, because one power of two reaches no further than 2^127.
        let half = (exponent * 0.5).round_ties_even();
        self * power_of_two(half) * power_of_two(exponent - half)
    }
    #[inline(always)]
    fn if_negative(self, then: Self, otherwise: Self) -> Self {
        if self < 0.0 { then } else { otherwise }
    }
}

/// Implements the methods on several vectors at once.
macro_rules! each {
    ($($name:ident($($argument:ident),*);)*) => {$(
        #[inline(always)]
        fn $name(mut self $(, $argument: Self)*) -> Self {
            for vector in 0..N {
                self[vector] = self[vector].$name($($argument[vector]),*);
            }
            self
        }
    )*};
}

/// Several vectors side by side: a long chain of operations waits less when two or three run in step.
impl<V: Lanes, const N: usize> Lanes for [V; N] {
    const WIDTH: usize = N * V::WIDTH;
    const REGISTERS: usize = V::REGISTERS / N;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller promises the instructions.
        unsafe { [V::splat(value); N] }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises the instructions, and N vectors.
        unsafe {
            let mut vectors = [V::splat(0.0); N];
            for vector in 0..N {
                vectors[vector] = V::load(from.add(vector * V::WIDTH));
            }
            vectors
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        for vector in 0..N {
            // SAFETY: the caller promises room for N vectors.
            unsafe { self[vector].store(to.add(vector * V::WIDTH)) }
        }
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let (mut whole, mut rest) = (self, self);
        for vector in 0..N {
            (whole[vector], rest[vector]) = self[vector].split();
        }
        (whole, rest)
    }
    each! {
        add(other);
        sub(other);
        mul(other);
        div(other);
        mul_add(factor, addend);
        neg_mul_add(factor, addend);
        max(other);
        min(other);
        round();
        copy_sign(sign);
        scale(exponent);
        if_negative(then, otherwise);
    }
}

/// `2^exponent` for a whole `exponent` of −126 to 127, by writing its bits; anything for others.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the sum is 1 to 254 as promised"
)]
fn power_of_two(exponent: f32) -> f32 {
    f32::from_bits(((exponent as i32).wrapping_add(127) as u32) << 23)
}

/// Implements the methods that are one instruction each.
#[cfg(target_arch = "x86_64")]
macro_rules! instructions {
    ($($name:ident($($argument:ident),*) = $instruction:path;)*) => {$(
        #[inline(always)]
        fn $name(self $(, $argument: Self)*) -> Self {
            // SAFETY: `self` exists, so the machine has the instructions.
            unsafe { $instruction(self $(, $argument)*) }
        }
    )*};
}

/// Implements the methods that make a vector from nothing, or write one to memory.
#[cfg(target_arch = "x86_64")]
macro_rules! memory {
    ($splat:path, $load:path, $store:path) => {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller promises the instructions.
            unsafe { $splat(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller promises the instructions and the values.
            unsafe { $load(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: `self` exists, so the machine has the instructions; the caller promises the room.
            unsafe { $store(to, self) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m512 {
    const WIDTH: usize = 16;
    const REGISTERS: usize = 32;

    memory!(_mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps);
    instructions! {
        add(other) = _mm512_add_ps;
        sub(other) = _mm512_sub_ps;
        mul(other) = _mm512_mul_ps;
        div(other) = _mm512_div_ps;
        mul_add(factor, addend) = _mm512_fmadd_ps;
        neg_mul_add(factor, addend) = _mm512_fnmadd_ps;
        max(other) = _mm512_max_ps;
        min(other) = _mm512_min_ps;
        scale(exponent) = _mm512_scalef_ps;
        round() = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>;
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        // SAFETY: `self` exists, so the machine has the instructions.
        let rest = unsafe { _mm512_reduce_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self) };
        (self.sub(rest), rest)
    }
    #[inline(always)]
    fn copy_sign(self, sign: Self) -> Self {
        // SAFETY: `self` exists, so the machine has the instructions. 0xCA is "first ? second : third", bit by bit.
        unsafe {
            let mask = _mm512_set1_epi32(i32::MIN);
            let (magnitude, sign) = (_mm512_castps_si512(self), _mm512_castps_si512(sign));
            _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xCA>(mask, sign, magnitude))
        }
    }
    #[inline(always)]
    fn if_negative(self, then: Self, otherwise: Self) -> Self {
        // SAFETY: `self` exists, so the machine has the instructions.
        unsafe {
            let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self, _mm512_setzero_ps());
            _mm512_mask_blend_ps(negative, otherwise, then)
        }
    }
}

/// [`power_of_two`] of every lane.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn powers_of_two(exponents: __m256) -> __m256 {
    // SAFETY: `exponents` exists, so the machine has the instructions.
    unsafe {
        let biased = _mm256_add_epi32(_mm256_cvttps_epi32(exponents), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m256 {
    const WIDTH: usize = 8;
    const REGISTERS: usize = 16;

    memory!(_mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps);
    instructions! {
        add(other) = _mm256_add_ps;
        sub(other) = _mm256_sub_ps;
        mul(other) = _mm256_mul_ps;
        div(other) = _mm256_div_ps;
        mul_add(factor, addend) = _mm256_fmadd_ps;
        neg_mul_add(factor, addend) = _mm256_fnmadd_ps;
        max(other) = _mm256_max_ps;
        min(other) = _mm256_min_ps;
        round() = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>;
    }
    #[inline(always)]
    fn copy_sign(self, sign: Self) -> Self {
        // SAFETY: `self` exists, so the machine has the instructions.
        unsafe {
            let mask = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_and_ps(mask, sign), _mm256_andnot_ps(mask, self))
        }
    }
    #[inline(always)]
    fn scale(self, exponent: Self) -> Self {
        // Two factors, as in the scalar twin.
        let half = exponent.mul(exponent.all(0.5)).round();
        self.mul(powers_of_two(half)).mul(powers_of_two(exponent.sub(half)))
    }
    #[inline(always)]
    fn if_negative(self, then: Self, otherwise: Self) -> Self {
        // SAFETY: `self` exists, so the machine has the instructions.
        unsafe {
            let negative = _mm256_cmp_ps::<_CMP_LT_OQ>(self, _mm256_setzero_ps());
            _mm256_blendv_ps(otherwise, then, negative)
        }
    }
}
