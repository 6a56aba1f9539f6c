//! The HTTP door: routes, layers, extraction, problems. Never sees candle.

mod server;

pub use server::{Config, Gateway, router, serve};
