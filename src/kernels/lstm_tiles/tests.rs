//! The step against plain loops over integers in every company, and against f64.

use std::sync::Arc;

use super::*;
use crate::kernels::crew::{Ahead, Crew};
use crate::kernels::lstm::plain::{Add, Plain, State, stay_near_exact, values};
use crate::kernels::packed_bf16::{PackedBf16, nearest};
use crate::kernels::packed_i24::PackedI24;
use proptest::prelude::*;

/// With tiles where the machine has them, and without vectors.
fn levels() -> impl Iterator<Item = Level> {
    [Level::Amx, Level::Scalar].into_iter().filter(|level| level.is_available())
}

/// 24-bit fixed point as its file states it, in f64 and i64.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the integers are within 24 bits; scales are rounded to f32"
)]
fn add_i24(sum: f32, x: &[f32], weights: &[f32]) -> f32 {
    const ONE: f64 = 127.0 * 65_536.0;
    let largest = weights.iter().map(|weight| f64::from(weight.abs())).fold(0.0, f64::max);
    let scale = largest / ONE;
    let mut sums = [0_i64; 3];
    for (x, weight) in x.iter().zip(weights) {
        let k = digits((f64::from(*weight) / scale).round() as i64);
        let j = digits((f64::from(x.clamp(-1.0, 1.0) * ONE as f32)).round_ties_even() as i64);
        for (magnitude, sum) in sums.iter_mut().enumerate() {
            *sum += (0..=magnitude).map(|digit| k[digit] * j[magnitude - digit]).sum::<i64>();
        }
    }
    let [first, second, third] = sums.map(|sum| sum as f32);
    let base = 1.0 / 256.0;
    let total = third.mul_add(base, second).mul_add(base, first);
    total.mul_add((scale * 65_536.0 * 65_536.0 / ONE) as f32, sum)
}

/// bfloat16 as its file states it.
fn add_bf16(sum: f32, x: &[f32], weights: &[f32]) -> f32 {
    let mut total = 0.0_f32;
    for (x, weights) in x.chunks(32).zip(weights.chunks(32)) {
        let mut parts = [0.0_f32; 2];
        for (place, (x, weight)) in x.iter().zip(weights).enumerate() {
            parts[place % 2] = nearest(x.clamp(-1.0, 1.0)).mul_add(nearest(*weight), parts[place % 2]);
        }
        total += parts[0] + parts[1];
    }
    total + sum
}

/// k₂, k₁, k₀ of k = k₂ · 2¹⁶ + k₁ · 2⁸ + k₀, each of −128 to 127.
fn digits(integer: i64) -> [i64; 3] {
    let low = (integer + 128).rem_euclid(256) - 128;
    let rest = (integer - low) / 256;
    let middle = (rest + 128).rem_euclid(256) - 128;
    [(rest - middle) / 256, middle, low]
}

/// What a property is held against.
#[derive(Clone, Copy, Debug)]
struct Company {
    rows: usize,
    hidden: usize,
    inputs: usize,
    seed: usize,
}

fn company() -> impl Strategy<Value = Company> {
    let width = || prop_oneof![9 => 1_usize..50, 1 => 60_usize..140];
    (1_usize..40, width(), width(), 0_usize..1000).prop_map(|(rows, hidden, inputs, seed)| Company {
        rows,
        hidden,
        inputs,
        seed,
    })
}

