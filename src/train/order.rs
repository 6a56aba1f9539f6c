//! The order of rows: shuffled by the epoch, batched with rows of like length to spare padding.

use rand::seq::SliceRandom as _;

use super::generator::{Purpose, generator};

/// Batches that are sorted by length together: more spare padding, fewer mix better.
const WINDOW_BATCHES: usize = 16;

/// The batches of one epoch, as indices of rows. Depends on nothing but its arguments.
pub(crate) fn batches(lengths: &[usize], batch_size: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut generator = generator(seed, Purpose::Order, epoch, 0);
    let mut rows: Vec<usize> = (0..lengths.len()).collect();
    rows.shuffle(&mut generator);
    let mut batches = Vec::with_capacity(rows.len().div_ceil(batch_size));
    for window in rows.chunks_mut(batch_size.saturating_mul(WINDOW_BATCHES)) {
        window.sort_by_key(|row| lengths.get(*row));
        batches.extend(window.chunks(batch_size).map(<[usize]>::to_vec));
    }
    batches.shuffle(&mut generator);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths() -> Vec<usize> {
        (0..1003).map(|row| 1 + row * 7919 % 50).collect()
    }

    #[test]
    fn every_row_is_seen_once_an_epoch() {
        let batches = batches(&lengths(), 8, 1, 0);
        assert_eq!(batches.len(), 126);
        let mut seen = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..1003).collect::<Vec<_>>());
    }

    #[test]
    fn seed_and_epoch_decide_the_order() {
        let order = |seed, epoch| batches(&lengths(), 8, seed, epoch);
        assert_eq!(order(1, 0), order(1, 0));
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
    }

    #[test]
    fn rows_of_a_batch_are_of_like_length() {
        let lengths = lengths();
        let padded: usize = batches(&lengths, 8, 1, 0)
            .iter()
            .map(|batch| batch.len() * batch.iter().map(|row| lengths[*row]).max().unwrap())
            .sum();
        let valid: usize = lengths.iter().sum();
        assert!(padded < valid * 11 / 10, "{padded} for {valid}");
    }
}
