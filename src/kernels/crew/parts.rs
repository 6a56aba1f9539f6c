//! Claiming parts of a work: everyone begins with an equal share of its own and then takes from the others.
//!
//! A share is two numbers in one word, the first part that is left and the one after the last. Its owner takes from the
//! front, others from the back, by compare and exchange: each on a line of its own until somebody runs out. The same
//! parts fall to the same core work after work, whose second-level cache holds their weights. A share of an earlier
//! work, told by its number, is a share that nobody has touched yet: nothing has to be reset between works.
//!
//! An exchange waits for everything that was stored before, so that a core cannot begin a part while it ends another. So
//! the owner of a share takes most of it at once, and part by part only the rest, which others take when it comes late.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::Seat;

/// Parts of one work at most.
pub(super) const PARTS_MAX: usize = u16::MAX as usize;
/// Works that are told apart.
pub(super) const NUMBERS: u64 = 1 << 32;

/// The parts that fall to one thread; claimed as they are asked for.
#[derive(Debug)]
pub struct Parts<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Alone(Range<usize>),
    Claimed {
        claims: Claims<'a>,
        /// Claimed, and not asked for yet.
        held: Range<usize>,
    },
}

/// One thread in one work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claims<'a> {
    pub(super) seats: &'a [Seat],
    /// Its seat.
    pub(super) seat: usize,
    /// The number of the work.
    pub(super) number: u64,
    /// Parts of the work.
    pub(super) parts: usize,
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl<'a> Parts<'a> {
    /// All of them, in order, for a thread that is alone.
    pub(super) fn all(parts: usize) -> Self {
        Self(Source::Alone(0..parts))
    }

    pub(super) fn claimed(claims: Claims<'a>) -> Self {
        Self(Source::Claimed { claims, held: 0..0 })
    }

    /// Whether other threads have a share in the work.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        matches!(self.0, Source::Claimed { .. })
    }
}

impl Iterator for Parts<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match &mut self.0 {
            Source::Alone(parts) => parts.next(),
            Source::Claimed { claims, held } => held.next().or_else(|| {
                *held = claims.next()?;
                held.next()
            }),
        }
    }
}

impl Claims<'_> {
    fn next(&self) -> Option<Range<usize>> {
        let people = self.seats.len();
        let others = (1..people).map(|step| (self.seat + step) % people);
        self.claim(self.seat, End::Front)
            .or_else(|| others.into_iter().find_map(|seat| self.claim(seat, End::Back)))
    }

    /// Takes parts of a seat's share: most of one that is whole from its front, otherwise one. That nobody else has them is
    /// all that is promised here: what parts read and write is ordered by joining and leaving the work.
    fn claim(&self, seat: usize, end: End) -> Option<Range<usize>> {
        let left = &self.seats[seat].left;
        let tag = (self.number % NUMBERS) << 32;
        let mut seen = left.load(Ordering::Relaxed);
        loop {
            let is_whole = seen >> 32 << 32 != tag;
            let (front, back) = if is_whole {
                let people = self.seats.len();
                (seat * self.parts / people, (seat + 1) * self.parts / people)
            } else {
                ((seen >> 16 & 0xffff) as usize, (seen & 0xffff) as usize)
            };
            if front >= back {
                return None;
            }
            let (parts, front, back) = match end {
                End::Front => {
                    let at_once = if is_whole { (back - front) * 3 / 4 } else { 0 };
                    let next = front + at_once.max(1);
                    (front..next, next, back)
                }
                End::Back => (back - 1..back, front, back - 1),
            };
            let word = tag | (front << 16 | back) as u64;
            match left.compare_exchange_weak(seen, word, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(parts),
                Err(now) => seen = now,
            }
        }
    }
}
