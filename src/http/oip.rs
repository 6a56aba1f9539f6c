//! The Open Inference Protocol, version 2: one core for every transport, and the transports.
//!
//! The core speaks of tensors, not of bodies: a transport reads an [`request::InferRequest`], has [`model::infer`]
//! answer it and writes the [`request::InferResponse`]. A model of ours takes its rows in one of several inputs
//! ([`signature`] lists them) and gives `scores`, `label` and `score`.

pub(in crate::http) mod datatype;
pub(in crate::http) mod errors;
mod inputs;
pub(in crate::http) mod metadata;
pub(in crate::http) mod model;
mod outputs;
mod overrides;
mod public;
pub(in crate::http) mod repository;
pub(in crate::http) mod request;
mod rest;
pub(in crate::http) mod settings;
pub(in crate::http) mod signature;
pub(in crate::http) mod statistics;
pub(in crate::http) mod tensor;

pub use public::PublicModels;
pub(super) use rest::PROTOCOL;
