//! Plain loops that LSTM steps are held against, in the numbers of each, and in f64.

use super::{Weights, to_exponents};
use crate::kernels::gates::update;

/// Values that are many different roundings, the same for the same seed.
pub(in crate::kernels) fn values(seed: usize, len: usize) -> Vec<f32> {
    (0..len).map(|index| ((index * 7919 + seed * 104_729) as f32 * 0.001).sin()).collect()
}

/// `sum` plus the product of hidden states with weights, in a kernel's numbers.
pub(in crate::kernels) type Add<H> = fn(sum: f32, x: &[H], weights: &[f32]) -> f32;

/// One layer in PyTorch's layout, whose sums are exponents and whose hidden states are of type `H`.
pub(in crate::kernels) struct Plain<H> {
    pub(in crate::kernels) add: Add<H>,
    pub(in crate::kernels) hidden: usize,
    pub(in crate::kernels) inputs: usize,
    input: Vec<f32>,
    recurrent: Vec<f32>,
    bias: Vec<f32>,
}

/// Hidden and cell states of one row.
pub(in crate::kernels) struct State<'a, H> {
    pub(in crate::kernels) h: &'a [H],
    pub(in crate::kernels) c: &'a [f32],
}

impl<H> Plain<H> {
    pub(in crate::kernels) fn new(add: Add<H>, hidden: usize, inputs: usize) -> Self {
        let (input, recurrent) = (values(1, 4 * hidden * inputs), values(2, 4 * hidden * hidden));
        Self { add, hidden, inputs, input, recurrent, bias: values(3, 4 * hidden) }
    }

    pub(in crate::kernels) fn weights(&self) -> Weights<'_> {
        Weights { input: &self.input, recurrent: &self.recurrent, bias: &self.bias }
    }

    /// Cell and hidden states that a first layer's cell gives, unit by unit.
    pub(in crate::kernels) fn first(&self, x: &[f32], state: &State<'_, H>) -> Vec<(f32, f32)> {
        self.step(state, |row| add(self.bias[row], x, &self.input[row * self.inputs..][..self.inputs]))
    }

    /// The same of an upper layer's cell, which reads hidden states.
    pub(in crate::kernels) fn upper(&self, x: &[H], state: &State<'_, H>) -> Vec<(f32, f32)> {
        self.step(state, |row| (self.add)(self.bias[row], x, &self.input[row * self.inputs..][..self.inputs]))
    }

    fn step(&self, state: &State<'_, H>, first: impl Fn(usize) -> f32) -> Vec<(f32, f32)> {
        let unit = |unit: usize| {
            let sums = [0, 1, 2, 3].map(|gate| {
                let row = gate * self.hidden + unit;
                (self.add)(first(row), state.h, &self.recurrent[row * self.hidden..][..self.hidden])
            });
            update(state.c[unit], sums)
        };
        (0..self.hidden).map(unit).collect()
    }
}

/// `sum` plus the product of f32 with weights, in order.
pub(in crate::kernels) fn add(sum: f32, x: &[f32], weights: &[f32]) -> f32 {
    x.iter().zip(weights).fold(sum, |sum, (x, weight)| x.mul_add(*weight, sum))
}

/// 64 tokens of one row through PyTorch's initial weights, |w| ≤ 1/√H, in f64: `found(weights)` makes a step that takes an input
/// and gives the hidden states, which are never further than `bound` from exact ones.
pub(in crate::kernels) fn stay_near_exact<S: FnMut(&[f32]) -> Vec<f32>>(
    bound: f64,
    found: impl Fn(usize, Weights<'_>) -> S,
) {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for (hidden, seed) in [(16, 5), (64, 6), (200, 7)] {
        let scaled = |seed, len| -> Vec<f32> {
            values(seed, len).into_iter().map(|value| value / (hidden as f32).sqrt()).collect()
        };
        let recurrent = scaled(seed, 4 * hidden * hidden);
        let (input, bias) = (scaled(seed + 1, 4 * hidden), scaled(seed + 2, 4 * hidden));
        let exponents = [&input, &recurrent, &bias].map(|gates| {
            let mut gates = gates.clone();
            to_exponents(&mut gates);
            gates
        });
        let [of_input, of_hidden, of_bias] = &exponents;
        let mut step = found(hidden, Weights { input: of_input, recurrent: of_hidden, bias: of_bias });
        let (mut h, mut c) = (vec![0.0_f64; hidden], vec![0.0_f64; hidden]);
        for token in 0..64 {
            let x = [(token as f32 * 0.7).sin() * 3.0];
            let found = step(&x);
            let sum = |row: usize| {
                let products = recurrent[row * hidden..][..hidden].iter().zip(&h);
                f64::from(bias[row])
                    + f64::from(x[0]) * f64::from(input[row])
                    + products.map(|(weight, h)| f64::from(*weight) * h).sum::<f64>()
            };
            let gates: Vec<[f64; 4]> =
                (0..hidden).map(|unit| [0, 1, 2, 3].map(|gate| sum(gate * hidden + unit))).collect();
            for (unit, [i, f, g, o]) in gates.into_iter().enumerate() {
                c[unit] = sigmoid(f) * c[unit] + sigmoid(i) * g.tanh();
                h[unit] = sigmoid(o) * c[unit].tanh();
                let off = (f64::from(found[unit]) - h[unit]).abs();
                assert!(off < bound, "{hidden} units, token {token}, unit {unit}: {off:e} off");
            }
        }
    }
}
