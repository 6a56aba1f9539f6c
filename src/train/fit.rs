//! The training loop: seeded batches → network → loss → optimizer; at each epoch's end validation; checkpoints.

use std::time::Instant;

use candle_core::Device;

use super::checkpoint::{Checkpoint, Store};
use super::evaluate::{Figures, Judge, Runner, valid_positions};
use super::examples::{Example, Sample, drop_tokens};
use super::generator::{Purpose, generator};
use super::order::batches;
use super::position::{EpochFigures, Position};
use super::progress::{Moment, Progress};
use super::recipe::Metric;
use super::session::{SessionError, Stopped};
use super::setup::Plan;
use super::state::{State, Step, values};
use crate::nn::{Batch, Mode};
use crate::pipeline::given;
use crate::train::interrupt::Interrupt;
use crate::value::{Features, Objective};

/// One training run under way.
pub(crate) struct Fit<'a> {
    plan: &'a Plan,
    store: &'a Store,
    device: Device,
    checkpoint_steps: u64,
    unknown_token: u32,
    lengths: Vec<usize>,
    pub(crate) state: State,
    pub(crate) position: Position,
    /// Whether training was over when this process began: it may have been killed while it published.
    pub(crate) was_finished: bool,
}

/// Where a run writes its checkpoints, and how often.
pub(crate) struct Keeping<'a> {
    /// Where.
    pub(crate) store: &'a Store,
    /// Every so many steps, and at each epoch's end.
    pub(crate) steps: u64,
}

impl<'a> Fit<'a> {
    /// A run from the start, or on from a checkpoint.
    pub(crate) fn new(
        plan: &'a Plan,
        from: Option<Checkpoint>,
        keeping: &Keeping<'a>,
        device: Device,
    ) -> Result<Self, SessionError> {
        let averages = plan.recipe.average_decay.is_some();
        let (state, position) = if let Some(checkpoint) = from {
            let state = State::restore(&plan.architecture, &checkpoint.tensors, averages, &device);
            (state, checkpoint.position)
        } else {
            let state = State::fresh(&plan.architecture, plan.recipe.seed, averages, &device);
            (state, Position::default())
        };
        let was_finished = position.is_finished(plan.recipe.epochs, plan.recipe.patience);
        Ok(Self {
            plan,
            store: keeping.store,
            device,
            checkpoint_steps: keeping.steps.max(1),
            unknown_token: plan.unknown_token(),
            lengths: plan.training.iter().map(Example::length).collect(),
            state: state.map_err(SessionError::Failed)?,
            position,
            was_finished,
        })
    }

    /// Trains to the end, or until interrupted: then a checkpoint is written first.
    pub(crate) fn run(&mut self, interrupt: &Interrupt, progress: &mut Progress) -> Result<(), SessionError> {
        let recipe = &self.plan.recipe;
        let rows = self.plan.training.len() as u64;
        progress.begin(rows * recipe.epochs, rows * self.position.epoch + self.position.rows);
        while !self.position.is_finished(recipe.epochs, recipe.patience) {
            let order = batches(&self.lengths, recipe.batch_size, recipe.seed, self.position.epoch);
            let steps_per_epoch = order.len() as u64;
            let done = usize::try_from(self.position.batch).unwrap_or(usize::MAX);
            for batch in order.iter().skip(done) {
                let began = Instant::now();
                self.step(batch, steps_per_epoch)?;
                self.position.seconds += began.elapsed().as_secs_f64();
                progress.step(self.moment());
                if interrupt.is_set() {
                    return self.stop();
                }
                if self.position.step.is_multiple_of(self.checkpoint_steps) {
                    self.save()?;
                }
            }
            let Some(figures) = self.validate(interrupt)? else { return self.stop() };
            self.end_epoch(steps_per_epoch, &figures, progress)?;
            self.save()?;
        }
        progress.end();
        Ok(())
    }

    /// Writes a checkpoint and ends.
    fn stop(&self) -> Result<(), SessionError> {
        self.save()?;
        let stopped = Stopped { epoch: self.position.epoch + 1, epochs: self.plan.recipe.epochs };
        Err(SessionError::Interrupted(stopped))
    }

