//! The step against plain loops, in every company.

use super::*;
use crate::kernels::gates::update;
use proptest::prelude::*;
use std::sync::Arc;

use crate::kernels::crew::{Ahead, Crew};

/// Values that are many different roundings, the same for the same seed.
fn values(seed: usize, len: usize) -> Vec<f32> {
    (0..len).map(|index| ((index * 7919 + seed * 104_729) as f32 * 0.001).sin()).collect()
}

/// One layer in PyTorch's layout, and plain loops over it.
struct Plain {
    hidden: usize,
    inputs: usize,
    input: Vec<f32>,
    recurrent: Vec<f32>,
    bias: Vec<f32>,
}

impl Plain {
    fn new(hidden: usize, inputs: usize) -> Self {
        let (input, recurrent) = (values(1, 4 * hidden * inputs), values(2, 4 * hidden * hidden));
        Self { hidden, inputs, input, recurrent, bias: values(3, 4 * hidden) }
    }

    fn cell(&self, level: Level) -> Cell {
        let weights = Weights { input: &self.input, recurrent: &self.recurrent, bias: &self.bias };
        Cell::new(level, self.hidden, weights)
    }

    fn step(&self, x: &[f32], h: &[f32], c: &[f32]) -> Vec<(f32, f32)> {
        let unit = |unit: usize| {
            let sums = [0, 1, 2, 3].map(|gate| {
                let row = gate * self.hidden + unit;
                let sum = add(self.bias[row], x, &self.input[row * self.inputs..]);
                add(sum, h, &self.recurrent[row * self.hidden..])
            });
            update(c[unit], sums)
        };
        (0..self.hidden).map(unit).collect()
    }
}

fn add(sum: f32, x: &[f32], weights: &[f32]) -> f32 {
    x.iter().zip(weights).fold(sum, |sum, (x, weight)| x.mul_add(*weight, sum))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Every height of tile, every tail, any neighbours, both kinds of input, every level: always the bits of
    /// plain loops over one row.
    #[test]
    fn a_row_has_the_bits_of_plain_loops_in_any_company(
        rows in 1_usize..20, hidden in 1_usize..50, inputs in 1_usize..20, seed in 0_usize..1000,
    ) {
        let plain = Plain::new(hidden, inputs);
        let tokens = 7;
        let x = values(seed, tokens * inputs);
        for level in Level::available() {
            let cell = plain.cell(level);
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
                    let expected = plain.step(x, &h[first..][..hidden], &c[first..][..hidden]);
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
        let plain = Plain::new(hidden, 3);
        let x = values(5, 7 * 3);
        for level in Level::available() {
            let cell = plain.cell(level);
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
        let cell = Plain::new(5, 3).cell(level);
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
