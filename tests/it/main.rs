//! All integration tests, in one binary: ports are 0, nothing is downloaded, nothing sleeps to be safe.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking, in its helper functions too"
)]
#![allow(unreachable_pub, missing_docs, reason = "one binary: nothing here is reached from outside")]

mod bench_engine;
mod bench_http;
mod cli_config;
mod cli_help;
mod cli_models;
mod error_table;
mod grpc_answer;
mod grpc_listen;
mod grpc_refuse;
mod hostile_pt;
mod http_answer;
mod http_compression;
mod http_document;
mod http_door;
mod http_listen;
mod http_refuse;
mod invariance;
mod model_directory;
mod model_refused;
mod oip_errors;
mod oip_repository;
mod oip_rest;
mod one_queue;
mod parity;
mod readme;
mod sagemaker_hosting;
mod sagemaker_training;
mod serve_drain;
mod serve_load;
mod serve_swap;
mod steady_state;
mod support;
mod tei_rest;
mod tfs_rest;
mod tidy;
mod torchserve_rest;
mod train_publish;
mod train_resume;
mod vertex_predict;
