//! The step against plain loops, in every company.

use super::plain::{Plain, State, add, values};
use super::*;
use proptest::prelude::*;
use std::sync::Arc;

use crate::kernels::crew::{Ahead, Crew};

fn cell(plain: &Plain<f32>, level: Level) -> Cell {
    Cell::new(level, plain.hidden, plain.weights())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Every height of tile, every tail, any neighbours, both kinds of input, every level: always the bits of
    /// plain loops over one row.
    #[test]
    fn a_row_has_the_bits_of_plain_loops_in_any_company(
        rows in 1_usize..20, hidden in 1_usize..50, inputs in 1_usize..20, seed in 0_usize..1000,
    ) {
        let plain = Plain::new(add, hidden, inputs);
        let tokens = 7;
        let x = values(seed, tokens * inputs);
        for level in Level::available() {
            let cell = cell(&plain, level);
            let folded = cell.fold(&x);
            let width = cell.width();
            let (h, c) = (values(seed + 1, rows * width), values(seed + 2, rows * width));
            // Slots in another order than rows.
            let place = |row: usize| Row { slot: rows - 1 - row, input: (row * 3 + seed) % tokens };
            let batch: Vec<Row> = (0..rows).map(place).collect();
            for input in [Input::Folded(&folded), Input::Raw { values: &x, stride: inputs }] {
                let (mut after, mut cells) = (vec![f32::NAN; rows * width], c.clone());
                cell.step(&batch, input, States { before: &h, after: &mut after, cells: &mut cells });
                for row in &batch {
                    let (first, x) = (row.slot * width, &x[row.input * inputs..][..inputs]);
                    let expected = plain.first(x, &State { h: &h[first..][..hidden], c: &c[first..][..hidden] });
                    for (unit, (c, h)) in expected.into_iter().enumerate() {
                        prop_assert_eq!(cells[first + unit].to_bits(), c.to_bits(), "{:?} {:?}", level, row);
                        prop_assert_eq!(after[first + unit].to_bits(), h.to_bits(), "{:?} {:?}", level, row);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Whoever computes a panel, and whenever helpers come and go: the bits of one thread.
    #[test]
    fn a_team_gives_the_bits_of_one_thread(
        rows in 1_usize..9, hidden in 100_usize..200, helpers in 1_usize..4,
        steps in prop::collection::vec((0_usize..4, any::<bool>()), 1..20),
    ) {
        let plain = Plain::new(add, hidden, 3);
        let x = values(5, 7 * 3);
        for level in Level::available() {
            let cell = cell(&plain, level);
            let width = cell.width();
            let mut team = Team::of(Arc::new(Crew::new(helpers, 0)));
            let (mut h, mut c) = (values(6, rows * width), values(7, rows * width));
            for (step, (lent, pause)) in steps.iter().enumerate() {
                team.lend(*lent);
                team.call(|| Ahead { each: usize::MAX, all: usize::MAX });
                if *pause {
                    std::thread::yield_now();
                }
                let batch: Vec<Row> = (0..rows).map(|slot| Row { slot, input: (slot + step) % 7 }).collect();
                let input = Input::Raw { values: &x, stride: 3 };
                let [alone, together] = [&mut Team::default(), &mut team].map(|team| {
                    let (mut after, mut cells) = (vec![0.0; rows * width], c.clone());
                    let states = States { before: &h, after: &mut after, cells: &mut cells };
                    cell.step_with(team, (&batch, input), states);
                    (after, cells)
                });
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&alone.0), bits(&together.0), "{:?}", level);
                prop_assert_eq!(bits(&alone.1), bits(&together.1), "{:?}", level);
                (h, c) = together;
            }
        }
    }
}

#[test]
fn values_above_the_hidden_units_stay_0_and_other_slots_untouched() {
    for level in Level::available() {
        let cell = cell(&Plain::new(add, 5, 3), level);
        let width = cell.width();
        let (before, mut after, mut cells) =
            (vec![0.0; 3 * width], vec![0.0; 3 * width], vec![0.0; 3 * width]);
        let states = States { before: &before, after: &mut after, cells: &mut cells };
        cell.step(&[Row { slot: 1, input: 0 }], Input::Raw { values: &[1.0, 2.0, 3.0], stride: 3 }, states);
        for (index, values) in after.chunks_exact(width).zip(cells.chunks_exact(width)).enumerate() {
            let used = if index == 1 { 5 } else { 0 };
            assert!(values.0[..used].iter().all(|value| *value != 0.0), "{level:?}");
            assert!(values.0[used..].iter().chain(&values.1[used..]).all(|value| *value == 0.0), "{level:?}");
        }
    }
}

#[test]
fn weights_become_exponents_and_stay_finite() {
    use std::f32::consts::LOG2_E;
    let mut gates = [1.0, 0.5, 1.0, 1.0, 1.0, -3e38, 1.0, 0.0];
    to_exponents(&mut gates);
    let expected = [-LOG2_E, -0.5 * LOG2_E, -LOG2_E, -LOG2_E, -2.0 * LOG2_E, f32::MAX, -LOG2_E, -0.0];
    assert_eq!(gates.map(f32::to_bits), expected.map(f32::to_bits));
}
