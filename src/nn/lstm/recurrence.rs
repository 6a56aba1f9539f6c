//! The recurrence of an LSTM over packed rows, with its gradient by back-propagation through time.
//!
//! Written by hand on candle's operations, because through candle's own gradients each step's slice costs the whole
//! sequence again. Gates in PyTorch's order: input, forget, cell, output.

use std::sync::Arc;

use candle_core::{D, Result, Tensor, bail};

use super::packing::Packing;
use crate::nn::collate::indices;
use crate::nn::gradient::{Rule, differentiable};

/// Which end of a row the reading starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

impl Direction {
    /// The steps in the order of reading.
    fn order(self, steps: usize) -> Vec<usize> {
        match self {
            Self::Forward => (0..steps).collect(),
            Self::Backward => (0..steps).rev().collect(),
        }
    }
}

/// Hidden states, tokens × H, of the gates' inputs, tokens × 4H (with both biases), and of `weight_hh`, 4H × H.
pub(super) fn recur(
    inputs: &Tensor,
    weight: &Tensor,
    packing: &Arc<Packing>,
    direction: Direction,
) -> Result<Tensor> {
    let rule = Recurrence { packing: Arc::clone(packing), direction };
    let hidden = rule.hidden(&inputs.detach(), &weight.detach())?;
    differentiable(hidden, &[inputs, weight], rule)
}

struct Recurrence {
    packing: Arc<Packing>,
    direction: Direction,
}

/// The four gates after their activation, each rows × H.
struct Gates {
    input: Tensor,
    forget: Tensor,
    cell: Tensor,
    output: Tensor,
}

impl Gates {
    /// From the gates' sums, the cell's doubled already: tanh x = 2σ(2x) - 1, so one σ does for all.
    fn activate(sums: &Tensor) -> Result<Self> {
        let width = sums.dim(D::Minus1)? / 4;
        let all = candle_nn::ops::sigmoid(&sums.contiguous()?)?;
        let gate = |index: usize| all.narrow(1, index * width, width)?.contiguous();
        Ok(Self { input: gate(0)?, forget: gate(1)?, cell: gate(2)?.affine(2.0, -1.0)?, output: gate(3)? })
    }
}

/// 1 × 4H: 2 for the cell gate, 1 for the others.
fn doubling(like: &Tensor) -> Result<Tensor> {
    let width = like.dim(D::Minus1)? / 4;
    let factors = (0..4 * width).map(|i| if i / width == 2 { 2.0 } else { 1.0 }).collect::<Vec<f32>>();
    Tensor::from_vec(factors, (1, 4 * width), like.device())
}

/// The state of `count` rows: rows that are over are left out, rows that begin start from 0.
fn resize(state: &Tensor, count: usize) -> Result<Tensor> {
    let held = state.dim(0)?;
    if held >= count { state.narrow(0, 0, count) } else { state.pad_with_zeros(0, 0, count - held) }
}

impl Recurrence {
    fn hidden(&self, inputs: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let doubling = doubling(inputs)?;
        let inputs = inputs.broadcast_mul(&doubling)?;
        let weight = weight.t()?.broadcast_mul(&doubling)?.contiguous()?;
        let mut states: Vec<(usize, Tensor)> = Vec::with_capacity(self.packing.steps());
        let mut held: Option<(Tensor, Tensor)> = None;
        for t in self.direction.order(self.packing.steps()) {
            let (start, count) = self.packing.step(t);
            let sums = inputs.narrow(0, start, count)?;
            let (hidden, cell) = match held {
                None => {
                    let gates = Gates::activate(&sums)?;
                    let cell = (&gates.input * &gates.cell)?;
                    ((&gates.output * cell.tanh()?)?, cell)
                }
                Some((hidden, cell)) => {
                    let gates = Gates::activate(&(sums + resize(&hidden, count)?.matmul(&weight)?)?)?;
                    let cell = ((gates.forget * resize(&cell, count)?)? + (gates.input * gates.cell)?)?;
                    ((&gates.output * cell.tanh()?)?, cell)
                }
            };
            states.push((t, hidden.clone()));
            held = Some((hidden, cell));
        }
        in_packed_order(states)
    }

