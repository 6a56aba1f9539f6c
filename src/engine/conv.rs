//! The convolutional engine: finishes every held picture in one step, on the kernels of this machine.
//!
//! A picture's answer is bit for bit the same alone or in any company: no kernel adds numbers of two pictures, and the
//! order in which it adds those of one does not depend on where in a batch the picture is. A step allocates nothing
//! but the answers.

mod choice;
mod fold;
mod plan;

use std::sync::Arc;

use crate::batch::{Engine, RowError};
use crate::kernels::crew::{Crew, Team};
use crate::value::{Features, Logits};

use plan::Memory;
pub use plan::{ConvPlan, ConvPlanError};

/// Runs a [`ConvPlan`]. The plan is shared between engines; pictures and maps are this engine's own.
#[derive(Debug)]
pub struct ConvEngine {
    plan: Arc<ConvPlan>,
    slots: Vec<Option<Arc<[f32]>>>,
    memory: Memory,
    logits: Vec<f32>,
    /// Slots that pass together.
    group: Vec<usize>,
    team: Team,
}

impl ConvEngine {
    /// An engine for `capacity` pictures (at least 1).
    #[must_use]
    pub fn new(plan: Arc<ConvPlan>, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let group = plan.group().min(capacity);
        Self {
            slots: vec![None; capacity],
            memory: plan.memory(group),
            logits: vec![0.0; group * plan.outputs()],
            group: Vec::with_capacity(group),
            team: Team::default(),
            plan,
        }
    }

    /// The same with a crew, which it shares with the plan's other engines: it computes on as many cores as it is
    /// [lent](Engine::lend).
    pub(super) fn helped_by(self, crew: Arc<Crew>) -> Self {
        Self { team: Team::of(crew), ..self }
    }

    /// Computes the pictures of `self.group` and empties it.
    fn pass(&mut self, finished: &mut Vec<(usize, Result<Logits, RowError>)>) {
        let pictures = self.group.len();
        for (picture, slot) in self.group.iter().enumerate() {
            if let Some(pixels) = &self.slots[*slot] {
                self.plan.place(&mut self.memory, picture, pixels);
            }
        }
        let outputs = self.plan.outputs();
        let logits = &mut self.logits[..pictures * outputs];
        self.plan.run(&mut self.team, (pictures, &mut self.memory), logits);
        for (slot, logits) in self.group.drain(..).zip(logits.chunks_exact(outputs)) {
            self.slots[slot] = None;
            let answer = Logits::new(outputs, logits.to_vec());
            finished.push((slot, answer.ok_or_else(|| error("the network has no outputs".to_owned()))));
        }
    }
}

impl Engine for ConvEngine {
    type Row = Features;
    type Answer = Logits;

    fn capacity(&self) -> usize {
        self.slots.len()
    }

    fn admit(&mut self, slot: usize, row: Features) -> Result<(), RowError> {
        let Features::Pixels(pixels) = row else {
            return Err(error("the network takes pixels and was given tokens".to_owned()));
        };
        let expected = self.plan.pixels();
        if pixels.len() != expected {
            return Err(error(format!(
                "the network takes {expected} pixel values and was given {}",
                pixels.len()
            )));
        }
        let capacity = self.slots.len();
        let place = self.slots.get_mut(slot);
        *place.ok_or_else(|| error(format!("slot {slot} of an engine for {capacity} rows")))? = Some(pixels);
        Ok(())
    }

    fn lend(&mut self, idle: usize) {
        self.team.lend(idle);
    }

    fn step(&mut self, finished: &mut Vec<(usize, Result<Logits, RowError>)>) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].is_some() {
                self.group.push(slot);
            }
            let full = self.group.len() == self.group.capacity();
            if full || (slot + 1 == self.slots.len() && !self.group.is_empty()) {
                self.pass(finished);
            }
        }
    }

    fn evict(&mut self, slot: usize) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = None;
        }
    }

    fn reset(&mut self) {
        self.slots.fill(None);
        self.group.clear();
        self.team.lend(0);
    }
}

fn error(reason: String) -> RowError {
    RowError { reason }
}

#[cfg(test)]
mod tests;
