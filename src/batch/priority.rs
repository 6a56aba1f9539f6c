//! How urgent a row is.

use crate::limits::PRIORITY_LEVELS;

/// How urgent a row is: a level from 1, which goes first, to [`PRIORITY_LEVELS`]. By default the middle one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Priority {
    /// The level less one.
    lane: usize,
}

impl Priority {
    /// This level; `None` where there is none of this number.
    #[must_use]
    pub fn of_level(level: u64) -> Option<Self> {
        let lane = usize::try_from(level).ok()?.checked_sub(1)?;
        (lane < PRIORITY_LEVELS).then_some(Self { lane })
    }

    /// The level, from 1.
    #[must_use]
    pub fn level(self) -> u64 {
        self.lane as u64 + 1
    }

    /// The level from 0.
    pub(super) fn lane(self) -> usize {
        self.lane
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self { lane: PRIORITY_LEVELS / 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_numbered_from_one_and_the_middle_is_the_default() {
        let levels: Vec<u64> = (0..100).filter_map(Priority::of_level).map(Priority::level).collect();
        assert_eq!(levels, [1, 2, 3, 4, 5]);
        assert_eq!(Priority::default().level(), 3);
        assert_eq!(Priority::of_level(u64::MAX), None);
    }
}
