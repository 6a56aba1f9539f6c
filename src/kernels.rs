//! SIMD operations, one a file: each opens with its sketch (flops, bytes, registers) and has a scalar twin as oracle.
//!
//! Every kernel picks its code at run time by [`cpu::Level`], computes each row by itself in a fixed order, and so
//! answers a row bit for bit the same alone and in any company.
#![expect(
    unsafe_code,
    reason = "vector instructions; each block says why it is sound, the twins are the oracles"
)]

mod amx;
mod checked;
mod gates;
mod lanes;
mod packed_i16;
mod pairs;
mod panels;
mod scatter;
mod tile;

pub mod activation;
pub mod aligned;
pub mod conv;
pub mod conv_direct;
pub mod cpu;
pub mod crew;
pub mod curve;
pub mod dot;
pub mod gemm;
pub mod linear;
pub mod lstm;
pub mod lstm_i16;
pub mod lstm_tiles;
pub mod map;
pub mod packed_bf16;
pub mod packed_i24;
pub mod peak;
pub mod pool;
pub mod threads;
pub mod tile_matrix;
pub mod winograd;
