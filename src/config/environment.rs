//! Reading `SCONCE_…` variables into keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use super::key::PREFIX;
use super::{FILE_VARIABLE, Key, Origin, Problem, Said, Value};

/// What the variables say, and which of them cannot be read.
pub(super) fn read(
    variables: &[(OsString, OsString)],
    others: &BTreeSet<String>,
) -> (BTreeMap<Key, Said>, Vec<Problem>) {
    let mut said = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, value) in variables {
        let Some(name) = ours(name) else { continue };
        if name == FILE_VARIABLE || others.contains(name) {
            continue;
        }
        let origin = Origin::Environment { variable: name.to_owned() };
        let Some(key) = Key::from_variable(name) else { continue };
        match value.to_str() {
            Some(text) if from_kubernetes(name, text) => {}
            Some(text) => {
                said.insert(key, Said { value: Value::Text(text.to_owned()), origin });
            }
            None => problems.push(Problem::Wrong {
                key: key.to_string(),
                value: Value::Text(value.to_string_lossy().into_owned()).to_string(),
                origin,
                expected: "valid UTF-8".to_owned(),
            }),
        }
    }
    (said, problems)
}

fn ours(name: &OsStr) -> Option<&str> {
    name.to_str().filter(|name| name.starts_with(PREFIX))
}

/// Whether Kubernetes made the variable: it gives every container `SCONCE_SERVICE_HOST`, `SCONCE_PORT=tcp://…` and
/// the like when a service is called `sconce`.
fn from_kubernetes(name: &str, value: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    let number = |text: &str| text.split('_').next().is_some_and(|port| port.parse::<u16>().is_ok());
    !rest.contains("__")
        && (rest == "SERVICE_HOST"
            || rest.starts_with("SERVICE_PORT")
            || (rest == "PORT" && value.contains("://"))
            || rest.strip_prefix("PORT_").is_some_and(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(variables: &[(&str, &str)]) -> Vec<String> {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (said, problems) = read(&variables, &BTreeSet::from(["SCONCE_OTHER".to_owned()]));
        assert!(problems.is_empty());
        said.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn only_keys_are_taken() {
        let found = names(&[
            ("PATH", "/bin"),
            ("SCONCE_CONFIG", "x.toml"),
            ("SCONCE_OTHER", "1"),
            ("SCONCE_HTTP__PORT", "1"),
            ("SCONCE_NONSENSE", "1"),
        ]);
        assert_eq!(found, ["http.port", "nonsense"]);
    }

    #[test]
    fn a_kubernetes_service_called_sconce_does_no_harm() {
        let made = [
            ("SCONCE_SERVICE_HOST", "10.0.0.1"),
            ("SCONCE_SERVICE_PORT", "80"),
            ("SCONCE_SERVICE_PORT_HTTP", "80"),
            ("SCONCE_PORT", "tcp://10.0.0.1:80"),
            ("SCONCE_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("SCONCE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(names(&made), [] as [&str; 0]);
        assert_eq!(names(&[("SCONCE_PORT", "8080")]), ["port"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_named() {
        use std::os::unix::ffi::OsStringExt as _;
        let variables = [("SCONCE_LOG__FILTER".into(), OsString::from_vec(vec![0xff]))];
        let (said, problems) = read(&variables, &BTreeSet::new());
        assert!(said.is_empty());
        assert!(problems[0].to_string().contains("SCONCE_LOG__FILTER"), "{}", problems[0]);
    }
}
