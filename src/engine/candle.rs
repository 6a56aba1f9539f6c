//! The candle engine: finishes every held row in one step.

use candle_core::{DType, Device};

use super::device::quiet_this_thread;
use crate::batch::{Engine, RowError};
use crate::nn::{Architecture, Batch, Mode, Network, lstm};
use crate::value::{Features, Logits};

/// Runs a network through candle. Clones of the network share its weights; rows are this engine's own.
#[derive(Debug)]
pub struct CandleEngine {
    network: Network,
    device: Device,
    capacity: usize,
    held: Vec<(usize, Features)>,
}

impl CandleEngine {
    /// An engine for `capacity` rows (at least one); the network's weights are on `device`.
    #[must_use]
    pub fn new(network: Network, device: Device, capacity: usize) -> Self {
        Self { network, device, capacity: capacity.max(1), held: Vec::new() }
    }

    /// The answers of these rows, in order.
    fn run(&self, rows: &[Features]) -> candle_core::Result<Vec<Logits>> {
        let batch = Batch::collate(rows, self.network.architecture(), &self.device)?;
        let logits = self.network.forward(&batch, &mut Mode::Evaluate)?.to_dtype(DType::F32)?;
        let (found, _, outputs) = logits.dims3()?;
        if found != rows.len() {
            candle_core::bail!("{} rows gave {found} answers", rows.len());
        }
        let answers = logits.to_vec3::<f32>()?.into_iter().zip(rows);
        let answers = answers.map(|(positions, row)| {
            let values = positions.into_iter().take(self.positions(row)).flatten().collect();
            Logits::new(outputs, values).ok_or_else(|| candle_core::Error::Msg("an answer is empty".into()))
        });
        answers.collect()
    }

    /// Positions that a row's answer has: the rest of its line is padding.
    fn positions(&self, row: &Features) -> usize {
        match (self.network.architecture(), row) {
            (Architecture::LstmClassifier(config), Features::Tokens(ids))
                if config.pooling == lstm::Pooling::None =>
            {
                ids.len()
            }
            _ => 1,
        }
    }

    fn run_alone(&self, row: &Features) -> Result<Logits, RowError> {
        let failed = |error: candle_core::Error| RowError { reason: format!("the network failed: {error}") };
        let mut answers = self.run(std::slice::from_ref(row)).map_err(failed)?;
        answers.pop().ok_or_else(|| RowError { reason: "the network gave no answer".into() })
    }
}

impl Engine for CandleEngine {
    type Row = Features;
    type Answer = Logits;

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn admit(&mut self, slot: usize, row: Features) -> Result<(), RowError> {
        self.network.architecture().accepts(&row).map_err(|reason| RowError { reason })?;
        self.held.push((slot, row));
        Ok(())
    }

    fn step(&mut self, finished: &mut Vec<(usize, Result<Logits, RowError>)>) {
        if self.held.is_empty() {
            return;
        }
        quiet_this_thread();
        let (slots, rows): (Vec<usize>, Vec<Features>) = self.held.drain(..).unzip();
        match self.run(&rows) {
            Ok(answers) => finished.extend(slots.into_iter().zip(answers.into_iter().map(Ok))),
            // Whichever row is at fault, its neighbours are answered.
            Err(_) => finished.extend(slots.into_iter().zip(rows.iter().map(|row| self.run_alone(row)))),
        }
    }

    fn evict(&mut self, slot: usize) {
        self.held.retain(|(held, _)| *held != slot);
    }

    fn reset(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::nn::{Weights, conv};

    fn engine(architecture: &Architecture) -> CandleEngine {
        let mut generator = ChaCha8Rng::seed_from_u64(5);
        let weights = Weights::initialise(architecture, &mut generator, &Device::Cpu).unwrap();
        CandleEngine::new(Network::new(architecture, &weights).unwrap(), Device::Cpu, 8)
    }

    fn texts(pooling: lstm::Pooling) -> CandleEngine {
        engine(&Architecture::LstmClassifier(lstm::Config {
            vocabulary: 50,
            embedding_dim: 8,
            hidden_dim: 12,
            layers: 2,
            bidirectional: true,
            pooling,
            dropout: 0.5,
            outputs: 3,
        }))
    }

    fn text(ids: &[u32]) -> Features {
        Features::Tokens(ids.into())
    }

    fn finish(engine: &mut CandleEngine) -> Vec<(usize, Logits)> {
        let mut finished = Vec::new();
        engine.step(&mut finished);
        finished.into_iter().map(|(slot, answer)| (slot, answer.unwrap())).collect()
    }

    #[test]
    fn a_row_has_the_same_answer_alone_and_in_company() {
        let rows = [text(&[1, 2, 3, 4, 5]), text(&[7]), text(&[9, 0, 9])];
        for pooling in [lstm::Pooling::Last, lstm::Pooling::Mean, lstm::Pooling::Max, lstm::Pooling::None] {
            let mut engine = texts(pooling);
            for (slot, row) in rows.iter().enumerate() {
                engine.admit(slot + 2, row.clone()).unwrap();
            }
            let together = finish(&mut engine);
            for (index, row) in rows.iter().enumerate() {
                engine.admit(0, row.clone()).unwrap();
                let alone = finish(&mut engine);
                assert_eq!(together[index].0, index + 2);
                let (together, alone) = (together[index].1.values(), alone[0].1.values());
                assert_eq!(together.len(), alone.len());
                let difference =
                    together.iter().zip(alone).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
                assert!(difference < 1e-6, "{pooling:?} row {index}: {difference}");
            }
        }
    }

    #[test]
    fn an_unpooled_text_has_an_answer_a_token() {
        let mut engine = texts(lstm::Pooling::None);
        engine.admit(0, text(&[1, 2, 3])).unwrap();
        engine.admit(1, text(&[4])).unwrap();
        let positions: Vec<usize> =
            finish(&mut engine).iter().map(|(_, answer)| answer.positions().len()).collect();
        assert_eq!(positions, [3, 1]);
    }

    #[test]
    fn a_wrong_row_is_refused_at_admission_and_leaves_the_others() {
        let mut engine = texts(lstm::Pooling::Last);
        engine.admit(0, text(&[1])).unwrap();
        assert!(engine.admit(1, text(&[50])).unwrap_err().reason.contains("token id 50"));
        assert!(engine.admit(1, text(&[])).is_err());
        assert!(engine.admit(1, Features::Pixels([0.0].into())).is_err());
        assert_eq!(finish(&mut engine).len(), 1);
        assert!(finish(&mut engine).is_empty());
    }

    #[test]
    fn evicted_rows_are_not_answered() {
        let mut engine = texts(lstm::Pooling::Last);
        engine.admit(0, text(&[1])).unwrap();
        engine.admit(1, text(&[2])).unwrap();
        engine.evict(0);
        assert_eq!(finish(&mut engine).iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [1]);
        engine.admit(0, text(&[1])).unwrap();
        engine.reset();
        assert!(finish(&mut engine).is_empty());
    }

    #[test]
    fn pictures_of_another_size_are_refused() {
        let mut engine = engine(&Architecture::ConvClassifier(conv::Config::article(4)));
        assert!(engine.admit(0, Features::Pixels(vec![0.0; 587].into())).is_err());
        engine.admit(0, Features::Pixels(vec![0.5; 588].into())).unwrap();
        assert_eq!(finish(&mut engine)[0].1.values().len(), 4);
    }
}
