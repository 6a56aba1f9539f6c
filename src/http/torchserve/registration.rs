//! Registering and unregistering models of the models directory: loading and unloading by request.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query as Asked, State};
use serde::Deserialize;

use super::management::Status;
use super::{Refusals, in_its_words, serving, version};
use crate::http::ask;
use crate::http::problem::{Code, Problem};
use crate::http::server::{Control, Gateway};

/// What is to be registered.
#[derive(Debug, Deserialize)]
pub(super) struct Register {
    /// The model's directory under the models directory.
    url: String,
    /// The model.
    model_name: Option<String>,
}

/// Register a model.
///
/// Loads a model of the models directory that was unregistered, or was refused, and answers when it answers. Only with
/// `http.model_control = true`. Handler, batch size and workers are those of its settings.
#[utoipa::path(
    post,
    path = "/models",
    tag = "torchserve",
    params(
        ("url" = String, Query, description = "Its directory under the models directory", example = "sentiment"),
        ("model_name" = Option<String>, Query, description = "Its name, which is that of its directory"),
    ),
    responses((status = 200, description = "It answers", body = Status), Refusals),
)]
pub(super) async fn register_model(
    State(gateway): State<Gateway>,
    Asked(register): Asked<Register>,
) -> Result<Json<Status>, Problem> {
    let control = control(&gateway)?;
    let name = named(&register)?;
    if let Ok(entry) = ask::named(&gateway, &name, None) {
        let detail = format!("Model version {} is already registered for model {name}", entry.version);
        return Err(Problem::new(Code::ModelExists, detail));
    }
    let (registry, model) = (Arc::clone(&gateway.registry), name.clone());
    let loaded = tokio::task::spawn_blocking(move || registry.load_model(&model, &*control.0));
    let entry = loaded.await.map_err(|_| failed())?.map_err(|unresolved| {
        let problem = Problem::from(unresolved);
        match problem.code {
            Code::ModelNotFound => Problem::new(Code::ModelNotFound, format!("Model not found at: {name}")),
            _ => Problem::new(Code::ModelRefused, problem.detail),
        }
    })?;
    let workers = entry.handle.workers();
    let status =
        format!("Model \"{name}\" Version: {} registered with {workers} initial workers", entry.version);
    Ok(Json(Status::of(status)))
}

/// Unregister a model.
///
/// None of its versions answers until it is registered again. Only with `http.model_control = true`.
#[utoipa::path(
    delete,
    path = "/models/{name}",
    tag = "torchserve",
    params(("name" = String, Path, description = "The model's name", example = "sentiment")),
    responses((status = 200, description = "It does not answer any more", body = Status), Refusals),
)]
pub(super) async fn unregister_model(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Result<Json<Status>, Problem> {
    control(&gateway)?;
    let (registry, model) = (Arc::clone(&gateway.registry), name.clone());
    let unloaded = tokio::task::spawn_blocking(move || registry.unload_model(&model));
    let unloaded = unloaded.await.map_err(|_| failed())?;
    unloaded.map_err(|unresolved| in_its_words(unresolved.into(), &name, None))?;
    Ok(Json(Status::of(format!("Model \"{name}\" unregistered"))))
}

/// Unregister a version.
///
/// Answers 501: which versions of a model serve is a setting (`models.versions`).
#[utoipa::path(
    delete,
    path = "/models/{name}/{version}",
    tag = "torchserve",
    params(
        ("name" = String, Path, description = "The model's name", example = "sentiment"),
        ("version" = String, Path, description = "The version", example = "1.0"),
    ),
    responses(Refusals),
)]
pub(super) async fn unregister_version(
    State(gateway): State<Gateway>,
    Path((name, number)): Path<(String, String)>,
) -> Problem {
    let found = version(&number, &name).and_then(|version| {
        let version = Some(version);
        serving(&gateway, &name, version)
    });
    found.err().unwrap_or_else(|| {
        let detail = format!(
            "which versions of {name} serve is a setting: set model.{name}.versions, or unregister the model"
        );
        Problem::new(Code::NotSupported, detail)
    })
}

fn control(gateway: &Gateway) -> Result<Control, Problem> {
    gateway.control.clone().ok_or_else(|| {
        let detail = "models are registered and unregistered only with http.model_control = true";
        Problem::new(Code::NotSupported, detail)
    })
}

/// The model that a registration is about.
fn named(register: &Register) -> Result<String, Problem> {
    let directory = register.url.split('/').next().unwrap_or_default();
    match &register.model_name {
        Some(name) if name != directory => {
            let detail = format!(
                "model_name is {name:?} and the url {directory:?}: a model is called as its directory under the \
                 models directory"
            );
            Err(Problem::new(Code::InvalidParameter, detail.chars().take(400).collect::<String>()))
        }
        _ => Ok(directory.to_owned()),
    }
}

fn failed() -> Problem {
    Problem::new(Code::Internal, "loading failed in the server; its log has more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_called_as_its_directory() {
        let named = |url: &str, name: Option<&str>| {
            named(&Register { url: url.to_owned(), model_name: name.map(str::to_owned) })
        };
        assert_eq!(named("sentiment", None).as_deref(), Ok("sentiment"));
        assert_eq!(named("sentiment/1", Some("sentiment")).as_deref(), Ok("sentiment"));
        let problem = named("https://example.com/m.mar", Some("m")).unwrap_err();
        assert_eq!(problem.code, Code::InvalidParameter);
    }
}
