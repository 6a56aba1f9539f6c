//! Benches: `cargo bench`, or `cargo bench -- engine/lstm` for one subject. A module a subject, each with its sketch.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "criterion's macros are undocumented; a bench that cannot start panics"
)]

mod engine;
mod kernels_conv;
mod kernels_lstm;
mod prepare;

criterion::criterion_group!(
    benches,
    engine::benches,
    kernels_conv::benches,
    kernels_lstm::benches,
    prepare::benches
);
criterion::criterion_main!(benches);
