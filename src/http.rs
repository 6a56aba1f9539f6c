//! The HTTP door: routes, layers, extraction, problems. Never sees candle.
//!
//! A request goes through the [layers](layers), is [routed](router), [extracted](extract) into a
//! [question](question) and [classified](classify); whatever goes wrong on the way is a [problem](problem).

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
