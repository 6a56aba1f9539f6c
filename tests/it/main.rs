//! All integration tests, in one binary: ports are 0, nothing is downloaded, nothing sleeps to be safe.

mod support;
mod tidy;
