//! The repository's methods: its index, and loading and unloading where that is allowed.

use super::inference::model_repository_parameter::ParameterChoice;
use super::inference::{
    ModelRepositoryParameter, RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest, repository_index_response::ModelIndex,
};
use crate::http::oip::errors::invalid;
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
    let parameter = |(name, value): (String, ModelRepositoryParameter)| match value.parameter_choice {
        Some(ParameterChoice::StringParam(text)) => Ok((name, text)),
        // Content of a file, which is refused by its name.
        Some(ParameterChoice::BytesParam(_)) => Ok((name, String::new())),
        _ => {
            let shown: String = name.chars().take(40).collect();
            Err(invalid(format!("invalid value type for load parameter '{shown}', expected string_param.")))
        }
    };
    let parameters = request.parameters.into_iter().map(parameter).collect::<Result<_, Problem>>()?;
    repository::load_with(gateway, &request.model_name, &parameters).await
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
