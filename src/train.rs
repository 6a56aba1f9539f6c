//! Training: recipe + data → the same preparation as serving → batches → network → loss → optimizer → checkpoints →
//! evaluation → report → published as the next version.

mod data;
mod recipe;

pub mod evaluate;
pub mod session;
