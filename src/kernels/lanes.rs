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

use super::cpu::Level;

#[cfg(target_arch = "x86_64")]
mod x86;

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
        unsafe { kernel.run::<std::arch::x86_64::__m512>() }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(kernel: impl Kernel) {
        // SAFETY: as above.
        unsafe { kernel.run::<std::arch::x86_64::__m256>() }
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
    /// The nearest whole number, ties to even, cut to ±`most`, and what the number itself leaves of `self`: at most ½, 0 of an
    /// infinity. Both are NaN, or the second alone, of NaN. `most` is positive, and at most 2²³.
    #[inline(always)]
    fn split_within(self, most: Self) -> (Self, Self) {
        // From 2^23 on all are whole.
        let end = self.all(8_388_608.0);
        let near = self.all(-8_388_608.0).max(end.min(self));
        let whole = near.round();
        (self.all(0.0).sub(most).max(most.min(whole)), near.sub(whole))
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
    fn split_within(self, most: Self) -> (Self, Self) {
        let (mut whole, mut rest) = (self, self);
        for vector in 0..N {
            (whole[vector], rest[vector]) = self[vector].split_within(most[vector]);
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
