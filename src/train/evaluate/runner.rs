//! What answers the rows of an evaluation: a network in training, through candle, or the engine that serves.

use candle_core::Device;

use crate::batch::Engine as _;
use crate::engine::Plan;
use crate::nn::{Architecture, Batch, Mode, Network, lstm};
use crate::value::{Features, Logits};

/// What answers rows.
pub(crate) enum Runner<'a> {
    /// A network as it is trained, on its device.
    Network(&'a Network, &'a Device),
    /// A network as it is served.
    Engine(&'a Plan),
}

impl<'a> Runner<'a> {
    /// A network as it is trained.
    pub(crate) fn network(network: &'a Network, device: &'a Device) -> Self {
        Self::Network(network, device)
    }

    /// Answers rows of like length, in their order.
    pub(super) fn answer(&self, rows: &[Features]) -> Result<Vec<Logits>, String> {
        match self {
            Self::Network(network, device) => through_candle(network, device, rows),
            Self::Engine(plan) => through_engine(plan, rows),
        }
    }
}

fn through_candle(network: &Network, device: &Device, rows: &[Features]) -> Result<Vec<Logits>, String> {
    let architecture = network.architecture();
    let outputs = architecture.outputs();
    let logits = Batch::collate(rows, architecture, device)
        .and_then(|batch| network.forward(&batch, &mut Mode::Evaluate))
        .and_then(|logits| logits.flatten_all()?.to_vec1::<f32>())
        .map_err(|error| error.to_string())?;
    let width = logits.len() / rows.len().max(1);
    let valid = valid_positions(architecture, rows, width / outputs.max(1));
    let answers = logits.chunks_exact(width.max(1)).zip(valid).map(|(logits, valid)| {
        Logits::new(outputs, logits.get(..valid * outputs).unwrap_or(logits).to_vec())
    });
    answers.collect::<Option<_>>().ok_or_else(|| "the network gave no answer".into())
}

fn through_engine(plan: &Plan, rows: &[Features]) -> Result<Vec<Logits>, String> {
    let mut engine = plan.engine(rows.len());
    for (slot, row) in rows.iter().enumerate() {
        engine.admit(slot, row.clone()).map_err(|error| error.to_string())?;
    }
    let mut answers: Vec<Option<Logits>> = vec![None; rows.len()];
    let (mut finished, mut missing) = (Vec::new(), rows.len());
    while missing > 0 {
        engine.step(&mut finished);
        for (slot, answer) in finished.drain(..) {
            if let Some(place) = answers.get_mut(slot) {
                *place = Some(answer.map_err(|error| error.to_string())?);
            }
            missing -= 1;
        }
    }
    answers.into_iter().collect::<Option<_>>().ok_or_else(|| "the engine gave no answer".into())
}

/// Positions of each row that count: one, or of an LSTM that is not pooled one a token.
pub(crate) fn valid_positions(
    architecture: &Architecture,
    rows: &[Features],
    positions: usize,
) -> Vec<usize> {
    let is_pooled = !matches!(
        architecture,
        Architecture::LstmClassifier(lstm::Config { pooling: lstm::Pooling::None, .. })
    );
    rows.iter().map(|row| if is_pooled { 1 } else { row.work().min(positions) }).collect()
}
