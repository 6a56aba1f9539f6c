//! Which engine runs a network: ours on a CPU, candle elsewhere.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::{
    CandleEngine, ConvEngine, ConvPlan, ConvPlanError, LstmEngine, LstmLayout, LstmPlan, LstmPlanError,
    Precision,
};
use crate::batch::{Engine, RowError};
use crate::kernels::cpu::Level;
use crate::kernels::crew::Crew;
use crate::limits::{CREW_THREADS_MAX, LSTM_TABLE_BYTES_DEFAULT};
use crate::nn::{Architecture, Mismatch, Network, Weights, lstm};
use crate::value::{Features, Logits};

/// Hidden units from which 24 bits in tiles are faster than f32: with 64 a batch of 16 takes as long in both, and a row alone
/// 0.9 µs instead of 0.5; with 96 a batch takes two thirds.
const TILED_UNITS_MIN: usize = 96;

/// What the operator asked for: `auto` or `candle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// Our kernels where they run, candle elsewhere.
    #[default]
    Auto,
    /// Candle everywhere.
    Candle,
}

/// A network laid out for one device. Cloning is cheap: clones and the engines they make share its weights.
#[derive(Clone, Debug)]
pub enum Plan {
    /// A text classifier on our kernels, and who helps its engines.
    Lstm(Arc<LstmPlan>, Arc<Crew>),
    /// An image classifier on our kernels, and who helps its engines.
    Conv(Arc<ConvPlan>, Arc<Crew>),
    /// Any network on any device, through candle.
    Candle(Network, Device),
}

/// Why a network cannot be laid out for a device.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// As a text classifier on our kernels.
    #[error(transparent)]
    Lstm(#[from] LstmPlanError),
    /// As an image classifier on our kernels.
    #[error(transparent)]
    Conv(#[from] ConvPlanError),
    /// No kernel computes this network on this device in this precision.
    #[error(
        "precision is {precision}, which only the kernels of an lstm-classifier on a CPU compute: set precision = \"f32\" in model.toml, or device = \"cpu\" and engine = \"auto\" in the configuration"
    )]
    Precision {
        /// The precision asked for.
        precision: Precision,
    },
    /// The tensors are not those of the architecture.
    #[error(transparent)]
    Tensors(#[from] Mismatch),
    /// The device refuses a tensor.
    #[error("tensor {name} cannot be put on the device: {source}")]
    Device {
        /// Its name.
        name: String,
        /// Why.
        source: candle_core::Error,
    },
}

impl Plan {
    /// Lays out a network of these weights for the device, to compute in this precision.
    ///
    /// # Errors
    /// The weights are not those of the architecture, the device refuses them, or there is no kernel of this
    /// precision.
    pub fn new(
        architecture: &Architecture,
        weights: &Weights,
        precision: Precision,
        device: &Device,
    ) -> Result<Self, PlanError> {
        match architecture {
            Architecture::LstmClassifier(config) if device.is_cpu() => {
                let table_bytes_max = LSTM_TABLE_BYTES_DEFAULT;
                let layout = LstmLayout { level: lstm_level(config, precision), table_bytes_max, precision };
                Ok(Self::Lstm(Arc::new(LstmPlan::new(config, weights, layout)?), Arc::default()))
            }
            _ if !precision.is_f32() => Err(PlanError::Precision { precision }),
            Architecture::ConvClassifier(config) if device.is_cpu() => {
                Ok(Self::Conv(Arc::new(ConvPlan::new(config, weights)?), Arc::default()))
            }
            Architecture::LstmClassifier(_) | Architecture::ConvClassifier(_) => {
                Self::candle(architecture, weights, device)
            }
        }
    }

    /// The same through candle on any device, kernels or not.
    ///
    /// # Errors
    /// The weights are not those of the architecture, or the device refuses them.
    pub fn candle(
        architecture: &Architecture,
        weights: &Weights,
        device: &Device,
    ) -> Result<Self, PlanError> {
        let moved = on_device(weights, device)?;
        Ok(Self::Candle(Network::new(architecture, &moved)?, device.clone()))
    }

