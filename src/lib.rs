#![doc = include_str!("README.md")]
//!
//! # Modules, in reading order
//!
//! A module imports only from floors below its own; `tests/it/tidy.rs` enforces it.

// Floor 0: what everything may lean on.
pub mod kernels;
pub mod limits;
pub mod telemetry;

// Floor 1: what comes in and what it is called.
pub mod image;
pub mod name;
pub mod text;
pub mod value;

// Floor 2: networks, and two generic machines that know no model.
pub mod batch;
pub mod nn;
pub mod registry;

// Floor 3: inference engines.
pub mod engine;

// Floor 4: a directory on disk, and a model.
pub mod model;

// Floor 5: one model version as a service.
pub mod pipeline;

// Floor 6: the doors, and measuring.
pub mod bench;
pub mod http;
pub mod train;

// Floor 7: what was said, and what is meant.
pub mod config;

// Floor 8: parts become a running server.
pub mod app;

// Floor 9: verbs.
pub mod cli;
