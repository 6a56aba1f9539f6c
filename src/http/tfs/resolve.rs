//! Which version answers, and what labels mean: nothing has to be configured for them.
//!
//! `canary` is the newest version that is ready and `stable` the one before it; while there is only one, it is
//! `stable` and there is no `canary`.

use std::sync::Arc;

use super::target::Selector;
use crate::http::ask;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::name::Version;
use crate::pipeline::Pipeline;
use crate::registry::{Entry, State as VersionState};

/// The version that answers.
///
/// # Errors
/// There is none, in the words of TensorFlow Serving; or it is not ready.
pub(super) fn resolve(
    gateway: &Gateway,
    model: &str,
    selector: &Selector,
) -> Result<Arc<Entry<Pipeline>>, Problem> {
    let shown: String = model.chars().take(100).collect();
    let (version, sought) = match selector {
        Selector::Latest => (None, format!("Latest({shown})")),
        Selector::Version(version) => {
            let sought = format!("Specific({shown}, {version})");
            match version.parse::<Version>() {
                Ok(version) => (Some(version), sought),
                Err(_) => return Err(not_found(Code::VersionNotFound, &sought)),
            }
        }
        Selector::Label(label) => (Some(labelled(gateway, model, label)?), format!("Latest({shown})")),
    };
    ask::named(gateway, model, version).map_err(|problem| match problem.code {
        code @ (Code::ModelNotFound | Code::VersionNotFound) => not_found(code, &sought),
        // TensorFlow Serving says 404 and KServe 503, after which a client may come again.
        Code::ModelNotReady => {
            let detail = format!("Servable not found for request: {sought}: {}", problem.detail);
            Problem { detail, ..problem }
        }
        _ => problem,
    })
}

fn not_found(code: Code, sought: &str) -> Problem {
    Problem::new(code, format!("Servable not found for request: {sought}"))
}

/// The version that a label means now.
pub(super) fn labelled(gateway: &Gateway, model: &str, label: &str) -> Result<Version, Problem> {
    let status = gateway.registry.model(model).map_err(|unresolved| match Problem::from(unresolved) {
        problem if problem.code == Code::ModelNotFound => {
            let shown: String = model.chars().take(100).collect();
            not_found(Code::ModelNotFound, &format!("Latest({shown})"))
        }
        problem => problem,
    })?;
    // Latest first.
    let ready: Vec<Version> = status
        .versions
        .iter()
        .filter(|version| matches!(version.state, VersionState::Ready(_)))
        .map(|version| version.version)
        .collect();
    meaning(label, &ready).ok_or_else(|| {
        let label: String = label.chars().take(40).collect();
        let detail = format!(
            "Unrecognized servable version label: {label}; stable is the last version but one that is ready, or the \
             only one, and canary the last of several"
        );
        Problem::new(Code::InvalidRequest, detail)
    })
}

/// The version that a label means when these are ready, latest first.
fn meaning(label: &str, ready: &[Version]) -> Option<Version> {
    match (label, ready) {
        ("stable", [only]) => Some(*only),
        ("stable", [_, before, ..]) | ("canary", [before, _, ..]) => Some(*before),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_what_is_ready() {
        let versions = |numbers: &[&str]| -> Vec<Version> {
            numbers.iter().map(|number| number.parse().unwrap()).collect()
        };
        let means = |label: &str, ready: &[&str]| meaning(label, &versions(ready)).map(Version::get);
        assert_eq!((means("stable", &["3"]), means("canary", &["3"])), (Some(3), None));
        assert_eq!((means("stable", &["4", "3"]), means("canary", &["4", "3"])), (Some(3), Some(4)));
        assert_eq!(
            (means("stable", &["5", "4", "3"]), means("canary", &["5", "4", "3"])),
            (Some(4), Some(5))
        );
        assert_eq!((means("stable", &[]), means("production", &["3"])), (None, None));
    }
}