    fn moment(&self) -> Moment {
        let position = &self.position;
        let seen = position.rows.max(1) as f64;
        Moment {
            epoch: position.epoch + 1,
            epochs: self.plan.recipe.epochs,
            rows: position.epoch * self.plan.training.len() as u64 + position.rows,
            loss: position.loss_sum / seen,
            accuracy: position.right as f64 / seen,
        }
    }

    fn learning_rate(&self, steps_per_epoch: u64) -> f64 {
        let recipe = &self.plan.recipe;
        let factor = recipe.schedule.factor(self.position.step, steps_per_epoch, recipe.epochs);
        recipe.optimizer.learning_rate * factor
    }

    fn step(&mut self, indices: &[usize], steps_per_epoch: u64) -> Result<(), SessionError> {
        let failed = |error: candle_core::Error| SessionError::Failed(error.to_string());
        let recipe = &self.plan.recipe;
        let examples: Vec<&Example> =
            indices.iter().filter_map(|index| self.plan.training.get(*index)).collect();
        let features: Vec<Features> =
            indices.iter().zip(&examples).map(|(index, example)| self.features(*index, example)).collect();
        let batch = Batch::collate(&features, &self.plan.architecture, &self.device).map_err(failed)?;
        let mut dropout = generator(recipe.seed, Purpose::Dropout, self.position.epoch, self.position.batch);
        let logits =
            self.state.forward(&batch, &mut Mode::Train(&mut dropout)).map_err(SessionError::Failed)?;
        let (_, positions, outputs) = logits.dims3().map_err(failed)?;
        let valid = valid_positions(&self.plan.architecture, &features, positions);
        let found = values(&logits).map_err(SessionError::Failed)?;
        let rows = Rows { examples: &examples, valid: &valid, positions, outputs };
        let (mean, gradient) = self.loss(&rows, &found);
        if !mean.is_finite() {
            return Err(self.diverged());
        }
        let step = Step {
            optimizer: recipe.optimizer,
            learning_rate: self.learning_rate(steps_per_epoch),
            number: self.position.step + 1,
            gradient_clip: recipe.gradient_clip,
            average_decay: recipe.average_decay,
        };
        self.state.step(&logits, gradient, step).map_err(SessionError::Failed)?;
        self.position.step += 1;
        self.position.batch += 1;
        self.position.rows += examples.len() as u64;
        self.position.loss_sum += mean * examples.len() as f64;
        Ok(())
    }

    fn diverged(&self) -> SessionError {
        SessionError::Failed(format!(
            "the loss is not finite any more at step {} (epoch {}); try a smaller learning rate, or gradient_clip",
            self.position.step + 1,
            self.position.epoch + 1
        ))
    }

    /// A training row as this epoch sees it.
    fn features(&self, index: usize, example: &Example) -> Features {
        let mut generator =
            generator(self.plan.recipe.seed, Purpose::Augmentation, self.position.epoch, index as u64);
        match (&example.sample, &self.plan.variation) {
            (Sample::Varied(picture), Some(variation)) => variation.features(picture, &mut generator),
            (Sample::Ready(features), _) => {
                let probability = self.plan.recipe.text.as_ref().map_or(0.0, |text| text.token_dropout);
                drop_tokens(features, self.unknown_token, probability, &mut generator)
            }
            // Pictures to vary are made by a variation only.
            (Sample::Varied(_), None) => Features::Pixels([].into()),
        }
    }

    /// The mean loss and its gradient by all logits; padding has none. Counts the rows answered rightly.
    fn loss(&mut self, rows: &Rows<'_>, logits: &[f32]) -> (f64, Vec<f32>) {
        let width = rows.positions * rows.outputs;
        let (mut valid_logits, mut labels): (Vec<f32>, Vec<&[u32]>) = (Vec::new(), Vec::new());
        for ((example, valid), logits) in rows.examples.iter().zip(rows.valid).zip(logits.chunks_exact(width))
        {
            let logits = logits.get(..valid * rows.outputs).unwrap_or(logits);
            self.position.right += u64::from(self.is_right(logits, rows.outputs, &example.labels));
            valid_logits.extend(logits);
            labels.extend(std::iter::repeat_n(example.labels.as_slice(), *valid));
        }
        let evaluated = self.plan.loss.evaluate(&valid_logits, rows.outputs, labels);
        let mut gradient = vec![0.0; logits.len()];
        let mut rest = evaluated.gradient.as_slice();
        for (row, valid) in gradient.chunks_exact_mut(width).zip(rows.valid) {
            let (own, others) = rest.split_at(valid * rows.outputs);
            row[..own.len()].copy_from_slice(own);
            rest = others;
        }
        (evaluated.mean, gradient)
    }

