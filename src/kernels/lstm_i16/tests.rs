//! The step against plain loops over integers in every company and form, and against f64.

use super::*;
use proptest::prelude::*;

/// Values that are many different roundings, the same for the same seed.
fn values(seed: usize, len: usize) -> Vec<f32> {
    (0..len).map(|index| ((index * 7919 + seed * 104_729) as f32 * 0.001).sin()).collect()
}

/// One layer in PyTorch's layout.
struct Plain {
    hidden: usize,
    inputs: usize,
    input: Vec<f32>,
    recurrent: Vec<f32>,
    bias: Vec<f32>,
}

/// Hidden and cell states of one row.
struct State<'a> {
    h: &'a [i16],
    c: &'a [f32],
}

impl Plain {
    fn new(hidden: usize, inputs: usize) -> Self {
        let (input, recurrent) = (values(1, 4 * hidden * inputs), values(2, 4 * hidden * hidden));
        Self { hidden, inputs, input, recurrent, bias: values(3, 4 * hidden) }
    }

    fn weights(&self) -> Weights<'_> {
        Weights { input: &self.input, recurrent: &self.recurrent, bias: &self.bias }
    }

    /// What a first layer's cell does, in plain loops.
    fn first(&self, x: &[f32], state: &State<'_>) -> Vec<(f32, f32)> {
        self.step(state, |row| {
            let weights = &self.input[row * self.inputs..][..self.inputs];
            x.iter().zip(weights).fold(self.bias[row], |sum, (x, weight)| x.mul_add(*weight, sum))
        })
    }

    /// What an upper layer's cell does.
    fn upper(&self, x: &[i16], state: &State<'_>) -> Vec<(f32, f32)> {
        self.step(state, |row| add(self.bias[row], x, &self.input[row * self.inputs..][..self.inputs]))
    }

    fn step(&self, state: &State<'_>, first: impl Fn(usize) -> f32) -> Vec<(f32, f32)> {
        let unit = |unit: usize| {
            let sums = [0, 1, 2, 3].map(|gate| {
                let row = gate * self.hidden + unit;
                add(first(row), state.h, &self.recurrent[row * self.hidden..][..self.hidden])
            });
            update(state.c[unit], sums)
        };
        (0..self.hidden).map(unit).collect()
    }
}

/// The format as its file states it, in f64 and i64.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the integers are within 16 bits; scales are rounded to f32"
)]
fn add(sum: f32, x: &[i16], weights: &[f32]) -> f32 {
    let block_sum = |block: &[f32]| block.iter().map(|weight| f64::from(weight.abs())).sum::<f64>();
    let largest = weights.iter().map(|weight| f64::from(weight.abs())).fold(0.0, f64::max);
    let heaviest = weights.chunks(256).map(block_sum).fold(0.0, f64::max);
    let scale = (largest / 32_767.0).max(heaviest / (262_143.0 - 128.0));
    x.chunks(256).zip(weights.chunks(256)).fold(sum, |sum, (x, weights)| {
        let products = x
            .iter()
            .zip(weights)
            .map(|(x, weight)| i64::from(*x) * i64::from((f64::from(*weight) / scale).round() as i32));
        (products.sum::<i64>() as f32).mul_add((scale / 8192.0) as f32, sum)
    })
}

