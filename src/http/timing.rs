//! The `Server-Timing` header: where the time of a request went, in any protocol.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::pipeline::{Answer, Timing};

/// The header for answers that were computed side by side.
pub(super) fn header<'a>(answers: impl Iterator<Item = &'a Answer>) -> HeaderMap {
    let value = HeaderValue::try_from(server_timing(answers));
    value.into_iter().map(|value| (HeaderName::from_static("server-timing"), value)).collect()
}

/// The longest of each phase, milliseconds.
fn server_timing<'a>(answers: impl Iterator<Item = &'a Answer>) -> String {
    let Timing { prepare, queue, compute, .. } = longest(answers);
    let [prepare, queue, compute] = [prepare, queue, compute].map(Millis);
    format!("prepare;dur={prepare}, queue;dur={queue}, compute;dur={compute}")
}

/// Milliseconds with three decimals, without a float: finding the decimals of one takes longer than all the rest here.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.as_millis(), self.0.subsec_micros() % 1000)
    }
}

/// The longest of each phase.
pub(super) fn longest<'a>(answers: impl Iterator<Item = &'a Answer>) -> Timing {
    answers.fold(Timing::default(), |longest, answer| Timing {
        prepare: longest.prepare.max(answer.timing.prepare),
        queue: longest.queue.max(answer.timing.queue),
        compute: longest.compute.max(answer.timing.compute),
        present: longest.present.max(answer.timing.present),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Outcome;

    #[test]
    fn each_phase_is_the_longest_of_it() {
        let answer = |prepare, compute| Answer {
            outcome: Outcome { scores: Vec::new(), predictions: Vec::new(), positions: Vec::new() },
            logits: crate::value::Logits::new(1, vec![0.0]).unwrap(),
            units: 1,
            truncated: false,
            timing: Timing {
                prepare: Duration::from_millis(prepare),
                queue: Duration::from_nanos(61_002_999),
                compute: Duration::from_millis(compute),
                ..Timing::default()
            },
        };
        let answers = [answer(3, 4), answer(5, 2)];
        let expected = "prepare;dur=5.000, queue;dur=61.002, compute;dur=4.000";
        assert_eq!(header(answers.iter())["server-timing"], expected);
    }
}
