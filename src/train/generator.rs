//! Random numbers by position: what is drawn depends on the seed, the purpose, the epoch and the step, and on
//! nothing drawn before. So the state of every generator is the position of training, and resuming is exact.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// What random numbers are for; each purpose has a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The validation split.
    Split = 1,
    /// Fresh weights.
    Weights = 2,
    /// The order of rows and batches of an epoch.
    Order = 3,
    /// Dropout masks of a step.
    Dropout = 4,
    /// Changes to one row of an epoch.
    Augmentation = 5,
}

/// The generator of one place in training, for example an epoch and a step of it.
pub(crate) fn generator(seed: u64, purpose: Purpose, epoch: u64, position: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    let words = [seed, purpose as u64, epoch, position];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use rand::RngCore as _;

    use super::*;

    #[test]
    fn every_position_has_its_own_numbers() {
        let first = |seed, purpose, epoch, position| generator(seed, purpose, epoch, position).next_u64();
        let base = first(1, Purpose::Order, 2, 3);
        assert_eq!(base, first(1, Purpose::Order, 2, 3));
        for other in [
            first(2, Purpose::Order, 2, 3),
            first(1, Purpose::Dropout, 2, 3),
            first(1, Purpose::Order, 3, 3),
            first(1, Purpose::Order, 2, 4),
        ] {
            assert_ne!(base, other);
        }
    }
}
