//! The LSTM engine: every step advances every held row by one token, on the kernels of this machine.
//!
//! Rows join between any two steps and leave when they are done: there is no padding and no waiting for a batch. A
//! row's answer is bit for bit the same alone or in any company. A step allocates nothing but answers.
//!
//! One direction: all layers advance in the same step, each on what the layer below has just put out. Two directions
//! need the whole text: a row reads its first layer forwards and backwards at once, a token of each a step, keeps what
//! they put out, then its next layer; rows at different layers share the steps.

mod cell;
mod plan;
mod pool;
mod row;

use std::sync::Arc;

use crate::batch::{Engine, RowError};
use crate::kernels::crew::{Ahead, Crew, Team};
use crate::kernels::lstm::Row;
use crate::kernels::lstm_tiles::Scratch;
use crate::value::{Features, Logits};

use cell::{Hidden, Memory, Source};
pub use plan::{LstmLayout, LstmPlan, LstmPlanError};
use pool::{Pool, PutOut};
use row::Held;

/// Runs an [`LstmPlan`]. The plan is shared between engines; rows and their states are this engine's own.
#[derive(Debug)]
pub struct LstmEngine {
    plan: Arc<LstmPlan>,
    slots: Vec<Option<Held>>,
    /// States by layer; of two directions, by direction: a row is in one layer at a time.
    memories: Vec<Memory>,
    pool: Pool,
    /// Rows that advance together.
    batch: Vec<Row>,
    /// Of two directions: what upper layers read, a row each.
    inputs: Hidden,
    team: Team,
    scratch: Scratch,
}

impl LstmEngine {
    /// An engine for `capacity` rows (at least 1).
    #[must_use]
    pub fn new(plan: Arc<LstmPlan>, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let memories = if plan.directions() == 2 { 2 } else { plan.layers() };
        let inputs = if Held::sequences(&plan) > 0 { capacity * 2 * plan.hidden() } else { 0 };
        let mut scratch = Scratch::default();
        plan.cells().for_each(|cell| cell.reserve(capacity, &mut scratch));
        Self {
            slots: (0..capacity).map(|_| None).collect(),
            memories: (0..memories).map(|_| plan.cell(0, 0).memory(capacity)).collect(),
            pool: Pool::new(&plan, capacity),
            batch: Vec::with_capacity(capacity),
            inputs: plan.cell(0, 0).hidden(inputs),
            team: Team::default(),
            scratch,
            plan,
        }
    }

    /// The same with a crew, which it shares with the plan's other engines: it computes on as many cores as it is
    /// [lent](Engine::lend).
    pub(super) fn helped_by(self, crew: Arc<Crew>) -> Self {
        Self { team: Team::of(crew), ..self }
    }

    /// Calls for help with the rows that are held, if it is lent any.
    fn call(&mut self) {
        let (plan, slots) = (&self.plan, &self.slots);
        self.team.call(|| Ahead {
            each: plan.cell(0, 0).products() * slots.iter().flatten().count(),
            all: slots.iter().flatten().map(|held| held.products(plan)).sum(),
        });
    }

    /// Advances the rows that are in this layer.
    fn advance(&mut self, layer: usize, direction: usize) {
        self.gather(layer, direction);
        if self.batch.is_empty() {
            return;
        }
        let both = self.plan.directions() == 2;
        let (below, from) = self.memories.split_at_mut(if both { direction } else { layer });
        let memory = &mut from[0];
        let source = match below.last() {
            _ if layer == 0 => Source::Tokens(self.plan.tokens(direction)),
            Some(below) if !both => {
                Source::Hidden { states: &below.after, stride: self.plan.cell(0, 0).width() }
            }
            _ => Source::Hidden { states: &self.inputs, stride: 2 * self.plan.hidden() },
        };
        self.plan.cell(layer, direction).step(
            (&mut self.team, &mut self.scratch),
            (&self.batch, source),
            memory,
        );
        self.keep(layer, direction);
    }

    /// Lists the rows that are in this layer, with their inputs.
    fn gather(&mut self, layer: usize, direction: usize) {
        self.batch.clear();
        let width = 2 * self.plan.hidden();
        for (slot, held) in self.slots.iter().enumerate() {
            let Some(held) = held.as_ref().filter(|held| held.is_in(&self.plan, layer)) else { continue };
            let input = if layer == 0 {
                held.token(direction)
            } else if self.plan.directions() == 1 {
                slot
            } else {
                let row = self.batch.len();
                self.inputs.write(row * width, held.put_out(&self.plan, layer - 1, direction));
                row
            };
            self.batch.push(Row { slot, input });
        }
    }

    /// Keeps what the rows have just put out, for the next layer or for the answer.
    fn keep(&mut self, layer: usize, direction: usize) {
        let last = layer + 1 == self.plan.layers();
        if !last && self.plan.directions() == 1 {
            return;
        }
        let memory = if self.plan.directions() == 2 { direction } else { layer };
        let after = &self.memories[memory].after.values;
        let width = self.plan.cell(layer, direction).width();
        for row in &self.batch {
            let Some(held) = &mut self.slots[row.slot] else { continue };
            let hidden = &after[row.slot * width..][..width];
            if last {
                self.pool.add(&self.plan, PutOut { slot: row.slot, direction, held, hidden });
            } else {
                held.put(layer, direction, &hidden[..self.plan.hidden()]);
            }
        }
    }

    /// Moves every row on by a token, and the ones at their end to the next layer or out.
    fn turn(&mut self, finished: &mut Vec<(usize, Result<Logits, RowError>)>) {
        let width = self.plan.cell(0, 0).width();
        for memory in &mut self.memories {
            memory.turn();
        }
        for slot in 0..self.slots.len() {
            let Some(held) = &mut self.slots[slot] else { continue };
            if !held.next_token() {
                continue;
            }
            if held.next_layer(&self.plan) {
                for memory in &mut self.memories {
                    memory.clear(slot, width);
                }
            } else if let Some(held) = self.slots[slot].take() {
                let values = self.pool.answer(&self.plan, slot, held);
                let answer = Logits::new(self.plan.head().bias().len(), values);
                let empty = || RowError { reason: "the network has no outputs".into() };
                finished.push((slot, answer.ok_or_else(empty)));
            }
        }
    }
}

impl Engine for LstmEngine {
    type Row = Features;
    type Answer = Logits;

    fn capacity(&self) -> usize {
        self.slots.len()
    }

    fn admit(&mut self, slot: usize, row: Features) -> Result<(), RowError> {
        self.plan.architecture().accepts(&row).map_err(|reason| RowError { reason })?;
        let (Features::Tokens(tokens), Some(place)) = (row, self.slots.get_mut(slot)) else {
            let reason = format!("slot {slot} of an engine for {} rows", self.slots.len());
            return Err(RowError { reason });
        };
        *place = Some(Held::new(&self.plan, tokens));
        let width = self.plan.cell(0, 0).width();
        for memory in &mut self.memories {
            memory.clear(slot, width);
        }
        self.pool.clear(slot);
        Ok(())
    }

    fn lend(&mut self, idle: usize) {
        self.team.lend(idle);
    }

    fn step(&mut self, finished: &mut Vec<(usize, Result<Logits, RowError>)>) {
        self.call();
        for layer in 0..self.plan.layers() {
            for direction in 0..self.plan.directions() {
                self.advance(layer, direction);
            }
        }
        self.turn(finished);
    }

    fn evict(&mut self, slot: usize) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = None;
        }
    }

    fn reset(&mut self) {
        self.slots.fill_with(|| None);
        self.team.lend(0);
    }
}

#[cfg(test)]
mod tests;