fn fixed(values: &[f32]) -> Vec<i16> {
    values.iter().map(|value| quantise(*value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Every height of tile, every tail, more inputs than one block, any neighbours, every kind of input, every form:
    /// always the bits of plain loops over one row.
    #[test]
    fn a_row_has_the_bits_of_plain_loops_in_any_company(
        rows in 1_usize..20, hidden in prop_oneof![9 => 1_usize..50, 1 => 250_usize..270],
        inputs in prop_oneof![9 => 1_usize..20, 1 => 255_usize..260], seed in 0_usize..1000,
    ) {
        let plain = Plain::new(hidden, inputs);
        let tokens = 7;
        let x = values(seed, tokens * inputs);
        let stride = inputs.next_multiple_of(2) + 2;
        let mut below = vec![0; tokens * stride];
        for (below, x) in below.chunks_exact_mut(stride).zip(x.chunks_exact(inputs)) {
            quantise_all(x, &mut below[..inputs]);
        }
        for form in Form::available() {
            let first = Cell::packed(form, hidden, plain.weights(), None);
            let upper = Cell::above(form, hidden, plain.weights());
            let (folded, width) = (first.fold(&x), first.width());
            // States above the hidden units are 0, as a step leaves them.
            let states = |seed| -> Vec<f32> {
                let values = values(seed, rows * width);
                values.iter().enumerate().map(|(at, h)| if at % width < hidden { *h } else { 0.0 }).collect()
            };
            let (h, c) = (fixed(&states(seed + 1)), states(seed + 2));
            // Slots in another order than rows.
            let place = |row: usize| Row { slot: rows - 1 - row, input: (row * 3 + seed) % tokens };
            let batch: Vec<Row> = (0..rows).map(place).collect();
            let cases = [
                (&first, Input::First(lstm::Input::Folded(&folded))),
                (&first, Input::First(lstm::Input::Raw { values: &x, stride: inputs })),
                (&upper, Input::Hidden { values: &below, stride }),
            ];
            for (cell, input) in cases {
                // What was there before is written over.
                let mut after: Vec<i16> = h.iter().map(|h| h.wrapping_mul(3)).collect();
                let (mut after_f32, mut cells) = (vec![f32::NAN; rows * width], c.clone());
                let states =
                    States { before: &h, after: &mut after, hidden: &mut after_f32, cells: &mut cells };
                cell.step(&batch, input, states);
                for row in &batch {
                    let at = row.slot * width;
                    let state = State { h: &h[at..][..hidden], c: &c[at..] };
                    let expected = match input {
                        Input::First(_) => plain.first(&x[row.input * inputs..][..inputs], &state),
                        Input::Hidden { .. } => plain.upper(&below[row.input * stride..][..inputs], &state),
                    };
                    for (unit, (c, h)) in expected.into_iter().enumerate() {
                        prop_assert_eq!(cells[at + unit].to_bits(), c.to_bits(), "{:?} {:?}", form, row);
                        prop_assert_eq!(after_f32[at + unit].to_bits(), h.to_bits(), "{:?} {:?}", form, row);
                        prop_assert_eq!(after[at + unit], quantise(h), "{:?} {:?}", form, row);
                    }
                    prop_assert!(after[at..][hidden..width].iter().all(|h| *h == 0), "{:?}", form);
                }
            }
        }
    }
}

#[test]
fn a_cell_reads_the_inputs_of_its_kind_only() {
    let plain = Plain::new(5, 4);
    let hidden = Input::Hidden { values: &[0; 4], stride: 4 };
    let raw = Input::First(lstm::Input::Raw { values: &[0.0; 4], stride: 4 });
    let cells = [
        (Cell::first(Level::detect(), 5, plain.weights()), hidden),
        (Cell::upper(Level::detect(), 5, plain.weights()), raw),
    ];
    for (cell, input) in cells {
        let step = std::panic::catch_unwind(|| {
            let (mut after, mut hidden, mut cells) = ([0; 16], [0.0; 16], [0.0; 16]);
            let states =
                States { before: &[0; 16], after: &mut after, hidden: &mut hidden, cells: &mut cells };
            cell.step(&[Row { slot: 0, input: 0 }], input, states);
        });
        assert!(step.is_err());
    }
}

/// 64 tokens through PyTorch's initial weights, |w| ≤ 1/√H, in f64 and in 16 bits: hidden states stay within 2e-4.
#[test]
fn hidden_states_stay_near_those_of_exact_arithmetic() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for (hidden, seed) in [(16, 5), (64, 6), (200, 7)] {
        let scaled = |seed, len| -> Vec<f32> {
            values(seed, len).into_iter().map(|value| value / (hidden as f32).sqrt()).collect()
        };
        let recurrent = scaled(seed, 4 * hidden * hidden);
        let (input, bias) = (scaled(seed + 1, 4 * hidden), scaled(seed + 2, 4 * hidden));
        let weights = Weights { input: &input, recurrent: &recurrent, bias: &bias };
        let cell = Cell::first(Level::detect(), hidden, weights);
        let width = cell.width();
        let (mut before, mut after) = (vec![0; width], vec![0; width]);
        let (mut found, mut cells) = (vec![0.0; width], vec![0.0; width]);
        let (mut h, mut c) = (vec![0.0_f64; hidden], vec![0.0_f64; hidden]);
        for token in 0..64 {
            let x = [(token as f32 * 0.7).sin() * 3.0];
            let states = States { before: &before, after: &mut after, hidden: &mut found, cells: &mut cells };
            let raw = lstm::Input::Raw { values: &x, stride: 1 };
            cell.step(&[Row { slot: 0, input: 0 }], Input::First(raw), states);
            std::mem::swap(&mut before, &mut after);
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
                assert!(off < 2e-4, "{hidden} units, token {token}, unit {unit}: {off:e} off");
            }
        }
    }
}
