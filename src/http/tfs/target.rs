//! What a path under `/v1/models/` names: a model, maybe a version or a label, and what is to be done.

use std::borrow::Cow;

use axum::http::Method;

use crate::http::problem::{Code, Problem};

/// What is asked, and of which model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The model's name.
    pub(super) model: String,
    /// Which version of it.
    pub(super) selector: Selector,
    /// What is to be done.
    pub(super) verb: Verb,
}

/// Which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    /// The latest that is ready.
    Latest,
    /// The one of this number, as it was written: digits.
    Version(String),
    /// The one of this label.
    Label(String),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Scores of every label.
    Predict,
    /// Labels with scores.
    Classify,
    /// A number: no model here gives one.
    Regress,
    /// An explanation: none is given here.
    Explain,
}

/// Where all of it is.
const ROOT: &str = "/v1/models/";

impl Target {
    /// What a request is about.
    ///
    /// # Errors
    /// Its path has no verb, or one that is not known.
    pub(super) fn of(method: &Method, path: &str) -> Result<Self, Problem> {
        parse(path).ok_or_else(|| malformed(method, path))
    }
}

fn parse(path: &str) -> Option<Target> {
    let (place, verb) = below_root(path)?.rsplit_once(':')?;
    let verb = match verb.to_ascii_lowercase().as_str() {
        "predict" => Verb::Predict,
        "classify" => Verb::Classify,
        "regress" => Verb::Regress,
        "explain" => Verb::Explain,
        _ => return None,
    };
    let mut segments = place.split('/').map(decoded);
    let model = segments.next()??;
    let selector = match (segments.next(), segments.next(), segments.next()) {
        (None, ..) => Selector::Latest,
        (Some(kind), Some(name), None) => selector(&kind?, &name?)?,
        _ => return None,
    };
    Some(Target { model, selector, verb })
}

/// What comes after the root, which may be written in any case, as all that this protocol's paths have but names.
fn below_root(path: &str) -> Option<&str> {
    let (root, rest) = path.split_at_checked(ROOT.len())?;
    root.eq_ignore_ascii_case(ROOT).then_some(rest)
}

/// Whether a path is under a model.
pub(super) fn is_below_root(path: &str) -> bool {
    below_root(path).is_some()
}

/// The path with its fixed words in small letters, if it is one of this protocol's and has any in another case.
pub(super) fn in_small_letters(path: &str) -> Option<String> {
    // As in /v1/models/NAME/versions/1/metadata: the words are the first, the second, the fourth and the sixth.
    const WORDS: [(usize, &[&str]); 4] =
        [(1, &["v1"]), (2, &["models"]), (4, &["versions", "labels", "metadata"]), (6, &["metadata"])];
    let mut segments: Vec<&str> = path.split('/').collect();
    for (place, words) in WORDS {
        let Some(segment) = segments.get_mut(place) else { continue };
        *segment = words.iter().find(|word| segment.eq_ignore_ascii_case(word))?;
    }
    let small = segments.join("/");
    (small != path).then_some(small)
}

/// `versions/3` or `labels/stable`.
pub(super) fn selector(kind: &str, name: &str) -> Option<Selector> {
    match kind.to_ascii_lowercase().as_str() {
        "versions" if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Selector::Version(name.to_owned()))
        }
        "labels" if !name.is_empty() => Some(Selector::Label(name.to_owned())),
        _ => None,
    }
}

/// The digits of a segment that names a version.
///
/// # Errors
/// There is something else in it, or nothing.
pub(super) fn digits(version: &str) -> Result<&str, Problem> {
    if matches!(selector("versions", version), Some(Selector::Version(_))) {
        return Ok(version);
    }
    let version: String = version.chars().take(40).collect();
    Err(Problem::new(Code::InvalidParameter, format!("Failed to convert version: {version} to numeric.")))
}

fn decoded(segment: &str) -> Option<String> {
    percent_decoded(segment).map(Cow::into_owned)
}

/// A segment of a path with its percent signs read; `None` when they mean no UTF-8.
fn percent_decoded(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The problem of a request that is none of this protocol's.
pub(super) fn malformed(method: &Method, path: &str) -> Problem {
    let path: String = path.chars().take(200).collect();
    Problem::new(Code::InvalidRequest, format!("Malformed request: {method} {path}"))
}

/// Whether a request asks in a way that this protocol does not know, wherever it was refused.
pub(super) fn is_malformed(method: &Method, path: &str) -> bool {
    let has_verb = path.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if *method == Method::POST { parse(path).is_none() } else { has_verb }
}

/// Whether this is the path of a model's page.
pub(super) fn is_page(path: &str) -> bool {
    page_of(path).is_some()
}

/// The model whose page is at this path.
pub(super) fn page_of(path: &str) -> Option<&str> {
    below_root(path).filter(|name| !name.contains(['/', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Option<Target> {
        Target::of(&Method::POST, path).ok()
    }

    #[test]
    fn model_version_and_verb_are_read() {
        let expected = |selector, verb| Some(Target { model: "m".to_owned(), selector, verb });
        assert_eq!(target("/v1/models/m:predict"), expected(Selector::Latest, Verb::Predict));
        assert_eq!(target("/v1/models/m:Classify"), expected(Selector::Latest, Verb::Classify));
        let version = Selector::Version("12".to_owned());
        assert_eq!(target("/v1/models/m/versions/12:regress"), expected(version, Verb::Regress));
        let label = Selector::Label("stable".to_owned());
        assert_eq!(target("/v1/models/%6D/labels/stable:explain"), expected(label, Verb::Explain));
    }

    #[test]
    fn fixed_words_may_be_in_any_case_and_names_may_not() {
        for (path, small) in [
            ("/V1/Models/M", Some("/v1/models/M")),
            ("/v1/MODELS", Some("/v1/models")),
            ("/v1/models/M:Predict", None),
            ("/V1/models/M:Predict", Some("/v1/models/M:Predict")),
            ("/v1/models/Labels/LABELS/Stable:predict", Some("/v1/models/Labels/labels/Stable:predict")),
            ("/v1/models/M/Versions/1/Metadata", Some("/v1/models/M/versions/1/metadata")),
            ("/v1/models/M/versions/1/metadata", None),
            ("/V1/Text/Classify", None),
            ("/V1/Models/M/Pages", None),
            ("/", None),
        ] {
            assert_eq!(in_small_letters(path).as_deref(), small, "{path}");
        }
        let expected = Target {
            model: "M".to_owned(),
            selector: Selector::Version("1".to_owned()),
            verb: Verb::Predict,
        };
        assert_eq!(target("/V1/Models/M/VERSIONS/1:PREDICT"), Some(expected));
        assert!(is_page("/V1/MODELS/m") && is_below_root("/V1/models/m/x"));
    }

    #[test]
    fn anything_else_is_malformed() {
        for path in [
            "/v1/models/m",
            "/v1/models/m:guess",
            "/v1/models/m/versions/x:predict",
            "/v1/models/m/versions/:predict",
            "/v1/models/m/editions/1:predict",
            "/v1/models/m/versions/1/2:predict",
            "/v1/models/%zz:predict",
            "/v1/models/%ff:predict",
        ] {
            let problem = Target::of(&Method::POST, path).unwrap_err();
            assert_eq!(problem.detail, format!("Malformed request: POST {path}"));
        }
        assert!(is_malformed(&Method::GET, "/v1/models/m:predict"));
        assert!(!is_malformed(&Method::POST, "/v1/models/m:predict"));
        assert!(!is_malformed(&Method::GET, "/v1/models/m"));
    }
}
