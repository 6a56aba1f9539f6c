//! The step against plain loops over integers in every company and form, and against f64.

use super::*;
use crate::kernels::lstm::plain::{Plain, State, stay_near_exact, values};
use proptest::prelude::*;

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
        let plain = Plain::new(add, hidden, inputs);
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
    let plain = Plain::new(add, 5, 4);
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

#[test]
fn hidden_states_stay_near_those_of_exact_arithmetic() {
    stay_near_exact(2e-4, |hidden, weights| {
        let cell = Cell::first(Level::detect(), hidden, weights);
        let width = cell.width();
        let (mut before, mut after) = (vec![0; width], vec![0; width]);
        let (mut found, mut cells) = (vec![0.0; width], vec![0.0; width]);
        move |x| {
            let states = States { before: &before, after: &mut after, hidden: &mut found, cells: &mut cells };
            let raw = lstm::Input::Raw { values: x, stride: 1 };
            cell.step(&[Row { slot: 0, input: 0 }], Input::First(raw), states);
            std::mem::swap(&mut before, &mut after);
            found.clone()
        }
    });
}
