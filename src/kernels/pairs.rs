//! Products of i16 added up in i32, two at a time: one instruction with VNNI, two without.
//!
//! A sum of integers does not depend on its order, so every form gives the same bits as long as no sum overflows, which
//! [`packed_i16`](super::packed_i16) makes impossible by the scales it chooses. Measured against f32 multiply-adds of
//! the same width: `vpdpwssd` does twice as many multiplications a second, `vdpbf16ps` (bfloat16) only half as many.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m256i, __m512, __m512i, _mm_storeu_si128, _mm256_add_epi32, _mm256_and_si256,
    _mm256_castps_si256, _mm256_castsi256_si128, _mm256_cvtepi32_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_packus_epi32, _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_storeu_si256, _mm512_add_epi32,
    _mm512_castps_si512, _mm512_cvtepi32_epi16, _mm512_cvtepi32_ps, _mm512_dpwssd_epi32, _mm512_loadu_si512,
    _mm512_madd_epi16, _mm512_set1_epi32,
};

use super::cpu::Level;
use super::lanes::Lanes;

/// How pairs are multiplied, the fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// AVX-512 with VNNI: 32 products an instruction, added in the same.
    Vnni,
    /// AVX-512 without: multiplied by one instruction, added by another.
    Avx512,
    /// AVX2: the same of half the width.
    Avx2,
    /// Without vector instructions.
    Scalar,
}

impl Form {
    /// The fastest form of a level, or of the level below where the machine lacks it.
    pub(super) fn of(level: Level) -> Self {
        match level.or_below() {
            Level::Amx | Level::Avx512 if Level::has_vnni() => Self::Vnni,
            Level::Amx | Level::Avx512 => Self::Avx512,
            Level::Avx2 => Self::Avx2,
            Level::Scalar => Self::Scalar,
        }
    }

    /// The level whose registers it uses.
    pub(super) fn level(self) -> Level {
        match self {
            Self::Vnni | Self::Avx512 => Level::Avx512,
            Self::Avx2 => Level::Avx2,
            Self::Scalar => Level::Scalar,
        }
    }
}

/// An operation that is written once for every form with vectors.
pub(super) trait PairKernel {
    /// Computes with sums of type `P`. Implementations are `#[inline(always)]`, to land in the caller's instruction
    /// set.
    ///
    /// # Safety
    /// The machine has the instructions of `P`.
    unsafe fn run<P: Pairs>(self);

    /// Computes without vectors: the scalar twin.
    fn run_scalar(self);
}