/// Every height of tile, every tail, more than one block of inputs, any neighbours, every kind of input, with tiles and
/// without: always the bits of plain loops over one row.
fn has_the_bits_of_plain_loops<M: TileMatrix>(add: Add<f32>, company: Company) -> Result<(), TestCaseError> {
    let Company { rows, hidden, inputs, seed } = company;
    let plain = Plain::new(add, hidden, inputs);
    let tokens = 7;
    let x = values(seed, tokens * inputs);
    for level in levels() {
        let first = Cell::<M>::first(level, hidden, plain.weights());
        let upper = Cell::<M>::upper(level, hidden, plain.weights());
        let (folded, width) = (first.fold(&x), first.width());
        // States above the hidden units are 0, as a step leaves them.
        let states = |seed| -> Vec<f32> {
            let values = values(seed, rows * width);
            values.iter().enumerate().map(|(at, h)| if at % width < hidden { *h } else { 0.0 }).collect()
        };
        let (h, c) = (states(seed + 1), states(seed + 2));
        // Slots in another order than rows.
        let place = |row: usize| Row { slot: rows - 1 - row, input: (row * 3 + seed) % tokens };
        let batch: Vec<Row> = (0..rows).map(place).collect();
        let raw = Input::Raw { values: &x, stride: inputs };
        let mut scratch = Scratch::default();
        upper.reserve(rows, &mut scratch);
        for (cell, input) in [(&first, Input::Folded(&folded)), (&first, raw), (&upper, raw)] {
            let (mut after, mut cells) = (vec![f32::NAN; rows * width], c.clone());
            let states = States { before: &h, after: &mut after, cells: &mut cells };
            cell.step_with((&mut Team::default(), &mut scratch), (&batch, input), states);
            for row in &batch {
                let at = row.slot * width;
                let state = State { h: &h[at..][..hidden], c: &c[at..] };
                let x = &x[row.input * inputs..][..inputs];
                let expected =
                    if cell.below.is_some() { plain.upper(x, &state) } else { plain.first(x, &state) };
                for (unit, (c, h)) in expected.into_iter().enumerate() {
                    prop_assert_eq!(cells[at + unit].to_bits(), c.to_bits(), "{:?} {:?}", level, row);
                    prop_assert_eq!(after[at + unit].to_bits(), h.to_bits(), "{:?} {:?}", level, row);
                }
                prop_assert!(after[at..][hidden..width].iter().all(|h| *h == 0.0), "{:?}", level);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_row_in_24_bits_has_the_bits_of_plain_loops_in_any_company(company in company()) {
        has_the_bits_of_plain_loops::<PackedI24>(add_i24, company)?;
    }

    #[test]
    fn a_row_in_bfloat16_has_the_bits_of_plain_loops_in_any_company(company in company()) {
        has_the_bits_of_plain_loops::<PackedBf16>(add_bf16, company)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Whoever computes a panel, and whenever helpers come and go: the bits of one thread.
    #[test]
    fn a_team_gives_the_bits_of_one_thread(
        rows in 1_usize..20, hidden in 100_usize..200, helpers in 1_usize..4,
        steps in prop::collection::vec(0_usize..4, 1..10),
    ) {
        let plain = Plain::new(add_i24, hidden, 3);
        let x = values(5, 7 * 3);
        let Some(level) = levels().next() else { return Ok(()) };
        let cell = Cell::<PackedI24>::first(level, hidden, plain.weights());
        let width = cell.width();
        let mut scratch = Scratch::default();
        cell.reserve(rows, &mut scratch);
        let mut team = Team::of(Arc::new(Crew::new(helpers, 0)));
        let (mut h, mut c) = (values(6, rows * width), values(7, rows * width));
        for (step, lent) in steps.iter().enumerate() {
            team.lend(*lent);
            team.call(|| Ahead { each: usize::MAX, all: usize::MAX });
            let batch: Vec<Row> = (0..rows).map(|slot| Row { slot, input: (slot + step) % 7 }).collect();
            let input = Input::Raw { values: &x, stride: 3 };
            let [alone, together] = [&mut Team::default(), &mut team].map(|team| {
                let (mut after, mut cells) = (vec![0.0; rows * width], c.clone());
                let states = States { before: &h, after: &mut after, cells: &mut cells };
                cell.step_with((team, &mut scratch), (&batch, input), states);
                (after, cells)
            });
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&alone.0), bits(&together.0));
            prop_assert_eq!(bits(&alone.1), bits(&together.1));
            (h, c) = together;
        }
    }
}

fn stays_near_exact<M: TileMatrix>(bound: f64) {
    for level in levels() {
        stay_near_exact(bound, |hidden, weights| {
            let cell = Cell::<M>::first(level, hidden, weights);
            let width = cell.width();
            let mut scratch = Scratch::default();
            cell.reserve(1, &mut scratch);
            let (mut before, mut after) = (vec![0.0; width], vec![0.0; width]);
            let mut cells = vec![0.0; width];
            move |x| {
                let states = States { before: &before, after: &mut after, cells: &mut cells };
                let input = Input::Raw { values: x, stride: 1 };
                let batch = [Row { slot: 0, input: 0 }];
                cell.step_with((&mut Team::default(), &mut scratch), (&batch, input), states);
                std::mem::swap(&mut before, &mut after);
                before.clone()
            }
        });
    }
}

#[test]
fn hidden_states_in_24_bits_stay_as_near_to_exact_ones_as_in_f32() {
    stays_near_exact::<PackedI24>(1e-6);
}

#[test]
fn hidden_states_in_bfloat16_stay_near_exact_ones() {
    stays_near_exact::<PackedBf16>(5e-3);
}

#[test]
fn a_state_that_is_no_number_stays_one_in_its_row_and_unit() {
    let plain = Plain::new(add_i24, 20, 3);
    for level in levels() {
        let cell = Cell::<PackedI24>::first(level, 20, plain.weights());
        let width = cell.width();
        let mut scratch = Scratch::default();
        cell.reserve(2, &mut scratch);
        let (mut before, mut cells) = (vec![0.0; 2 * width], vec![0.0; 2 * width]);
        (before[4], cells[4]) = (f32::NAN, f32::NAN);
        let mut after = vec![0.0; 2 * width];
        let states = States { before: &before, after: &mut after, cells: &mut cells };
        let batch = [0, 1].map(|slot| Row { slot, input: 0 });
        let input = Input::Raw { values: &[0.5; 3], stride: 3 };
        cell.step_with((&mut Team::default(), &mut scratch), (&batch, input), states);
        assert!(after[4].is_nan() && cells[4].is_nan(), "{level:?}");
        assert!(after[width..].iter().chain(&cells[width..]).all(|value| value.is_finite()), "{level:?}");
    }
}