    /// The same for so many threads, one of them the engine's own: one engine at a time may compute what it holds on
    /// all of them, when it is [lent](Engine::lend) the cores. Without this every engine is alone on its thread. The
    /// answers are the same to the bit.
    ///
    /// Without a batching layer, an engine on `threads` cores is
    /// `plan.for_threads(threads).engine(capacity)` followed by one `lend(threads - 1)`.
    #[must_use]
    pub fn for_threads(self, threads: usize) -> Self {
        let crew = |scratch| Arc::new(Crew::new(threads.clamp(1, CREW_THREADS_MAX) - 1, scratch));
        match self {
            Self::Lstm(plan, _) => Self::Lstm(plan, crew(0)),
            Self::Conv(plan, _) => {
                let scratch = plan.scratch();
                Self::Conv(plan, crew(scratch))
            }
            Self::Candle(..) => self,
        }
    }

    /// The instructions that its kernels run on; none where they are candle's.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        match self {
            Self::Lstm(plan, _) => Some(plan.level()),
            Self::Conv(..) => Some(Level::detect().untiled()),
            Self::Candle(..) => None,
        }
    }

    /// An engine for `capacity` rows.
    #[must_use]
    pub fn engine(&self, capacity: usize) -> PlannedEngine {
        match self {
            Self::Lstm(plan, crew) => {
                PlannedEngine::Lstm(LstmEngine::new(Arc::clone(plan), capacity).helped_by(Arc::clone(crew)))
            }
            Self::Conv(plan, crew) => {
                PlannedEngine::Conv(ConvEngine::new(Arc::clone(plan), capacity).helped_by(Arc::clone(crew)))
            }
            Self::Candle(network, device) => {
                PlannedEngine::Candle(CandleEngine::new(network.clone(), device.clone(), capacity))
            }
        }
    }
}

/// The widest level, or the one below tiles where they are no faster.
fn lstm_level(config: &lstm::Config, precision: Precision) -> Level {
    match Level::detect() {
        level if precision != Precision::Bf16 && config.hidden_dim < TILED_UNITS_MIN => level.untiled(),
        level => level,
    }
}

fn on_device(weights: &Weights, device: &Device) -> Result<Weights, PlanError> {
    let moved = |(name, tensor): (&String, &Tensor)| match tensor.to_device(device) {
        Ok(tensor) => Ok((name.clone(), tensor)),
        Err(source) => Err(PlanError::Device { name: name.clone(), source }),
    };
    weights.0.iter().map(moved).collect::<Result<_, _>>().map(Weights)
}

/// The engine of a [`Plan`].
#[derive(Debug)]
pub enum PlannedEngine {
    /// A text classifier on our kernels.
    Lstm(LstmEngine),
    /// An image classifier on our kernels.
    Conv(ConvEngine),
    /// Through candle.
    Candle(CandleEngine),
}

/// Calls the same method of whichever engine it is.
macro_rules! each {
    ($engine:expr, $inner:ident => $call:expr) => {
        match $engine {
            PlannedEngine::Lstm($inner) => $call,
            PlannedEngine::Conv($inner) => $call,
            PlannedEngine::Candle($inner) => $call,
        }
    };
}

impl Engine for PlannedEngine {
    type Row = Features;
    type Answer = Logits;

    fn capacity(&self) -> usize {
        each!(self, engine => engine.capacity())
    }

    fn admit(&mut self, slot: usize, row: Features) -> Result<(), RowError> {
        each!(self, engine => engine.admit(slot, row))
    }

    fn lend(&mut self, idle: usize) {
        each!(self, engine => engine.lend(idle));
    }

    fn step(&mut self, finished: &mut Vec<(usize, Result<Logits, RowError>)>) {
        each!(self, engine => engine.step(finished));
    }

    fn evict(&mut self, slot: usize) {
        each!(self, engine => engine.evict(slot));
    }

    fn reset(&mut self) {
        each!(self, engine => engine.reset());
    }
}
