//! What waits, in the order of admission: by priority, and within one priority first come first served.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::Priority;
use super::super::message::Message;
use crate::limits::{PRIORITY_LEAD_MS, PRIORITY_LEVELS};
use crate::telemetry::metrics::RowOutcome;

/// A lane a priority, each in the order of arrival.
///
/// A row counts as having come [`PRIORITY_LEAD_MS`] earlier than a row of the next lane that came with it, and the row
/// that counts as the earliest is next. So urgent rows overtake what came before them, and no row starves: it is
/// overtaken only by rows that come within its lanes' distance of leads after it, however many urgent ones follow.
#[derive(Debug)]
pub(super) struct Lanes<R, A>([VecDeque<Message<R, A>>; PRIORITY_LEVELS]);

impl<R, A> Lanes<R, A> {
    /// Nothing waits.
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| VecDeque::new()))
    }

    /// Rows that wait.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(VecDeque::len).sum()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(VecDeque::is_empty)
    }

    /// Everything that waits, lane by lane.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Message<R, A>> {
        self.0.iter().flatten()
    }

    /// These come now, in this order.
    pub(super) fn extend(&mut self, priority: Priority, messages: impl IntoIterator<Item = Message<R, A>>) {
        if let Some(lane) = self.0.get_mut(priority.lane()) {
            lane.extend(messages);
        }
    }

    /// Takes the next row, if there is one and it is `wanted`.
    pub(super) fn pop_if(&mut self, wanted: impl FnOnce(&Message<R, A>) -> bool) -> Option<Message<R, A>> {
        let mut next: Option<(Instant, &mut VecDeque<_>)> = None;
        let mut lead = Duration::ZERO;
        for lane in &mut self.0 {
            if let Some(first) = lane.front() {
                let counts_as = first.ticket.enqueued + lead;
                if next.as_ref().is_none_or(|(earliest, _)| counts_as < *earliest) {
                    next = Some((counts_as, lane));
                }
            }
            lead += Duration::from_millis(PRIORITY_LEAD_MS);
        }
        let (_, lane) = next?;
        if wanted(lane.front()?) { lane.pop_front() } else { None }
    }

    /// Takes every row that nobody waits for any more, with the reason.
    pub(super) fn take_in_vain(&mut self, now: Instant) -> Vec<(Message<R, A>, RowOutcome)> {
        let mut taken = Vec::new();
        for lane in &mut self.0 {
            let mut kept = VecDeque::with_capacity(lane.len());
            for message in lane.drain(..) {
                match message.ticket.in_vain(now) {
                    None => kept.push_back(message),
                    Some(reason) => taken.push((message, reason)),
                }
            }
            *lane = kept;
        }
        taken
    }

    /// Takes everything.
    pub(super) fn take_all(&mut self) -> Vec<Message<R, A>> {
        self.0.iter_mut().flat_map(std::mem::take).collect()
    }
}
