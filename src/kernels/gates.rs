//! Sigmoid and tanh as fractions, for the tail of the LSTM step: a few 1e-7 from the true value, and divided once.
//!
//! Sketch, a vector: 2^n · (1 − q(r) · r) with n = round(y), r = y − n in powers of two: a multiplication, 2 to reduce, 1 to
//! clamp n, 6 for the polynomial, and scaling; 11 operations where [`activation`](super::activation) needs 17 and a
//! division, because near saturation it keeps the digits of what is about to be rounded away. With σ(x) = 1 / (1 + e^−x)
//! and tanh(x) = (1 − e^−2x) / (1 + e^−2x), the new cell is one fraction and the new hidden state another: two divisions
//! instead of five. The clamps keep the products of divisors below 2^100, and powers from being subnormal, which is slow.
//!
//! q(r) is the polynomial of degree 5 nearest to (1 − 2^r) / r on |r| ≤ ½, 2^-26 off, found by Lawson's iteration.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(clippy::many_single_char_names, reason = "the formula's own names")]

use super::lanes::Lanes;

/// q(r), from the highest power down.
const Q: [f32; 6] =
    [-1.540_351_2e-4, -1.339_075_8e-3, -9.618_238e-3, -5.550_357_4e-2, -0.240_226_5, -std::f32::consts::LN_2];
/// σ is within 2^-30 of 0 or 1 beyond, and tanh ±1 to the last bit.
const EXPONENT_MAX: f32 = 30.0;

/// The new cell and hidden state from the old cell and the gates' sums:
/// c' = σ(f) · c + σ(i) · tanh(g), h' = σ(o) · tanh(c').
#[inline(always)]
pub(super) fn update<V: Lanes>(c: V, [i, f, g, o]: [V; 4]) -> (V, V) {
    let c = cell(c, [sigmoid_divisor(i), sigmoid_divisor(f)], tanh(g));
    (c, hidden(tanh(c), sigmoid_divisor(o)))
}

/// A number that is still to be divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fraction<V> {
    pub(super) dividend: V,
    pub(super) divisor: V,
}

/// The new cell from the old one, 1 / σ of the sums of the input and the forget gate, and tanh of the third.
#[inline(always)]
pub(super) fn cell<V: Lanes>(c: V, [input, forget]: [V; 2], g: Fraction<V>) -> V {
    let divisor = g.divisor.mul(input);
    c.mul_add(divisor, g.dividend.mul(forget)).div(divisor.mul(forget))
}

/// The new hidden state from tanh of the new cell and 1 / σ of the sum of the output gate.
#[inline(always)]
pub(super) fn hidden<V: Lanes>(cell: Fraction<V>, output: V) -> V {
    cell.dividend.div(cell.divisor.mul(output))
}

/// 1 / σ(x) = 1 + e^−x.
#[inline(always)]
pub(super) fn sigmoid_divisor<V: Lanes>(x: V) -> V {
    let (q, r, n) = exp_2_parts(x.mul(x.all(-std::f32::consts::LOG2_E)));
    q.neg_mul_add(r, r.all(1.0)).scale(n).add(r.all(1.0))
}

/// tanh(x) as 1 − e over 1 + e with e = e^−2x. 1 − e is evaluated as one, so that small values keep their digits.
#[inline(always)]
pub(super) fn tanh<V: Lanes>(x: V) -> Fraction<V> {
    let (q, r, n) = exp_2_parts(x.mul(x.all(-2.0 * std::f32::consts::LOG2_E)));
    let (p, power) = (q.mul(r), r.all(1.0).scale(n));
    let dividend = p.mul_add(power, x.all(1.0).sub(power));
    Fraction { dividend, divisor: x.all(2.0).sub(dividend) }
}

/// 2^y as q, r and n: 2^y = (1 − q · r) · 2^n, n within ±[`EXPONENT_MAX`].
#[inline(always)]
fn exp_2_parts<V: Lanes>(y: V) -> (V, V, V) {
    let (n, r) = y.split_within(y.all(EXPONENT_MAX));
    let q = r.all(Q[0]).mul_add(r, r.all(Q[1])).mul_add(r, r.all(Q[2])).mul_add(r, r.all(Q[3]));
    (q.mul_add(r, r.all(Q[4])).mul_add(r, r.all(Q[5])), r, n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(c: f64, [i, f, g, o]: [f64; 4]) -> (f64, f64) {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let c = sigmoid(f) * c + sigmoid(i) * g.tanh();
        (c, sigmoid(o) * c.tanh())
    }

    #[test]
    fn states_are_near_the_true_ones_from_the_smallest_to_the_largest_sums() {
        let sums =
            [0.0, 1e-30, 1e-6, 1e-3, 0.1, 0.5, 1.0, 2.5, 7.0, 15.0, 40.0, 1e4, f32::MAX, f32::INFINITY];
        let signed: Vec<f32> = sums.iter().flat_map(|x| [*x, -x]).collect();
        for &i in &signed {
            for &f in &signed {
                for &g in &signed {
                    for (o, c) in [(f, 0.3), (i, -1.7), (g, 0.0), (-g, 90.0), (-i, -1e4), (-f, 2e-7)] {
                        let found = update::<f32>(c, [i, f, g, o]);
                        let exact = exact(f64::from(c), [i, f, g, o].map(f64::from));
                        let bound = 5e-7 * f64::from(c).abs().max(1.0);
                        assert!(
                            (f64::from(found.0) - exact.0).abs() < bound,
                            "c {c}: {i} {f} {g} {o}: {found:?}"
                        );
                        assert!(
                            (f64::from(found.1) - exact.1).abs() < bound,
                            "c {c}: {i} {f} {g} {o}: {found:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn small_cells_keep_their_digits() {
        let (c, h) = update::<f32>(0.0, [0.0, 0.0, 1e-5, 0.0]);
        assert!((c / 0.5e-5 - 1.0).abs() < 1e-6 && (h / 0.25e-5 - 1.0).abs() < 1e-6, "{c:e} {h:e}");
    }

    #[test]
    fn a_nan_in_any_gate_comes_out() {
        for gate in 0..4 {
            let mut sums = [0.5; 4];
            sums[gate] = f32::NAN;
            assert!(update::<f32>(0.5, sums).1.is_nan());
        }
        assert!(update::<f32>(f32::NAN, [0.5; 4]).1.is_nan());
    }
}
