//! Versioned, hot-swappable handles: which models there are, which versions of them answer, and why others do not.
//!
//! Generic: it knows no model; its tests use `&str`.

mod policy;
mod reconcile;
mod status;

pub use policy::{Policies, Policy};
pub use reconcile::{Registry, Source};
pub use status::{Entry, ModelStatus, State, Unresolved, VersionStatus};
