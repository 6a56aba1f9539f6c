//! Versioned, hot-swappable handles: which models there are, which versions of them answer, and why others do not.
//!
//! Generic: it knows no model; its tests use `&str`. Requests read one snapshot behind an atomic pointer; one loader
//! thread compares what serves with what is there ([`Registry::reconcile`]), and every change is a new snapshot.

mod plan;
mod policy;
mod reconcile;
mod snapshot;
mod status;

#[cfg(test)]
mod tests;

pub use policy::{Policies, Policy};
pub use reconcile::{Registry, Source};
pub use status::{Entry, ModelStatus, State, Unresolved, VersionStatus};
