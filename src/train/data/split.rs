//! A validation split when none is given: seeded, stratified by label, and equal inputs never on both sides.

use std::collections::BTreeMap;

use rand::seq::SliceRandom as _;

use super::super::generator::{Purpose, generator};
use super::{Row, Source};

/// Splits off about `fraction` of every label's rows. Returns (training, validation) rows, each in the given order.
pub(crate) fn split(rows: Vec<Row>, fraction: f64, seed: u64) -> (Vec<Row>, Vec<Row>) {
    let mut strata: BTreeMap<Vec<String>, BTreeMap<Vec<u8>, Vec<usize>>> = BTreeMap::new();
    let mut stratum_of: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let identity = identity(&row.source);
        // Equal inputs with different labels stay together, in the stratum of the first.
        let stratum = stratum_of.entry(identity.clone()).or_insert_with(|| row.labels.clone()).clone();
        strata.entry(stratum).or_default().entry(identity).or_default().push(index);
    }
    let mut is_held_out = vec![false; rows.len()];
    let mut generator = generator(seed, Purpose::Split, 0, 0);
    for groups in strata.into_values() {
        let total: usize = groups.values().map(Vec::len).sum();
        let wanted = wanted(total, groups.len(), fraction);
        let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
        groups.shuffle(&mut generator);
        let mut taken = 0;
        for group in groups {
            if taken >= wanted {
                break;
            }
            taken += group.len();
            for index in group {
                is_held_out[index] = true;
            }
        }
    }
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for (row, is_held_out) in rows.into_iter().zip(is_held_out) {
        if is_held_out { validation.push(row) } else { training.push(row) }
    }
    (training, validation)
}

/// Rows to hold out of a label's `total`: its share, but one at least and never all, where it has two inputs.
fn wanted(total: usize, inputs: usize, fraction: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count, not negative"
    )]
    let share = (total as f64 * fraction).round() as usize;
    if inputs < 2 { 0 } else { share.clamp(1, total - 1) }
}

/// What makes two inputs the same: a text but for case and white space, a picture's bytes.
fn identity(source: &Source) -> Vec<u8> {
    match source {
        Source::Text(text) => {
            text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ").into_bytes()
        }
        Source::Picture(_, digest) => digest.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn rows(labels: &[(&str, usize)]) -> Vec<Row> {
        let mut rows = Vec::new();
        for (label, count) in labels {
            for index in 0..*count {
                rows.push(Row {
                    source: Source::Text(format!("{label} number {index}")),
                    labels: vec![(*label).to_owned()],
                    place: format!("{label}:{index}"),
                });
            }
        }
        rows
    }

    fn count(rows: &[Row], label: &str) -> usize {
        rows.iter().filter(|row| row.labels == [label]).count()
    }

    #[test]
    fn every_label_gives_its_share() {
        let (training, validation) = split(rows(&[("a", 100), ("b", 10), ("c", 2), ("d", 1)]), 0.2, 7);
        let shares = ["a", "b", "c", "d"].map(|label| (count(&training, label), count(&validation, label)));
        assert_eq!(shares, [(80, 20), (8, 2), (1, 1), (1, 0)]);
    }

    #[test]
    fn the_seed_decides_the_split() {
        let places = |seed| {
            split(rows(&[("a", 50)]), 0.2, seed).1.into_iter().map(|row| row.place).collect::<Vec<_>>()
        };
        assert_eq!(places(1), places(1));
        assert_ne!(places(1), places(2));
    }

    #[test]
    fn equal_inputs_stay_on_one_side() {
        let mut all = rows(&[("a", 40)]);
        let doubled = all.clone().into_iter().map(|mut row| {
            if let Source::Text(text) = &mut row.source {
                *text = format!("  {}", text.to_uppercase());
            }
            row.labels = vec!["b".into()];
            row
        });
        all.extend(doubled.collect::<Vec<_>>());
        let (training, validation) = split(all, 0.25, 3);
        let inputs = |rows: &[Row]| rows.iter().map(|row| identity(&row.source)).collect::<BTreeSet<_>>();
        assert!(inputs(&training).is_disjoint(&inputs(&validation)));
        assert_eq!((training.len(), validation.len()), (60, 20));
    }
}
