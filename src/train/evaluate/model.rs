//! A model version as it is on disk, evaluated on a data set with the preparation that serving uses.

use std::path::Path;

use candle_core::Device;
use serde::Serialize;

use super::{Answered, Figures, Judge, Runner};
use crate::engine::{Plan, Precision};
use crate::model::Model;
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

/// How well a model answers a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The figures, of the engine that serves the model.
    #[serde(flatten)]
    pub figures: Figures,
    /// Of a model whose precision is not f32: rows that are given the labels that f32 gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_agree_with_f32: Option<usize>,
    /// Bad rows passed over.
    #[serde(skip)]
    pub skipped: usize,
}

/// Answers the data at `path` with the engine that serves the model on a CPU, in the model's precision.
///
/// # Errors
/// The data cannot be read, a row is bad (a label that the model does not know is), or the network fails.
pub fn evaluate(model: &Model, path: &Path, bad_rows: BadRows) -> Result<Evaluation, EvaluateError> {
    let manifest = &model.manifest;
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
    let (figures, answers) = answer(model, manifest.precision, &rows)?;
    let labels_agree_with_f32 = if manifest.precision.is_f32() {
        None
    } else {
        let (_, exact) = answer(model, Precision::F32, &rows)?;
        Some(answers.iter().zip(exact).filter(|(answer, exact)| answer.given == exact.given).count())
    };
    Ok(Evaluation { figures, labels_agree_with_f32, skipped: dataset.skipped + skipped })
}

fn answer(
    model: &Model,
    precision: Precision,
    rows: &[(&Features, &[u32])],
) -> Result<(Figures, Vec<Answered>), EvaluateError> {
    let manifest = &model.manifest;
    let plan = Plan::new(&manifest.architecture, &model.weights, precision, &Device::Cpu)
        .map_err(|error| EvaluateError::Failed(error.to_string()))?;
    let judge =
        Judge { runner: Runner::Engine(&plan), labels: &manifest.labels, objective: manifest.objective };
    let answers = judge.answer(rows).map_err(EvaluateError::Failed)?;
    Ok((judge.figures(&answers, rows), answers))
}