/// Runs a kernel in this form.
///
/// # Safety
/// The machine has the form: it comes from [`Form::of`].
pub(super) unsafe fn run(form: Form, kernel: impl PairKernel) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
    fn vnni(kernel: impl PairKernel) {
        // SAFETY: this function is only called where these instructions are.
        unsafe { kernel.run::<Vnni>() }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    fn avx512(kernel: impl PairKernel) {
        // SAFETY: as above.
        unsafe { kernel.run::<__m512i>() }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(kernel: impl PairKernel) {
        // SAFETY: as above.
        unsafe { kernel.run::<__m256i>() }
    }
    match form {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller promises the form.
        Form::Vnni => unsafe { vnni(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Form::Avx512 => unsafe { avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Form::Avx2 => unsafe { avx2(kernel) },
        _ => kernel.run_scalar(),
    }
}

/// A vector of i32 sums; the same register holds as many pairs of i16.
pub(super) trait Pairs: Copy {
    /// f32 vector of as many lanes.
    type Floats: Lanes;

    /// `pair` in every lane: two i16, the first in the lower half.
    ///
    /// # Safety
    /// The machine has the instructions of this type.
    unsafe fn splat(pair: i32) -> Self;

    /// A vector of pairs.
    ///
    /// # Safety
    /// The machine has the instructions of this type, and a whole vector can be read at `from`.
    unsafe fn load(from: *const i16) -> Self;

    /// `self` plus, lane by lane, both products of the pairs.
    fn add_products(self, left: Self, right: Self) -> Self;

    /// The nearest f32 of every sum, ties to even.
    fn floats(self) -> Self::Floats;

    /// Writes the low halves of the lanes' bits.
    ///
    /// # Safety
    /// A value for every lane can be written at `to`.
    unsafe fn store_low_halves(floats: Self::Floats, to: *mut i16);
}

/// A vector whose products are added by VNNI.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Vnni(__m512i);

#[cfg(target_arch = "x86_64")]
impl Pairs for Vnni {
    type Floats = __m512;

    #[inline(always)]
    unsafe fn splat(pair: i32) -> Self {
        // SAFETY: the caller promises the instructions.
        Self(unsafe { <__m512i as Pairs>::splat(pair) })
    }
    #[inline(always)]
    unsafe fn load(from: *const i16) -> Self {
        // SAFETY: the caller promises the instructions and the values.
        Self(unsafe { <__m512i as Pairs>::load(from) })
    }
    #[inline(always)]
    fn add_products(self, left: Self, right: Self) -> Self {
        // SAFETY: `self` exists, so the machine has the instructions.
        Self(unsafe { _mm512_dpwssd_epi32(self.0, left.0, right.0) })
    }
    #[inline(always)]
    fn floats(self) -> __m512 {
        self.0.floats()
    }
    #[inline(always)]
    unsafe fn store_low_halves(floats: __m512, to: *mut i16) {
        // SAFETY: the caller promises the room.
        unsafe { <__m512i as Pairs>::store_low_halves(floats, to) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Pairs for __m512i {
    type Floats = __m512;

    #[inline(always)]
    unsafe fn splat(pair: i32) -> Self {
        // SAFETY: the caller promises the instructions.
        unsafe { _mm512_set1_epi32(pair) }
    }
    #[inline(always)]
    unsafe fn load(from: *const i16) -> Self {
        // SAFETY: the caller promises the instructions and the values.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    fn add_products(self, left: Self, right: Self) -> Self {
        // SAFETY: `self` exists, so the machine has the instructions.
        unsafe { _mm512_add_epi32(self, _mm512_madd_epi16(left, right)) }
    }
    #[inline(always)]
    fn floats(self) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_cvtepi32_ps(self) }
    }
    #[inline(always)]
    unsafe fn store_low_halves(floats: __m512, to: *mut i16) {
        // SAFETY: `floats` exists, so the machine has the instructions; the caller promises room for 16 values.
        unsafe { _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(_mm512_castps_si512(floats))) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Pairs for __m256i {
    type Floats = __m256;

    #[inline(always)]
    unsafe fn splat(pair: i32) -> Self {
        // SAFETY: the caller promises the instructions.
        unsafe { _mm256_set1_epi32(pair) }
    }
    #[inline(always)]
    unsafe fn load(from: *const i16) -> Self {
        // SAFETY: the caller promises the instructions and the values.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    fn add_products(self, left: Self, right: Self) -> Self {
        // SAFETY: `self` exists, so the machine has the instructions.
        unsafe { _mm256_add_epi32(self, _mm256_madd_epi16(left, right)) }
    }
    #[inline(always)]
    fn floats(self) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_cvtepi32_ps(self) }
    }
    #[inline(always)]
    unsafe fn store_low_halves(floats: __m256, to: *mut i16) {
        // SAFETY: `floats` exists, so the machine has the instructions; the caller promises room for 8 values.
        // Packing goes by halves of the register: the two that are wanted are the first and the third quarter.
        unsafe {
            let low = _mm256_and_si256(_mm256_castps_si256(floats), _mm256_set1_epi32(0xFFFF));
            let packed = _mm256_permute4x64_epi64::<0b00_00_10_00>(_mm256_packus_epi32(low, low));
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(packed));
        }
    }
}

#[cfg(test)]
impl Form {
    /// Every form of this machine, the fastest first.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        let forms = [Self::Vnni, Self::Avx512, Self::Avx2, Self::Scalar];
        forms
            .into_iter()
            .filter(|form| form.level().is_available() && (*form != Self::Vnni || Level::has_vnni()))
    }
}
