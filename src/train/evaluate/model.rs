//! A model version as it is on disk, evaluated on a data set with the preparation that serving uses.

use std::path::Path;

use candle_core::Device;

use super::{Figures, Judge};
use crate::model::Model;
use crate::nn::Network;
use crate::pipeline::Preparer;
use crate::train::data::{self, BadRows, DataError, Reading};
use crate::train::examples::Examiner;
use crate::value::Features;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network.
    #[error("{0}")]
    Failed(String),
}

/// The figures of a model on the data at `path`, and how many bad rows were passed over.
///
/// # Errors
/// The data cannot be read, a row is bad (a label that the model does not know is), or the network fails.
pub fn evaluate(model: &Model, path: &Path, bad_rows: BadRows) -> Result<(Figures, usize), EvaluateError> {
    let manifest = &model.manifest;
    let failed = |error: String| EvaluateError::Failed(error);
    let network =
        Network::new(&manifest.architecture, &model.weights).map_err(|error| failed(error.to_string()))?;
    let reading = Reading { task: manifest.task, objective: manifest.objective, bad_rows };
    let dataset = data::read(path, reading)?;
    let preparer = Preparer::new(manifest.input.clone(), model.tokenizer.clone());
    let examiner = Examiner { preparer: &preparer, labels: &manifest.labels, bad_rows, variation: None };
    let (examples, skipped) = examiner.examine(dataset.rows)?;
    if examples.is_empty() {
        return Err(DataError::unusable(path, "no usable row").into());
    }
    let rows: Vec<(&Features, &[u32])> = examples
        .iter()
        .filter_map(|example| Some((example.features()?, example.labels.as_slice())))
        .collect();
    let judge = Judge {
        network: &network,
        labels: &manifest.labels,
        objective: manifest.objective,
        device: &Device::Cpu,
    };
    let answers = judge.answer(&rows).map_err(failed)?;
    Ok((judge.figures(&answers, &rows), dataset.skipped + skipped))
}
