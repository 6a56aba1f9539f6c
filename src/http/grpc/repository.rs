//! The repository's methods: its index, and loading and unloading where that is allowed.

use super::inference::{
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest, repository_index_response::ModelIndex,
};
use crate::http::oip::repository::{self, Change, IndexEntry, Only};
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;

/// The versions there are.
///
/// # Errors
/// A repository is named: there is one, without a name.
pub(super) fn index(
    gateway: &Gateway,
    request: &RepositoryIndexRequest,
) -> Result<RepositoryIndexResponse, Problem> {
    unnamed(&request.repository_name)?;
    let only = if request.ready { Only::Ready } else { Only::All };
    let entry = |IndexEntry { name, version, state, reason }| ModelIndex {
        name,
        version,
        state: String::from(state),
        reason,
    };
    Ok(RepositoryIndexResponse { models: repository::index(gateway, only).into_iter().map(entry).collect() })
}

/// Loads a model, and returns when it answers.
///
/// # Errors
/// That is not allowed, there is no such model, or it was refused; or it is to be changed while it is loaded.
pub(super) async fn load(gateway: &Gateway, request: RepositoryModelLoadRequest) -> Result<(), Problem> {
    unnamed(&request.repository_name)?;
    if let Some(name) = request.parameters.keys().next() {
        let shown: String = name.chars().take(100).collect();
        let detail = format!(
            "load parameter '{shown}' is not supported: a model directory has all that its predictions depend on"
        );
        return Err(Problem::new(Code::NotSupported, detail));
    }
    repository::change(gateway, &request.model_name, Change::Load).await
}

/// Unloads a model, and returns when it no longer answers. No model depends on another, so `unload_dependents` has
/// nothing to say.
///
/// # Errors
/// That is not allowed, or there is no such model.
pub(super) async fn unload(gateway: &Gateway, request: RepositoryModelUnloadRequest) -> Result<(), Problem> {
    unnamed(&request.repository_name)?;
    repository::change(gateway, &request.model_name, Change::Unload).await
}

fn unnamed(repository: &str) -> Result<(), Problem> {
    if repository.is_empty() {
        return Ok(());
    }
    Err(Problem::new(Code::NotSupported, "'repository_name' specification is not supported"))
}
