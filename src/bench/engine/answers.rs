//! What an engine answers, row by row: to be compared with what another system makes of the same rows.

use super::EngineError;
use super::stream::failed;
use crate::batch::Engine as _;
use crate::engine::Plan;
use crate::value::{Features, Logits};

/// The logits of every row, in the order of the rows, computed by an engine that holds `batch` rows (at least 1).
///
/// # Errors
/// The engine refused or failed a row.
pub fn answers(plan: &Plan, rows: &[Features], batch: usize) -> Result<Vec<Logits>, EngineError> {
    let mut engine = plan.engine(batch);
    let mut free: Vec<usize> = (0..engine.capacity()).rev().collect();
    let mut held = vec![0; engine.capacity()];
    let mut answers: Vec<Option<Logits>> = vec![None; rows.len()];
    let (mut next, mut open, mut finished) = (0, 0, Vec::new());
    loop {
        while next < rows.len()
            && let Some(slot) = free.pop()
        {
            engine.admit(slot, rows[next].clone()).map_err(|reason| failed(next, reason))?;
            held[slot] = next;
            next += 1;
            open += 1;
        }
        if open == 0 {
            return Ok(answers.into_iter().flatten().collect());
        }
        engine.step(&mut finished);
        for (slot, answer) in finished.drain(..) {
            answers[held[slot]] = Some(answer.map_err(|reason| failed(held[slot], reason))?);
            free.push(slot);
            open -= 1;
        }
    }
}
