//! Batch invariance checked in production: one in so many answers is computed again, alone, and compared to the bit.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use crate::batch::{Engine, RowError};
use crate::limits::VERIFY_WAITING_MAX;
use crate::telemetry::metrics::{Verified, VerifyMeter};
use crate::value::{Features, Logits};

/// Picks answers and has them computed again on a thread and an engine of its own, which end with it.
///
/// It never holds up an answer: a sample that finds the thread busy is counted as skipped.
#[derive(Debug)]
pub(super) struct Verifier {
    one_in: NonZeroU32,
    answers: AtomicU64,
    samples: SyncSender<Sample>,
    meter: VerifyMeter,
}

/// A row, and what it was answered in company.
#[derive(Debug)]
struct Sample {
    row: Features,
    answer: Logits,
}

impl Verifier {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(super) fn start<E: Engine<Row = Features, Answer = Logits>>(
        name: &str,
        one_in: NonZeroU32,
        engine: E,
    ) -> std::io::Result<Self> {
        let (samples, received) = sync_channel(VERIFY_WAITING_MAX);
        let meter = VerifyMeter::new(name);
        let judge = Judge { model: name.to_owned(), engine, meter: meter.clone() };
        thread::Builder::new().name("verify".to_owned()).spawn(move || judge.run(&received))?;
        Ok(Self { one_in, answers: AtomicU64::new(0), samples, meter })
    }

    /// Whether the answer to come is to be handed to [`check`](Self::check): the first, and then one in so many.
    pub(super) fn picks(&self) -> bool {
        self.answers.fetch_add(1, Ordering::Relaxed).is_multiple_of(u64::from(self.one_in.get()))
    }

    /// Has the row computed again.
    pub(super) fn check(&self, row: Features, answer: Logits) {
        match self.samples.try_send(Sample { row, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.meter.count(Verified::Skipped),
        }
    }
}

/// The thread's side.
struct Judge<E> {
    model: String,
    engine: E,
    meter: VerifyMeter,
}

impl<E: Engine<Row = Features, Answer = Logits>> Judge<E> {
    fn run(mut self, samples: &Receiver<Sample>) {
        while let Ok(Sample { row, answer }) = samples.recv() {
            let work = row.work();
            let alone = catch_unwind(AssertUnwindSafe(|| self.alone(row)));
            let outcome = match alone {
                Ok(Ok(alone)) if same_bits(&alone, &answer) => Verified::Equal,
                Ok(Ok(alone)) => {
                    let (in_company, alone) = (answer.values(), alone.values());
                    tracing::error!(
                        model = self.model,
                        work,
                        "an answer is not what its row gets alone: {in_company:?} in company, {alone:?} alone"
                    );
                    Verified::Different
                }
                Ok(Err(error)) => {
                    tracing::error!(model = self.model, work, "a row that was answered fails alone: {error}");
                    Verified::Failed
                }
                Err(_) => {
                    tracing::error!(model = self.model, work, "the engine panicked on a row alone");
                    Verified::Failed
                }
            };
            if outcome == Verified::Failed && catch_unwind(AssertUnwindSafe(|| self.engine.reset())).is_err()
            {
                tracing::error!(model = self.model, "answers are no longer verified: the engine is broken");
                return;
            }
            self.meter.count(outcome);
        }
    }

    fn alone(&mut self, row: Features) -> Result<Logits, RowError> {
        self.engine.admit(0, row)?;
        let mut finished = Vec::new();
        loop {
            self.engine.step(&mut finished);
            if let Some((_, answer)) = finished.pop() {
                return answer;
            }
        }
    }
}

/// Equal as bits: 0 is not -0, and a NaN is itself.
fn same_bits(a: &Logits, b: &Logits) -> bool {
    let bits = |logits: &Logits| logits.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    bits(a) == bits(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::install_metrics;

    /// Answers a row with its number of tokens; panics on 7 of them, and refuses 8.
    struct Count(Option<Features>);

    impl Engine for Count {
        type Row = Features;
        type Answer = Logits;

        fn capacity(&self) -> usize {
            1
        }

        fn admit(&mut self, _slot: usize, row: Features) -> Result<(), RowError> {
            assert!(self.0.is_none(), "the slot is taken");
            if row.work() == 8 {
                return Err(RowError { reason: "8".into() });
            }
            self.0 = Some(row);
            Ok(())
        }

        fn step(&mut self, finished: &mut Vec<(usize, Result<Logits, RowError>)>) {
            let tokens = self.0.as_ref().map_or(0, Features::work);
            assert_ne!(tokens, 7);
            self.0 = None;
            finished.push((0, Ok(logits(tokens as f32))));
        }

        fn evict(&mut self, _slot: usize) {}

        fn reset(&mut self) {
            self.0 = None;
        }
    }

    fn logits(value: f32) -> Logits {
        Logits::new(1, vec![value]).unwrap()
    }

    fn tokens(count: usize) -> Features {
        Features::Tokens(vec![0; count].into())
    }

    #[test]
    fn equal_different_and_failed_answers_are_counted_as_such() {
        let metrics = install_metrics();
        let (samples, received) = sync_channel(8);
        for (count, answer) in [(3, 3.0), (4, 4.000_001), (7, 7.0), (8, 8.0), (5, 5.0)] {
            samples.send(Sample { row: tokens(count), answer: logits(answer) }).unwrap();
        }
        drop(samples);
        let meter = VerifyMeter::new("verify-test");
        Judge { model: "verify-test".into(), engine: Count(None), meter }.run(&received);
        let text = metrics.render();
        for (outcome, count) in [("equal", 2), ("different", 1), ("failed", 2), ("skipped", 0)] {
            let line = format!(
                "sconce_verified_answers_total{{model=\"verify-test\",outcome=\"{outcome}\"}} {count}\n"
            );
            assert!(text.contains(&line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn bits_are_compared_and_not_values() {
        assert!(same_bits(&logits(f32::NAN), &logits(f32::NAN)));
        assert!(!same_bits(&logits(0.0), &logits(-0.0)));
    }

    #[test]
    fn one_in_so_many_is_picked_and_the_first_is_one() {
        let verifier = Verifier::start("picks-test", NonZeroU32::new(3).unwrap(), Count(None)).unwrap();
        let picked: Vec<bool> = (0..7).map(|_| verifier.picks()).collect();
        assert_eq!(picked, [true, false, false, true, false, false, true]);
    }
}
