//! What the public test models remember: whether they are loaded, how many rows they take, what they have answered.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::{PublicModel, ROWS_MAX};
use crate::batch::Executions;
use crate::pipeline::{Requests, Statistics};

/// The state of the public test models.
#[derive(Debug, Default)]
pub struct PublicModels([Mutex<State>; 4]);

/// The state of one.
#[derive(Debug)]
struct State {
    loaded: bool,
    rows_max: usize,
    requests: Requests,
    executions: Executions,
}

impl Default for State {
    fn default() -> Self {
        Self {
            loaded: true,
            rows_max: ROWS_MAX,
            requests: Requests::default(),
            executions: Executions::default(),
        }
    }
}

impl PublicModels {
    /// Nothing panics while it holds the lock, so a poisoned state is a sound one.
    fn of(&self, model: PublicModel) -> MutexGuard<'_, State> {
        let Self([simple, int8, string, identity]) = self;
        let state = match model {
            PublicModel::Simple => simple,
            PublicModel::SimpleInt8 => int8,
            PublicModel::SimpleString => string,
            PublicModel::SimpleIdentity => identity,
        };
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the model answers.
    pub(in crate::http::oip) fn is_loaded(&self, model: PublicModel) -> bool {
        self.of(model).loaded
    }

    /// Has the model answer, with so many rows of a request at most; with as many as at the start when `None`.
    pub(in crate::http::oip) fn load(&self, model: PublicModel, rows_max: Option<usize>) {
        let mut state = self.of(model);
        state.loaded = true;
        state.rows_max = rows_max.unwrap_or(ROWS_MAX);
    }

    /// Has the model answer no more.
    pub(in crate::http::oip) fn unload(&self, model: PublicModel) {
        self.of(model).loaded = false;
    }

    /// Rows of a request at most.
    pub(super) fn rows_max(&self, model: PublicModel) -> usize {
        self.of(model).rows_max
    }

    /// A request of so many rows was answered.
    pub(super) fn answered(&self, model: PublicModel, (rows, took): (usize, Duration)) {
        let mut state = self.of(model);
        state.requests.count(SystemTime::now(), took);
        state.executions.count_one(rows, took);
    }

    /// What the model has done.
    pub(in crate::http::oip) fn statistics(&self, model: PublicModel) -> Statistics {
        let state = self.of(model);
        Statistics { requests: state.requests, executions: state.executions.clone() }
    }
}
