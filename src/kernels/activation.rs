//! exp, sigmoid and tanh, at most 4 ulp from the true value for every f32; NaN stays NaN.
//!
//! Sketch, a value: exp is 2^n · e^r with n = round(x · log2 e) and |r| ≤ ln 2 / 2: two multiply-adds reduce (ln 2 in
//! two parts), six evaluate e^r as 1 + r + r² · q(r), one scales by 2^n; 12 operations with clamping. Sigmoid and
//! tanh add a division each. Everything stays in registers; a pass over memory is bound by the division.
//!
//! q is the polynomial of degree 4 with the smallest largest relative error of e^r, 2^-28, found by Lawson's
//! iteration. The scalar twin is the same source with one lane.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use super::cpu::Level;
use super::lanes::{self, Kernel, Lanes};

/// q, from the highest power down: (e^r − 1 − r) / r².
const Q: [f32; 5] = [0.001_381_454, 0.008_368_745, 0.041_668_39, 0.166_665_2, 0.499_999_93];
/// ln 2 in two parts: the first has few enough bits that n times it is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// e^x is infinite above and 0 below.
const EXP_MAX: f32 = 89.0;
const EXP_MIN: f32 = -104.0;
/// tanh(16) is 1 to the last bit.
const TANH_MAX: f32 = 16.0;

/// Replaces every value by e^value.
pub fn exp(level: Level, values: &mut [f32]) {
    lanes::run(level, Map { values, operation: Exp });
}

/// Replaces every value by 1 / (1 + e^−value).
pub fn sigmoid(level: Level, values: &mut [f32]) {
    lanes::run(level, Map { values, operation: Sigmoid });
}

/// Replaces every value by its hyperbolic tangent.
pub fn tanh(level: Level, values: &mut [f32]) {
    lanes::run(level, Map { values, operation: Tanh });
}

/// n and r of x = n · ln 2 + r.
#[inline(always)]
fn reduce<V: Lanes>(x: V) -> (V, V) {
    let n = x.mul(x.all(std::f32::consts::LOG2_E)).round();
    (n, n.mul_add(x.all(-LN_2_LOW), n.mul_add(x.all(-LN_2_HIGH), x)))
}

/// e^r − 1 for |r| ≤ ln 2 / 2.
#[inline(always)]
fn exp_minus_1_near_0<V: Lanes>(r: V) -> V {
    let q = r.all(Q[0]).mul_add(r, r.all(Q[1])).mul_add(r, r.all(Q[2])).mul_add(r, r.all(Q[3]));
    let q = q.mul_add(r, r.all(Q[4]));
    q.mul_add(r.mul(r), r)
}

/// e^x, for a vector in registers.
#[inline(always)]
pub(super) fn exp_of<V: Lanes>(x: V) -> V {
    // NaN passes both: each of them gives its second operand then.
    let x = x.all(EXP_MIN).max(x.all(EXP_MAX).min(x));
    let (n, r) = reduce(x);
    exp_minus_1_near_0(r).add(x.all(1.0)).scale(n)
}

/// Sigmoid, for a vector in registers: e / (1 + e) for negative values, which keeps their tiny results exact.
#[inline(always)]
pub(super) fn sigmoid_of<V: Lanes>(x: V) -> V {
    let one = x.all(1.0);
    let e = exp_of(x.copy_sign(x.all(-1.0)));
    x.if_negative(e, one).div(one.add(e))
}

/// Hyperbolic tangent, for a vector in registers: with e = e^(−2|x|) it is ±(1 − e) / (1 + e), where e − 1 is evaluated
/// as one so that small values keep their digits.
#[inline(always)]
pub(super) fn tanh_of<V: Lanes>(x: V) -> V {
    let magnitude = x.all(TANH_MAX).min(x.copy_sign(x.all(1.0)));
    let (n, r) = reduce(magnitude.mul(x.all(-2.0)));
    let power = x.all(1.0).scale(n);
    let e_minus_1 = exp_minus_1_near_0(r).mul_add(power, power.sub(x.all(1.0)));
    e_minus_1.div(e_minus_1.add(x.all(2.0))).copy_sign(x)
}

trait Operation: Copy {
    fn apply<V: Lanes>(self, x: V) -> V;
}

macro_rules! operations {
    ($($name:ident = $function:ident;)*) => {$(
        #[derive(Clone, Copy)]
        struct $name;

        impl Operation for $name {
            #[inline(always)]
            fn apply<V: Lanes>(self, x: V) -> V {
                $function(x)
            }
        }
    )*};
}

operations! {
    Exp = exp_of;
    Sigmoid = sigmoid_of;
    Tanh = tanh_of;
}

/// An operation over every value of a slice.
struct Map<'a, O> {
    values: &'a mut [f32],
    operation: O,
}

