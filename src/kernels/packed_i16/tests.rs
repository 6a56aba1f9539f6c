//! The format's promises: no sum can overflow, and errors stay below the stated bound.

use super::*;
use proptest::prelude::*;

fn packed(rows: &[Vec<f32>]) -> PackedI16 {
    let columns = rows.len().next_multiple_of(VECTORS * Form::Scalar.level().lanes());
    PackedI16::new(Form::Scalar, [columns, rows[0].len()], |column| rows.get(column).map(Vec::as_slice))
}

/// A column's integers, in the order of the inputs.
fn integers(matrix: &PackedI16, column: usize) -> Vec<i64> {
    let width = VECTORS * Form::Scalar.level().lanes();
    let at =
        |input: usize| column / width * matrix.panel + column % width * 2 + input / 2 * width * 2 + input % 2;
    (0..matrix.inputs).map(|input| i64::from(matrix.weights[at(input)])).collect()
}

/// Rows that press against the bounds: all alike, one far above the others, only one, the largest f32, the smallest.
fn rows(inputs: usize) -> Vec<Vec<f32>> {
    let shapes: [fn(usize) -> f32; 8] = [
        |_| 0.73,
        |input| if input.is_multiple_of(2) { 0.1 } else { -0.1 },
        |input| if input == 0 { 9.0 } else { 1e-3 },
        |input| if input == 0 { -1.0 } else { 0.0 },
        |_| 0.0,
        |_| f32::MAX,
        |_| f32::from_bits(1),
        |input| ((input * 7919) as f32 * 0.001).sin(),
    ];
    shapes.iter().map(|shape| (0..inputs).map(shape).collect()).collect()
}

#[test]
fn no_part_of_a_sum_can_overflow() {
    for inputs in [1, 2, 3, 64, 255, 256, 257, 600] {
        let rows = rows(inputs);
        let matrix = packed(&rows);
        for (column, row) in rows.iter().enumerate() {
            for block in integers(&matrix, column).chunks(BLOCK) {
                let weight: i64 = block.iter().map(|weight| weight.abs()).sum();
                assert!(weight * 8192 <= i64::from(i32::MAX), "{inputs} inputs, row {column}: {weight}");
                assert!(block.iter().all(|weight| weight.abs() <= 32_767));
            }
            // The largest inputs there are, each with the sign that adds: the scalar twin panics on overflow.
            let x: Vec<i16> = row.iter().map(|weight| quantise(weight.signum())).collect();
            let found = matrix.accumulate_scalar(column, &x, 0.0);
            let exact: f64 = row.iter().map(|weight| f64::from(weight.abs())).sum();
            let near = (f64::from(found) - exact).abs() <= scale(row) / 2.0 * inputs as f64 + exact * 1e-6;
            assert!(
                near || exact < 1e-37 || exact >= f64::from(f32::MAX),
                "{inputs} inputs: {found} {exact}"
            );
        }
    }
}

#[test]
fn the_scale_is_the_smallest_that_the_bounds_allow() {
    for inputs in [1, 64, 256, 600] {
        let rows = rows(inputs);
        let matrix = packed(&rows);
        for (column, row) in
            rows.iter().enumerate().filter(|(_, row)| row.iter().any(|weight| *weight != 0.0))
        {
            let integers = integers(&matrix, column);
            let heaviest =
                integers.chunks(BLOCK).map(|block| block.iter().map(|w| w.abs()).sum::<i64>()).max();
            let largest = integers.iter().map(|weight| weight.abs()).max();
            assert!(heaviest > Some(261_000) || largest == Some(32_767), "{inputs} inputs: {row:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The bound of the file's head, and a little for the roundings of f32.
    #[test]
    fn an_output_is_within_the_stated_bound_of_exact_arithmetic(
        (row, x) in (1_usize..600).prop_flat_map(|inputs| (
            prop::collection::vec(-1.0_f32..1.0, inputs), prop::collection::vec(-1.0_f32..1.0, inputs),
        )),
        exponent in -8_i32..4,
    ) {
        let row: Vec<f32> = row.into_iter().map(|weight| weight * 2.0_f32.powi(exponent)).collect();
        let fixed: Vec<i16> = x.iter().map(|x| quantise(*x)).collect();
        let found = packed(std::slice::from_ref(&row)).accumulate_scalar(0, &fixed, 0.0);
        let sum = |of: &dyn Fn(f32, f32) -> f32| -> f64 { row.iter().zip(&x).map(|(w, x)| f64::from(of(*w, *x))).sum() };
        let exact: f64 = row.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
        let (weights, inputs) = (sum(&|w, _| w.abs()), sum(&|_, x| x.abs()));
        let bound = weights / 16_384.0 + (scale(&row) / 2.0) * (inputs + row.len() as f64 / 16_384.0) + weights * 1e-6;
        prop_assert!((f64::from(found) - exact).abs() <= bound, "{found} {exact} {bound}");
    }

    #[test]
    fn a_hidden_state_becomes_the_nearest_integer(h in -1.0_f32..=1.0) {
        let exact = (f64::from(h) * 8192.0).round_ties_even();
        prop_assert_eq!(f64::from(quantise(h)).to_bits(), (exact + 0.0).to_bits());
    }
}

#[test]
fn a_hidden_state_is_bounded_whatever_it_is() {
    let cases = [
        (1.0, 8192),
        (1.000_001, 8192),
        (f32::INFINITY, 8192),
        (f32::NEG_INFINITY, -8192),
        (f32::NAN, -8192),
        (-1e-30, 0),
        (0.5 / 8192.0, 0),
        (-1.5 / 8192.0, -2),
    ];
    for (h, expected) in cases {
        assert_eq!(quantise(h), expected, "{h}");
    }
}
