//! Training: recipe + data → the same preparation as serving → batches → network → loss → optimizer → checkpoints →
//! evaluation → report → published as the next version.
//!
//! In reading order: [`session`] is a run as a whole; `recipe`, `data`, `examples` and `setup` are what it starts from;
//! `fit` is its loop, over `order`, `state`, `loss`, `optimizer` and `schedule`; `position` and `checkpoint` are what it
//! can go on from; `evaluate`, `report` and `conclude` are its end.

mod checkpoint;
mod conclude;
mod data;
mod examples;
mod fit;
mod generator;
mod interrupt;
mod lock;
mod loss;
mod optimizer;
mod order;
mod position;
mod progress;
mod recipe;
mod report;
mod schedule;
mod setup;
mod state;

pub mod evaluate;
pub mod session;

pub use data::{BadRows, DataError};
pub use interrupt::Interrupt;
pub use position::EpochFigures;
