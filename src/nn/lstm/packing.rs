//! Rows of uneven lengths, packed: the longest first, token by token, so that padding is never computed.
//!
//! Position `offsets[t] + j` holds token `t` of the `j`-th longest row; `counts[t]` rows have a token `t`.

use candle_core::{Result, bail};

/// Where each token of a batch is among the packed ones.
#[derive(Clone, Debug)]
pub(super) struct Packing {
    /// The row that is j-th longest.
    order: Vec<usize>,
    /// Tokens of each row, in the batch's order.
    lengths: Vec<usize>,
    counts: Vec<usize>,
    offsets: Vec<usize>,
}

impl Packing {
    /// The packing of rows of these lengths, `longest` at most.
    pub(super) fn new(lengths: &[usize], longest: usize) -> Result<Self> {
        if lengths.is_empty() || lengths.iter().any(|length| !(1..=longest).contains(length)) {
            bail!("a row's length is not within 1 to {longest}: {lengths:?}");
        }
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(lengths.get(row)));
        let steps = lengths.iter().copied().max().unwrap_or(0);
        let counts: Vec<usize> =
            (0..steps).map(|t| lengths.iter().filter(|length| **length > t).count()).collect();
        let starts = counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total - count)
        });
        let offsets = starts.collect();
        Ok(Self { order, lengths: lengths.to_vec(), counts, offsets })
    }

    /// Tokens of the longest row.
    pub(super) fn steps(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens of all rows together.
    pub(super) fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Tokens of each row, in the batch's order.
    pub(super) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Where step `t` starts, and how many rows it has.
    pub(super) fn step(&self, t: usize) -> (usize, usize) {
        (self.offsets.get(t).copied().unwrap_or(0), self.counts.get(t).copied().unwrap_or(0))
    }

    /// For each packed token, what `value(row, t)` gives, in packed order.
    pub(super) fn each_token(&self, value: impl Fn(usize, usize) -> usize) -> Vec<usize> {
        let rows_at = |count: usize| self.order.iter().take(count);
        let steps = self.counts.iter().enumerate();
        steps
            .flat_map(|(t, &count)| rows_at(count).map(move |&row| (row, t)))
            .map(|(row, t)| value(row, t))
            .collect()
    }

    /// For each row, in the batch's order, the packed position of the token that `pick(length)` names.
    pub(super) fn each_row(&self, pick: impl Fn(usize) -> usize) -> Vec<usize> {
        let mut rank = vec![0; self.order.len()];
        for (j, &row) in self.order.iter().enumerate() {
            if let Some(rank) = rank.get_mut(row) {
                *rank = j;
            }
        }
        self.lengths.iter().zip(rank).map(|(&length, j)| self.step(pick(length)).0 + j).collect()
    }

    /// For each row and step, B × T: the packed position of that token, or `beyond` past the row's end.
    pub(super) fn padded(&self, beyond: impl Fn(usize) -> usize) -> Vec<usize> {
        let last = self.each_row(|length| length - 1);
        let columns: Vec<Vec<usize>> =
            (0..self.steps()).map(|t| self.each_row(|length| t.min(length - 1))).collect();
        let cell =
            |row: usize, t: usize| columns.get(t).and_then(|column| column.get(row)).copied().unwrap_or(0);
        let rows = self.lengths.iter().zip(last).enumerate();
        rows.flat_map(|(row, (&length, last))| {
            let beyond = beyond(last);
            (0..self.steps()).map(move |t| (t < length, row, t, beyond))
        })
        .map(|(valid, row, t, beyond)| if valid { cell(row, t) } else { beyond })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_rows_come_first_and_padding_is_left_out() {
        let packing = Packing::new(&[1, 3, 2], 3).unwrap();
        assert_eq!((packing.steps(), packing.rows(), packing.tokens()), (3, 3, 6));
        assert_eq!([packing.step(0), packing.step(1), packing.step(2)], [(0, 3), (3, 2), (5, 1)]);
        assert_eq!(packing.each_token(|row, t| row * 10 + t), [10, 20, 0, 11, 21, 12]);
        assert_eq!(packing.each_row(|length| length - 1), [2, 5, 4]);
        assert_eq!(packing.each_row(|_| 0), [2, 0, 1]);
        assert_eq!(packing.padded(|_| 6), [2, 6, 6, 0, 3, 5, 1, 4, 6]);
        assert_eq!(packing.padded(|last| last), [2, 2, 2, 0, 3, 5, 1, 4, 4]);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        assert!(Packing::new(&[], 3).is_err());
        assert!(Packing::new(&[0, 1], 3).is_err());
        assert!(Packing::new(&[4], 3).is_err());
    }
}
