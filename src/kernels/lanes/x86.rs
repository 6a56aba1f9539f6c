//! The vectors of AVX-512 and of AVX2.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use std::arch::x86_64::{
    __m256, __m512, _CMP_LT_OQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm256_add_epi32,
    _mm256_add_ps, _mm256_and_ps, _mm256_andnot_ps, _mm256_blendv_ps, _mm256_castsi256_ps, _mm256_cmp_ps,
    _mm256_cvttps_epi32, _mm256_div_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_or_ps, _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps,
    _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_div_ps, _mm512_fmadd_ps,
    _mm512_fnmadd_ps, _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
    _mm512_range_ps, _mm512_reduce_ps, _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps, _mm512_ternarylogic_epi32,
};

use super::Lanes;

/// Implements the methods that are one instruction each.
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
    fn split_within(self, most: Self) -> (Self, Self) {
        // SAFETY: `self` exists, so the machine has the instructions. 2 is the smaller magnitude, with the sign of the first.
        unsafe {
            let rest = _mm512_reduce_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self);
            (_mm512_range_ps::<2>(self.sub(rest), most), rest)
        }
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

/// [`power_of_two`](super::power_of_two) of every lane.
#[inline(always)]
fn powers_of_two(exponents: __m256) -> __m256 {
    // SAFETY: `exponents` exists, so the machine has the instructions.
    unsafe {
        let biased = _mm256_add_epi32(_mm256_cvttps_epi32(exponents), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
    }
}

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