impl<O: Operation> Kernel for Map<'_, O> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let mut whole = self.values.chunks_exact_mut(V::WIDTH);
        for values in &mut whole {
            // SAFETY: the machine has the instructions; `values` is one vector long.
            unsafe { self.operation.apply(V::load(values.as_ptr())).store(values.as_mut_ptr()) }
        }
        for value in whole.into_remainder() {
            *value = self.operation.apply(*value);
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::float_cmp, reason = "the nearest f32; limits are exact")]
mod tests {
    use super::*;

    type Case = (&'static str, fn(Level, &mut [f32]), fn(f64) -> f64);

    const CASES: [Case; 3] = [
        ("exp", exp, f64::exp),
        ("sigmoid", sigmoid, |x| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }),
        ("tanh", tanh, f64::tanh),
    ];

    /// Distance in units of the last place of the true value, counted from its exact position.
    fn ulp(found: f32, exact: f64) -> f64 {
        let nearest = exact as f32;
        if found.to_bits() == nearest.to_bits() || (found.is_infinite() && found == nearest) {
            return 0.0;
        }
        let exponent = f64::from(nearest.abs()).max(f64::from(f32::MIN_POSITIVE)).log2().floor();
        (f64::from(found) - exact).abs() / (exponent - 23.0).exp2()
    }

    /// The worst error over every `stride`-th bit pattern, and that all levels agree to the bit.
    fn worst((name, function, exact): Case, stride: usize) -> f64 {
        let mut worst = 0.0_f64;
        let patterns: Vec<u32> = (0..=u32::MAX).step_by(1 << 16).collect();
        for first in patterns {
            let inputs: Vec<f32> = (first..=first | 0xFFFF).step_by(stride).map(f32::from_bits).collect();
            let outputs = Level::available().map(|level| {
                let mut values = inputs.clone();
                function(level, &mut values);
                values
            });
            let outputs: Vec<_> = outputs.collect();
            for (index, &x) in inputs.iter().enumerate() {
                let found = outputs[0][index];
                for other in &outputs[1..] {
                    let same =
                        other[index].to_bits() == found.to_bits() || found.is_nan() && other[index].is_nan();
                    assert!(same, "{name}({x:e}): {found:e} and {:e}", other[index]);
                }
                if x.is_nan() {
                    assert!(found.is_nan(), "{name}(NaN) = {found}");
                } else {
                    let error = ulp(found, exact(f64::from(x)));
                    assert!(error <= 4.0, "{name}({x:e}) = {found:e}, {error} ulp off");
                    worst = worst.max(error);
                }
            }
        }
        worst
    }

    #[test]
    fn errors_are_bounded_and_levels_agree_on_a_sample() {
        for case in CASES {
            assert!(worst(case, 4093) > 0.0);
        }
    }

    #[test]
    #[ignore = "every f32, minutes even when optimised: cargo test --release -- --ignored every_f32"]
    fn errors_are_bounded_and_levels_agree_on_every_f32() {
        for case in CASES {
            let name = case.0;
            let worst = worst(case, 1);
            assert!(worst <= 4.0, "{name}: {worst} ulp");
        }
    }

    #[test]
    fn ends_of_the_line_have_their_limits() {
        for level in Level::available() {
            let of = |function: fn(Level, &mut [f32]), x: f32| {
                let mut values = [x; 19];
                function(level, &mut values);
                assert!(values.iter().all(|value| value.to_bits() == values[0].to_bits()), "{level:?} {x}");
                values[0]
            };
            assert_eq!(of(exp, f32::INFINITY), f32::INFINITY);
            assert_eq!(of(exp, f32::NEG_INFINITY), 0.0);
            assert_eq!(of(exp, 0.0), 1.0);
            assert_eq!(of(sigmoid, f32::INFINITY), 1.0);
            assert_eq!(of(sigmoid, f32::NEG_INFINITY), 0.0);
            assert_eq!(of(sigmoid, 0.0), 0.5);
            assert_eq!(of(tanh, f32::INFINITY), 1.0);
            assert_eq!(of(tanh, f32::NEG_INFINITY), -1.0);
            assert_eq!(of(tanh, -0.0).to_bits(), (-0.0_f32).to_bits());
        }
    }

    #[test]
    fn every_tail_length_is_the_same_value_by_value() {
        for level in Level::available() {
            for (name, function, _) in CASES {
                for len in 0..50 {
                    let inputs: Vec<f32> = (0..len).map(|index| (index as f32 - 20.0) * 0.37).collect();
                    let mut values = inputs.clone();
                    function(level, &mut values);
                    for (x, found) in inputs.into_iter().zip(values) {
                        let mut alone = [x];
                        function(level, &mut alone);
                        assert_eq!(found.to_bits(), alone[0].to_bits(), "{name} {level:?} {len}");
                    }
                }
            }
        }
    }
}
