//! What is merged, what wins, and what is said of mistakes.
use super::*;
#[test] fn x() { read(&Sources::default()).unwrap(); }
