//! A text classifier's weights laid out for the kernels.

use super::cell::Cell;
use crate::engine::Precision;
use crate::kernels::aligned::Aligned;
use crate::kernels::cpu::Level;
use crate::kernels::linear::Linear;
use crate::kernels::lstm::{Input, Weights as CellWeights, to_exponents};
use crate::nn::lstm::{Config, Pooling};
use crate::nn::{Architecture, Mismatch, Weights};

/// Why a network cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LstmPlanError {
    /// A tensor is missing, extra, of the wrong shape or not finite.
    #[error(transparent)]
    Tensor(#[from] Mismatch),
    /// A tensor's values cannot be read.
    #[error("tensor {name} cannot be read as f32: {source}")]
    Unreadable {
        /// Its name.
        name: String,
        /// Why.
        source: candle_core::Error,
    },
    /// Weights are too large for fixed point.
    #[error(
        "the weights of a gate add up to {gate:e}, expected at most 1e30 for precision int16: set precision = \"f32\" in model.toml"
    )]
    TooLarge {
        /// The largest sum of magnitudes that a gate can be, as an exponent of two.
        gate: f64,
    },
}

/// How a network is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LstmLayout {
    /// The instructions to use, or the ones below where the machine lacks them.
    pub level: Level,
    /// Bytes that a folded embedding may take: vocabulary × 4 · hidden f32 for each direction, or it is not folded.
    pub table_bytes_max: usize,
    /// The numbers that the layers compute in. The folded embedding, gates, pooling and the head are f32 in each.
    pub precision: Precision,
}

/// A text classifier laid out for the kernels of one machine. Nothing changes it: engines share it.
#[derive(Debug)]
pub struct LstmPlan {
    architecture: Architecture,
    config: Config,
    /// The instructions of what is not tiled.
    level: Level,
    embedding: Embedding,
    /// A layer's directions, forward first.
    layers: Vec<Vec<Cell>>,
    head: Linear,
}

/// What a token becomes.
#[derive(Debug)]
enum Embedding {
    /// `Embedding · W_ihᵀ + b` for each direction: the input product is done.
    Folded(Vec<Aligned>),
    /// The embedding as it was trained.
    Raw(Vec<f32>),
}

impl LstmPlan {
    /// Lays out a text classifier of these weights.
    ///
    /// # Errors
    /// The weights are not exactly the tensors of `config`, all finite, or they are too large for the precision.
    pub fn new(config: &Config, weights: &Weights, layout: LstmLayout) -> Result<Self, LstmPlanError> {
        let architecture = Architecture::LstmClassifier(config.clone());
        if let Some(mismatch) = weights.mismatches(&architecture).into_iter().next() {
            return Err(mismatch.into());
        }
        let embedding = values(weights, "embedding.weight")?;
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let endings = ["", "_reverse"].into_iter().take(directions(config));
            let largest =
                (layer == 0).then(|| embedding.iter().fold(0.0, |most: f32, value| most.max(value.abs())));
            let cell = |ending| {
                let tensors = CellTensors::read(weights, &format!("l{layer}{ending}"))?;
                Cell::new((layout.level, layout.precision), config.hidden_dim, tensors.weights(), largest)
            };
            layers.push(endings.map(cell).collect::<Result<Vec<_>, _>>()?);
        }
        let (weight, bias) = (values(weights, "fc.weight")?, values(weights, "fc.bias")?);
        let first = layers.first().map_or(&[][..], |cells: &Vec<Cell>| cells);
        Ok(Self {
            embedding: Embedding::new(config, embedding, first, layout.table_bytes_max),
            config: config.clone(),
            architecture,
            level: layout.level.or_below(),
            head: Linear::new(layout.level, &weight, &bias, directions(config)),
            layers,
        })
    }

    /// The instructions that its layers run on.
    #[must_use]
    pub fn level(&self) -> Level {
        if self.cells().any(Cell::is_tiled) { Level::Amx } else { self.level.untiled() }
    }

    /// Bytes of the folded embedding; 0 when it is not folded.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        match &self.embedding {
            Embedding::Folded(tables) => tables.iter().map(|table| table.len() * size_of::<f32>()).sum(),
            Embedding::Raw(_) => 0,
        }
    }

    /// The network's architecture.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    pub(super) fn cell(&self, layer: usize, direction: usize) -> &Cell {
        &self.layers[layer][direction]
    }

    /// All layers in all directions.
    pub(super) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.layers.iter().flatten()
    }

    /// Rows that a step computes at once: fewer leave it part empty.
    pub(in crate::engine) fn rows_together(&self) -> usize {
        self.cell(0, 0).rows_together()
    }

    /// What the first layer reads: a row for every token id.
    pub(super) fn tokens(&self, direction: usize) -> Input<'_> {
        match &self.embedding {
            Embedding::Folded(tables) => Input::Folded(&tables[direction]),
            Embedding::Raw(values) => Input::Raw { values, stride: self.config.embedding_dim },
        }
    }

    pub(super) fn head(&self) -> &Linear {
        &self.head
    }

    pub(super) fn layers(&self) -> usize {
        self.layers.len()
    }

    pub(super) fn directions(&self) -> usize {
        directions(&self.config)
    }

    pub(super) fn hidden(&self) -> usize {
        self.config.hidden_dim
    }

    pub(super) fn pooling(&self) -> Pooling {
        self.config.pooling
    }
}

impl Embedding {
    fn new(config: &Config, values: Vec<f32>, cells: &[Cell], bytes_max: usize) -> Self {
        let columns: usize = cells.iter().map(Cell::folded_width).sum();
        let bytes = config.vocabulary.saturating_mul(columns).saturating_mul(size_of::<f32>());
        if bytes <= bytes_max {
            Self::Folded(cells.iter().map(|cell| cell.fold(&values)).collect())
        } else {
            Self::Raw(values)
        }
    }
}

fn directions(config: &Config) -> usize {
    if config.bidirectional { 2 } else { 1 }
}

/// The tensors of one layer in one direction, as a cell is packed from them.
struct CellTensors {
    input: Vec<f32>,
    recurrent: Vec<f32>,
    /// The sum of both biases.
    bias: Vec<f32>,
}

impl CellTensors {
    fn read(weights: &Weights, suffix: &str) -> Result<Self, LstmPlanError> {
        let tensor = |name: &str| values(weights, &format!("lstm.{name}_{suffix}"));
        let (mut input, mut recurrent) = (tensor("weight_ih")?, tensor("weight_hh")?);
        let biases = tensor("bias_ih")?.into_iter().zip(tensor("bias_hh")?);
        let mut bias: Vec<f32> = biases.map(|(a, b)| a + b).collect();
        for gates in [&mut input, &mut recurrent, &mut bias] {
            to_exponents(gates);
        }
        Ok(Self { input, recurrent, bias })
    }

    fn weights(&self) -> CellWeights<'_> {
        CellWeights { input: &self.input, recurrent: &self.recurrent, bias: &self.bias }
    }
}

fn values(weights: &Weights, name: &str) -> Result<Vec<f32>, LstmPlanError> {
    let missing = || Mismatch::Missing { name: name.to_owned(), expected: Vec::new() };
    let tensor = weights.0.get(name).ok_or_else(missing)?;
    let read = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>());
    read.map_err(|source| LstmPlanError::Unreadable { name: name.to_owned(), source })
}
