//! The HTTP door: routes, layers, extraction, problems. Never sees candle.
//!
//! A request goes through the layers, is routed, extracted into a question and classified; whatever goes wrong on
//! the way is a problem. Each of these words is a module.

mod server;

mod layers;
mod router;

mod body;
mod deadline;
mod request_id;

mod extract;
mod question;

mod answer;
mod problem;
mod refuse;

mod catalogue;
mod classify;
mod front;
mod health;

mod document;
mod yaml;

mod listen;

pub use document::{openapi, openapi_yaml};
pub use listen::serve;
pub use router::router;
pub use server::{Config, Gateway};