    /// Whether a row's logits, averaged over its positions, give exactly its labels.
    fn is_right(&self, logits: &[f32], outputs: usize, labels: &[u32]) -> bool {
        let mut sums = vec![0.0_f32; outputs];
        for position in logits.chunks_exact(outputs) {
            sums.iter_mut().zip(position).for_each(|(sum, logit)| *sum += logit);
        }
        // A logit above 0 is a score above a half.
        let answer = match self.plan.recipe.objective {
            Objective::Binary => vec![u32::from(sums.first().is_some_and(|sum| *sum > 0.0))],
            Objective::MultiLabel => {
                (0..).zip(&sums).filter(|(_, sum)| **sum > 0.0).map(|(label, _)| label).collect()
            }
            Objective::MultiClass => given(Objective::MultiClass, &sums),
        };
        answer.len() == labels.len() && answer.iter().all(|label| labels.contains(label))
    }

    fn end_epoch(
        &mut self,
        steps_per_epoch: u64,
        figures: &Figures,
        progress: &Progress,
    ) -> Result<(), SessionError> {
        let recipe = &self.plan.recipe;
        let moment = self.moment();
        let epoch = EpochFigures {
            epoch: moment.epoch,
            learning_rate: self.learning_rate(steps_per_epoch),
            train_loss: moment.loss,
            train_accuracy: moment.accuracy,
            valid_loss: figures.loss,
            valid_accuracy: figures.accuracy,
            valid_macro_f1: figures.macro_f1,
        };
        let figure = match recipe.metric {
            Metric::Accuracy => figures.accuracy,
            Metric::MacroF1 => figures.macro_f1,
            Metric::Loss => -figures.loss,
        };
        if self.position.end_epoch(epoch, figure) {
            self.state.keep(self.state.model().map_err(SessionError::Failed)?);
        }
        progress.epoch(&epoch, recipe.epochs, moment.rows);
        Ok(())
    }

    /// How the weights that would be the model now answer the validation rows; nothing when interrupted before that
    /// is known.
    fn validate(&self, interrupt: &Interrupt) -> Result<Option<Figures>, SessionError> {
        let model = self.state.model().map_err(SessionError::Failed)?;
        let (network, _) = self.state.network(&model, &self.device).map_err(SessionError::Failed)?;
        let judge = Judge {
            runner: Runner::network(&network, &self.device),
            labels: &self.plan.labels,
            objective: self.plan.recipe.objective,
        };
        let rows = self.plan.validation_rows();
        let answers = judge.answer_unless(&rows, || interrupt.is_set()).map_err(SessionError::Failed)?;
        Ok(answers.map(|answers| judge.figures(&answers, &rows)))
    }

    fn save(&self) -> Result<(), SessionError> {
        let tensors = self.state.tensors().map_err(SessionError::Failed)?;
        let checkpoint =
            Checkpoint { inputs: self.plan.inputs.clone(), position: self.position.clone(), tensors };
        self.store.save(&checkpoint).map_err(SessionError::Failed)
    }
}

impl Plan {
    /// The validation rows with their labels.
    pub(crate) fn validation_rows(&self) -> Vec<(&Features, &[u32])> {
        self.validation
            .iter()
            .filter_map(|example| Some((example.features()?, example.labels.as_slice())))
            .collect()
    }
}

/// The rows of a batch, and how their logits lie.
struct Rows<'a> {
    examples: &'a [&'a Example],
    valid: &'a [usize],
    positions: usize,
    outputs: usize,
}
