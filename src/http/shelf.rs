//! Models that requests bring and take away, each from a directory of its own.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::name::ModelName;

/// Models that requests bring and take away. Every call but [`models`](Self::models) is blocking and may be slow.
pub trait Shelf: fmt::Debug + Send + Sync {
    /// Loads a model from a directory; it answers under this name from now on.
    ///
    /// # Errors
    /// Why it does not.
    fn load(&self, name: &ModelName, directory: &Path) -> Result<(), LoadRefusal>;

    /// Takes a model away, and says whether it was there. Its memory is free when this returns, unless a request still
    /// holds it.
    fn unload(&self, name: &ModelName) -> bool;

    /// The models that are there, and where they came from.
    fn models(&self) -> Vec<(ModelName, PathBuf)>;
}

/// Why a model is not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadRefusal {
    /// It is loaded already.
    There,
    /// There is no room for it.
    NoRoom(String),
    /// It is no model, or not a good one.
    Bad(String),
}
