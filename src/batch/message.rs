//! What goes through the queue: a row with its deadline, and the way back to its caller.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Error, Priority};
use crate::telemetry::metrics::{BatchMeter, RowOutcome};

/// One row to compute.
#[derive(Clone, Debug)]
pub struct Job<R> {
    /// What the engine admits.
    pub row: R,
    /// What computing it costs, in the layer's unit: tokens of a text, pixels of a picture.
    pub work: usize,
    /// When its caller stops waiting; a row that is not computed by then is dropped unanswered by the engine.
    pub deadline: Option<Instant>,
    /// What it goes before.
    pub priority: Priority,
}

/// Rows of one caller: they enter the queue together or not at all, and are admitted together as far as there is room.
#[derive(Clone, Debug)]
pub struct Jobs<R> {
    /// Each row with its work, as of [`Job::work`].
    pub rows: Vec<(R, usize)>,
    /// When their caller stops waiting, as of [`Job::deadline`].
    pub deadline: Option<Instant>,
    /// What they go before.
    pub priority: Priority,
}

/// An answer and what it took.
#[derive(Clone, Debug)]
pub struct Done<A> {
    /// What the engine answered.
    pub answer: A,
    /// From enqueueing to admission.
    pub queued: Duration,
    /// From admission to the answer.
    pub computed: Duration,
}

/// What comes back to a caller.
pub(super) type Reply<A> = Result<Done<A>, Error>;

/// A row with its caller.
#[derive(Debug)]
pub(super) struct Message<R, A> {
    pub(super) row: R,
    pub(super) work: usize,
    pub(super) ticket: Ticket<A>,
}

/// A caller: how long it waits, and the way back to it.
#[derive(Debug)]
pub(super) struct Ticket<A> {
    pub(super) enqueued: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) reply: oneshot::Sender<Reply<A>>,
}

impl<A> Ticket<A> {
    /// Whether computing the row is in vain, and why.
    pub(super) fn in_vain(&self, now: Instant) -> Option<RowOutcome> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            Some(RowOutcome::Expired)
        } else if self.reply.is_closed() {
            Some(RowOutcome::Cancelled)
        } else {
            None
        }
    }

    /// Answers, and counts how the row left. A caller that has just gone is no error.
    pub(super) fn answer(self, reply: Reply<A>, meter: &BatchMeter) {
        let outcome = match &reply {
            Ok(_) => RowOutcome::Answered,
            Err(Error::Row(_)) => RowOutcome::Failed,
            Err(Error::Expired { .. }) => RowOutcome::Expired,
            Err(Error::Panicked) => RowOutcome::Panicked,
            Err(Error::Full { .. } | Error::TooLarge { .. } | Error::Closed) => RowOutcome::Refused,
        };
        meter.row(outcome);
        let _gone = self.reply.send(reply);
    }

    /// Drops the row for this reason, telling a caller whose deadline passed.
    pub(super) fn give_up(self, reason: RowOutcome, now: Instant, meter: &BatchMeter) {
        if reason == RowOutcome::Expired {
            let waited = now.saturating_duration_since(self.enqueued);
            self.answer(Err(Error::Expired { waited }), meter);
        } else {
            meter.row(reason);
        }
    }
}