    /// The hidden state that each token's step began with; 0 where its row began.
    fn previous(&self, hidden: &Tensor) -> Result<Tensor> {
        let lengths = self.packing.lengths();
        let beginning = self.packing.tokens();
        let length = |row: usize| lengths.get(row).copied().unwrap_or(0);
        // Rows keep their place among the packed ones from step to step, so a neighbour is found by its row's rank.
        let positions = self.packing.padded(|_| beginning);
        let steps = self.packing.steps();
        let at = |row: usize, t: usize| positions.get(row * steps + t).copied().unwrap_or(beginning);
        let from = self.packing.each_token(|row, t| match self.direction {
            Direction::Forward if t > 0 => at(row, t - 1),
            Direction::Backward if t + 1 < length(row) => at(row, t + 1),
            Direction::Forward | Direction::Backward => beginning,
        });
        hidden.pad_with_zeros(0, 0, 1)?.index_select(&indices(&from, hidden.device())?, 0)
    }

    /// The cell states that each token's step began with and ended with.
    fn cells(&self, gates: &Gates) -> Result<(Tensor, Tensor)> {
        let added = (&gates.input * &gates.cell)?;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut held: Option<Tensor> = None;
        for t in self.direction.order(self.packing.steps()) {
            let (start, count) = self.packing.step(t);
            let added = added.narrow(0, start, count)?;
            let began = match held {
                None => added.zeros_like()?,
                Some(cell) => resize(&cell, count)?,
            };
            let cell = ((gates.forget.narrow(0, start, count)? * &began)? + added)?;
            before.push((t, began));
            after.push((t, cell.clone()));
            held = Some(cell);
        }
        Ok((in_packed_order(before)?, in_packed_order(after)?))
    }
}

impl Rule for Recurrence {
    const NAME: &'static str = "lstm";

    fn gradients(
        &self,
        arguments: &[Tensor],
        hidden: &Tensor,
        gradient: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [inputs, weight] = arguments else { bail!("the recurrence has two arguments") };
        let previous = self.previous(hidden)?;
        let sums = (inputs + previous.matmul(&weight.t()?)?)?;
        let gates = Gates::activate(&sums.broadcast_mul(&doubling(inputs)?)?)?;
        let (before, after) = self.cells(&gates)?;
        let Gates { input, forget, cell, output } = gates;
        // What a gate's sum changes: of the cell state for the first three, of the hidden state for the last.
        let squashed = after.tanh()?;
        let slope = |gate: &Tensor| gate * gate.affine(-1.0, 1.0)?;
        let slopes = Tensor::cat(
            &[
                (&cell * slope(&input)?)?,
                (before * slope(&forget)?)?,
                (&input * cell.sqr()?.affine(-1.0, 1.0)?)?,
                (&squashed * slope(&output)?)?,
            ],
            1,
        )?;
        let of_cell = (&output * squashed.sqr()?.affine(-1.0, 1.0)?)?;

        let gradient = gradient.contiguous()?;
        let mut of_sums = Vec::with_capacity(self.packing.steps());
        let mut carried: Option<(Tensor, Tensor)> = None;
        for t in self.direction.order(self.packing.steps()).into_iter().rev() {
            let (start, count) = self.packing.step(t);
            let step = |of: &Tensor| of.narrow(0, start, count);
            let mut hidden = step(&gradient)?;
            if let Some((later, _)) = &carried {
                hidden = (hidden + resize(later, count)?)?;
            }
            let mut cell = (&hidden * step(&of_cell)?)?;
            if let Some((_, later)) = &carried {
                cell = (cell + resize(later, count)?)?;
            }
            let sums = (Tensor::cat(&[&cell, &cell, &cell, &hidden], 1)? * step(&slopes)?)?;
            carried = Some((sums.matmul(weight)?, (cell * step(&forget)?)?));
            of_sums.push((t, sums));
        }
        let of_sums = in_packed_order(of_sums)?;
        let of_weight = of_sums.t()?.matmul(&previous)?;
        Ok(vec![Some(of_sums), Some(of_weight)])
    }
}

/// Steps in any order become tokens × width in packed order.
fn in_packed_order(mut steps: Vec<(usize, Tensor)>) -> Result<Tensor> {
    steps.sort_by_key(|(t, _)| *t);
    let steps: Vec<Tensor> = steps.into_iter().map(|(_, step)| step).collect();
    Tensor::cat(&steps, 0)
}
