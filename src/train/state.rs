//! All that training changes: weights, moments, their running average, batch-norm statistics, the best so far.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};

use super::generator::{Purpose, generator};
use super::optimizer::{self, Slices};
use crate::nn::{Architecture, Batch, Mode, Network, Weights};

/// The state of one training run, but for how far it is.
pub(crate) struct State {
    architecture: Architecture,
    network: Network,
    trainable: Vec<Trainable>,
    statistics_average: BTreeMap<String, Vec<f32>>,
    best: BTreeMap<String, Vec<f32>>,
    averages: bool,
    device: Device,
}

struct Trainable {
    name: String,
    variable: Var,
    values: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    average: Vec<f32>,
}

/// What one optimizer step needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The optimizer.
    pub(crate) optimizer: optimizer::Config,
    /// The learning rate, schedule included.
    pub(crate) learning_rate: f64,
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Largest norm of the gradients.
    pub(crate) gradient_clip: Option<f64>,
    /// Decay of the running average.
    pub(crate) average_decay: Option<f64>,
}

/// Whether a tensor is a running statistic of batch norm, which no gradient changes.
fn is_statistic(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

impl State {
    /// Fresh weights.
    pub(crate) fn fresh(
        architecture: &Architecture,
        seed: u64,
        averages: bool,
        device: &Device,
    ) -> Result<Self, String> {
        let mut generator = generator(seed, Purpose::Weights, 0, 0);
        // Drawn on the CPU, so that they are the same for every device.
        let weights = Weights::initialise(architecture, &mut generator, &Device::Cpu).map_err(text)?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in &weights.0 {
            let values = values(tensor)?;
            if averages {
                tensors.insert(format!("average/{name}"), values.clone());
            }
            tensors.insert(format!("now/{name}"), values);
        }
        Self::restore(architecture, &tensors, averages, device)
    }

    /// The state that [`tensors`](Self::tensors) wrote down.
    pub(crate) fn restore(
        architecture: &Architecture,
        tensors: &BTreeMap<String, Vec<f32>>,
        averages: bool,
        device: &Device,
    ) -> Result<Self, String> {
        let find = |kind: &str, name: &str| tensors.get(&format!("{kind}/{name}")).cloned();
        let mut trainable = Vec::new();
        let mut weights = Weights::default();
        let mut statistics_average = BTreeMap::new();
        for (name, shape) in architecture.tensors() {
            let values = find("now", &name).ok_or_else(|| format!("the checkpoint has no tensor {name}"))?;
            let average = find("average", &name).unwrap_or_default();
            let tensor = Tensor::from_vec(values.clone(), shape, device).map_err(text)?;
            if is_statistic(&name) {
                weights.0.insert(name.clone(), tensor);
                statistics_average.insert(name, average);
                continue;
            }
            let variable = Var::from_tensor(&tensor).map_err(text)?;
            weights.0.insert(name.clone(), variable.as_tensor().clone());
            let zeros = || vec![0.0; values.len()];
            let first = find("first", &name).unwrap_or_else(zeros);
            let second = find("second", &name).unwrap_or_else(zeros);
            trainable.push(Trainable { name, variable, values, first, second, average });
        }
        let network = Network::new(architecture, &weights).map_err(text)?;
        let best = tensors
            .iter()
            .filter_map(|(key, values)| Some((key.strip_prefix("best/")?.to_owned(), values.clone())))
            .collect();
        let (architecture, device) = (architecture.clone(), device.clone());
        Ok(Self { architecture, network, trainable, statistics_average, best, averages, device })
    }

    /// All tensors of the state by name, for a checkpoint.
    pub(crate) fn tensors(&self) -> Result<BTreeMap<String, Vec<f32>>, String> {
        let mut tensors = BTreeMap::new();
        for one in &self.trainable {
            tensors.insert(format!("now/{}", one.name), one.values.clone());
            tensors.insert(format!("first/{}", one.name), one.first.clone());
            tensors.insert(format!("second/{}", one.name), one.second.clone());
            if self.averages {
                tensors.insert(format!("average/{}", one.name), one.average.clone());
            }
        }
        for (name, tensor) in self.network.statistics() {
            if let Some(average) = self.statistics_average.get(&name).filter(|_| self.averages) {
                tensors.insert(format!("average/{name}"), average.clone());
            }
            tensors.insert(format!("now/{name}"), values(&tensor)?);
        }
        tensors.extend(self.best.iter().map(|(name, values)| (format!("best/{name}"), values.clone())));
        Ok(tensors)
    }

    /// Logits of a training batch, with the graph behind them.
    pub(crate) fn forward(&self, batch: &Batch, mode: &mut Mode<'_>) -> Result<Tensor, String> {
        self.network.forward(batch, mode).map_err(text)
    }

    /// One optimizer step along the gradient that `logit_gradient` (same shape as the logits) has.
    pub(crate) fn step(
        &mut self,
        logits: &Tensor,
        logit_gradient: Vec<f32>,
        step: Step,
    ) -> Result<(), String> {
        // The gradient of this product by the weights is the loss's, by the chain rule.
        let slope = Tensor::from_vec(logit_gradient, logits.shape(), logits.device()).map_err(text)?;
        let along = logits.mul(&slope).and_then(|product| product.sum_all()).map_err(text)?;
        let store = along.backward().map_err(text)?;
        let mut gradients = Vec::with_capacity(self.trainable.len());
        for one in &self.trainable {
            gradients.push(match store.get(one.variable.as_tensor()) {
                Some(gradient) => values(gradient)?,
                None => vec![0.0; one.values.len()],
            });
        }
        let norm = optimizer::clip(&mut gradients, step.gradient_clip);
        if !norm.is_finite() {
            return Err("the gradient is not finite".into());
        }
        for (one, gradient) in self.trainable.iter_mut().zip(&gradients) {
            let slices =
                Slices { weights: &mut one.values, gradient, first: &mut one.first, second: &mut one.second };
            step.optimizer.update(step.learning_rate, step.number, slices);
            let updated = Tensor::from_slice(&one.values, one.variable.shape(), &self.device);
            updated.and_then(|updated| one.variable.set(&updated)).map_err(text)?;
        }
        self.average(step)
    }

    /// Moves the running average towards the weights; faster in the first steps, which start far off.
    fn average(&mut self, step: Step) -> Result<(), String> {
        let Some(decay) = step.average_decay else { return Ok(()) };
        let steps = step.number as f64;
        #[expect(clippy::cast_possible_truncation, reason = "a factor for f32 values")]
        let share = (1.0 - decay.min((1.0 + steps) / (10.0 + steps))) as f32;
        let towards = |average: &mut Vec<f32>, values: &[f32]| {
            average
                .iter_mut()
                .zip(values)
                .for_each(|(average, value)| *average += share * (value - *average));
        };
        for one in &mut self.trainable {
            towards(&mut one.average, &one.values);
        }
        for (name, tensor) in self.network.statistics() {
            if let Some(average) = self.statistics_average.get_mut(&name) {
                towards(average, &values(&tensor)?);
            }
        }
        Ok(())
    }

    /// The weights that would be the model now: the running average where there is one.
    pub(crate) fn model(&self) -> Result<BTreeMap<String, Vec<f32>>, String> {
        let mut model = BTreeMap::new();
        for one in &self.trainable {
            model.insert(one.name.clone(), if self.averages { &one.average } else { &one.values }.clone());
        }
        for (name, tensor) in self.network.statistics() {
            let average = self.statistics_average.get(&name).filter(|_| self.averages).cloned();
            model.insert(name, average.map_or_else(|| values(&tensor), Ok)?);
        }
        Ok(model)
    }

    /// Keeps these weights as the best so far.
    pub(crate) fn keep(&mut self, model: BTreeMap<String, Vec<f32>>) {
        self.best = model;
    }

    /// The best weights so far; empty before the first epoch's end.
    pub(crate) fn best(&self) -> &BTreeMap<String, Vec<f32>> {
        &self.best
    }

    /// A network of its own with these weights, on `device`.
    pub(crate) fn network(
        &self,
        model: &BTreeMap<String, Vec<f32>>,
        device: &Device,
    ) -> Result<(Network, Weights), String> {
        let mut weights = Weights::default();
        for (name, shape) in self.architecture.tensors() {
            let values = model.get(&name).cloned().unwrap_or_default();
            weights.0.insert(name, Tensor::from_vec(values, shape, device).map_err(text)?);
        }
        let network = Network::new(&self.architecture, &weights).map_err(text)?;
        Ok((network, weights))
    }
}

/// A tensor's numbers, in row-major order.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>, String> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
