//! Benches: `cargo bench`, or `cargo bench -- engine/lstm` for one subject. A module a subject, each with its sketch.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod engine;
mod prepare;

criterion::criterion_group!(benches, engine::benches, prepare::benches);
criterion::criterion_main!(benches);
