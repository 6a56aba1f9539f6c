//! The HTTP door: routes, layers, extraction, problems. Never sees candle.
//!
//! A request goes through the layers and is routed to the protocol that its path belongs to, which translates it, asks
//! a model and translates the answers; whatever goes wrong on the way is a problem, written as that protocol does.

mod server;

mod layers;
mod router;

mod body;
mod compression;
mod cors;
mod deadline;
mod request_id;

mod ask;
mod problem;
mod protocol;
mod refuse;
mod refusing;
mod shelf;
mod timing;
mod typed_error;

mod binary;
mod encoded;
mod instance;
mod invocation;
mod labels;

mod azure;
mod grpc;
mod native;
mod oip;
mod sagemaker;
mod tei;
mod tfs;
mod torchserve;
mod vertex;

mod admin;

mod front;
mod health;

mod document;
mod yaml;

mod listen;

pub use admin::{admin_openapi, admin_openapi_yaml, admin_router};
pub use document::{openapi, openapi_yaml};
pub use listen::{serve, serve_admin, serve_at};
pub use oip::PublicModels;
pub use router::router;
pub use server::{Config, Control, Cors, Gateway, Parts, Platform, Repository};
pub use shelf::{LoadRefusal, Shelf};
