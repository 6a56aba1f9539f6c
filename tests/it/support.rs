//! What several tests need: a running server of the real binary, a client, folders of models.

pub mod client;
pub mod door;
pub mod grpc;
pub mod held;
pub mod models;
pub mod pictures;
pub mod sagemaker;
pub mod server;
pub mod training;
