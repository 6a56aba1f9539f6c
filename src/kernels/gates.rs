//! Sigmoid and tanh as fractions, for the tail of the LSTM step: a few 1e-7 from the true value, and divided once.
//!
//! Sketch, a vector: 2^n · (1 − q(r) · r) with n = round(y), r = y − n of an exponent y: 2 operations to reduce, 1 to clamp n, 6
//! for the polynomial, and scaling; 10 where [`activation`](super::activation) needs 17 and a division, because gates
//! come as exponents of two ([`FACTORS`]), and because near saturation it keeps the digits of what is about to be rounded
//! away. With σ(x) = 1 / (1 + e^−x) and tanh(x) = (1 − e^−2x) / (1 + e^−2x), the new cell is one fraction and the new hidden
//! state another: two divisions instead of five. The clamps keep the products of divisors below 2^100, and powers from
//! being subnormal, which is slow.
//!
//! q(r) is the polynomial of degree 5 nearest to (1 − 2^r) / r on |r| ≤ ½, 2^-26 off, found by Lawson's iteration.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(clippy::many_single_char_names, reason = "the formula's own names")]

use std::f32::consts::{LN_2, LOG2_E};

use super::lanes::Lanes;

/// q(r), from the highest power down.
const Q: [f32; 6] = [-1.540_351_2e-4, -1.339_075_8e-3, -9.618_238e-3, -5.550_357_4e-2, -0.240_226_5, -LN_2];
/// σ is within 2^-30 of 0 or 1 beyond, and tanh ±1 to the last bit.
const EXPONENT_MAX: f32 = 30.0;

/// What the weights and biases of the gates i, f, g and o are multiplied by in advance: their sums x are then the exponents
/// of two of e^−x, and for g, of which tanh is taken, of e^−2x.
pub(super) const FACTORS: [f32; 4] = [-LOG2_E, -LOG2_E, -2.0 * LOG2_E, -LOG2_E];

/// The new cell and hidden state from the old cell and the gates' exponents, see [`FACTORS`]:
/// c' = σ(f) · c + σ(i) · tanh(g), h' = σ(o) · tanh(c').
#[inline(always)]
pub(super) fn update<V: Lanes>(c: V, [i, f, g, o]: [V; 4]) -> (V, V) {
    let c = cell(c, [sigmoid_divisor(i), sigmoid_divisor(f)], tanh(g));
    (c, hidden(cell_tanh(c), sigmoid_divisor(o)))
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

/// 1 / σ(x) = 1 + 2^y of y = −x · log₂ e.
#[inline(always)]
pub(super) fn sigmoid_divisor<V: Lanes>(y: V) -> V {
    let (q, r, n) = exp_2_parts(y);
    q.neg_mul_add(r, r.all(1.0)).scale(n).add(r.all(1.0))
}

/// tanh of a cell.
#[inline(always)]
pub(super) fn cell_tanh<V: Lanes>(c: V) -> Fraction<V> {
    tanh(c.mul(c.all(FACTORS[2])))
}

/// tanh(x) as 1 − e over 1 + e with e = e^−2x = 2^y. 1 − e is evaluated as one, so that small values keep their digits.
#[inline(always)]
pub(super) fn tanh<V: Lanes>(y: V) -> Fraction<V> {
    let (q, r, n) = exp_2_parts(y);
    let (p, power) = (q.mul(r), r.all(1.0).scale(n));
    let dividend = p.mul_add(power, y.all(1.0).sub(power));
    Fraction { dividend, divisor: y.all(2.0).sub(dividend) }
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
    use crate::kernels::cpu::Level;
    use crate::kernels::lanes::{self, Kernel};

    fn exact(c: f64, [i, f, g, o]: [f64; 4]) -> (f64, f64) {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let c = sigmoid(f) * c + sigmoid(i) * g.tanh();
        (c, sigmoid(o) * c.tanh())
    }

    /// Of the gates' sums.
    fn updated(c: f32, sums: [f32; 4]) -> (f32, f32) {
        let mut exponents = sums;
        exponents.iter_mut().zip(FACTORS).for_each(|(sum, factor)| *sum *= factor);
        update(c, exponents)
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
                        let found = updated(c, [i, f, g, o]);
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

    struct Updates<'a> {
        cells: &'a [f32; 16],
        exponents: &'a [[f32; 16]; 4],
        found: &'a mut [[f32; 16]; 2],
    }

    impl Kernel for Updates<'_> {
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            for at in (0..16).step_by(V::WIDTH) {
                // SAFETY: the caller promises the instructions; whole vectors are inside.
                unsafe {
                    let exponents = self.exponents.map(|gate| V::load(gate.as_ptr().add(at)));
                    let (c, h) = update(V::load(self.cells.as_ptr().add(at)), exponents);
                    c.store(self.found[0].as_mut_ptr().add(at));
                    h.store(self.found[1].as_mut_ptr().add(at));
                }
            }
        }
    }

    #[test]
    fn every_level_gives_the_same_bits_for_any_exponents() {
        let halves = [0.0, 1e-30, 0.5, 1.5, 29.5, 30.0, 30.5, 100.3, 8e6, 9e6, 1e9, f32::MAX, f32::INFINITY];
        let exponents: Vec<f32> = halves.iter().flat_map(|y| [*y, -y]).collect();
        let of = |start: usize, step: usize| {
            std::array::from_fn(|lane| exponents[(start + lane * step) % exponents.len()])
        };
        for start in 0..exponents.len() {
            let gates = [of(start, 1), of(start + 3, 3), of(start + 5, 5), of(start + 7, 7)];
            let cells = of(start, 9).map(|cell: f32| cell.clamp(-1e6, 1e6));
            let found = |level| {
                let mut found = [[0.0_f32; 16]; 2];
                lanes::run(level, Updates { cells: &cells, exponents: &gates, found: &mut found });
                found.map(|values| values.map(f32::to_bits))
            };
            for level in Level::available() {
                assert_eq!(found(level), found(Level::Scalar), "{level:?} {gates:?}");
            }
        }
    }

    #[test]
    fn small_cells_keep_their_digits() {
        let (c, h) = updated(0.0, [0.0, 0.0, 1e-5, 0.0]);
        assert!((c / 0.5e-5 - 1.0).abs() < 1e-6 && (h / 0.25e-5 - 1.0).abs() < 1e-6, "{c:e} {h:e}");
    }

    #[test]
    fn a_nan_in_any_gate_comes_out() {
        for gate in 0..4 {
            let mut sums = [0.5; 4];
            sums[gate] = f32::NAN;
            assert!(updated(0.5, sums).1.is_nan());
        }
        assert!(updated(f32::NAN, [0.5; 4]).1.is_nan());
    }
}
