//! What the platform that runs the server says in variables of its own, between a file and the `SCONCE_…` variables.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::reader::Reader;
use super::{Key, Origin, Said, Value};
use crate::http;
use crate::limits::{BODY_BYTES_MAX, CONNECTIONS_MAX, DEADLINE_MS_MAX, LABEL_BYTES_MAX, MIB};

/// How a variable's text becomes a key's.
type Reading = fn(&str) -> String;

/// What a variable says.
struct Meaning {
    variable: &'static str,
    /// The key that it speaks of, and how its text becomes that key's.
    key: Option<(&'static str, Reading)>,
    /// Whether it tells that callers come from other machines.
    opens: bool,
}

/// Every variable that is read. Of several that speak of one key the last wins.
const MEANINGS: [Meaning; 15] = [
    Meaning { variable: "PORT", key: Some(("http.port", as_it_is)), opens: false },
    Meaning { variable: "K_SERVICE", key: None, opens: true },
    Meaning { variable: "AIP_HTTP_PORT", key: Some(("http.port", as_it_is)), opens: true },
    Meaning { variable: "AIP_HEALTH_ROUTE", key: Some(("platform.health_route", as_it_is)), opens: false },
    Meaning { variable: "AIP_PREDICT_ROUTE", key: Some(("platform.predict_route", as_it_is)), opens: false },
    Meaning {
        variable: "AIP_DEPLOYED_MODEL_ID",
        key: Some(("platform.deployed_model_id", as_it_is)),
        opens: false,
    },
    Meaning { variable: "AZUREML_MODEL_DIR", key: Some(("models.directory", as_it_is)), opens: true },
    Meaning { variable: "SAGEMAKER_BIND_TO_PORT", key: Some(("http.port", as_it_is)), opens: true },
    Meaning { variable: "SAGEMAKER_MULTI_MODEL", key: Some(("platform.multi_model", as_it_is)), opens: true },
    Meaning {
        variable: "SAGEMAKER_MAX_PAYLOAD_IN_MB",
        key: Some(("http.body_bytes_max", mebibytes)),
        opens: false,
    },
    Meaning {
        variable: "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",
        key: Some(("platform.transforms_max", as_it_is)),
        opens: false,
    },
    Meaning {
        variable: "SAGEMAKER_BATCH_STRATEGY",
        key: Some(("platform.batch_strategy", as_it_is)),
        opens: false,
    },
    Meaning {
        variable: "SAGEMAKER_MODEL_SERVER_WORKERS",
        key: Some(("inference.workers", as_it_is)),
        opens: false,
    },
    Meaning {
        variable: "SAGEMAKER_MODEL_SERVER_TIMEOUT",
        key: Some(("http.deadline_ms_default", milliseconds)),
        opens: false,
    },
    Meaning {
        variable: "SAGEMAKER_CONTAINER_LOG_LEVEL",
        key: Some(("log.filter", log_filter)),
        opens: false,
    },
];

/// What a platform's variable asks for and this server does not do.
struct Unheeded {
    variable: &'static str,
    /// Whether this value asks for it.
    asks: fn(&str) -> bool,
    why: &'static str,
}

const UNHEEDED: [Unheeded; 2] = [
    Unheeded {
        variable: "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
        asks: |value| !matches!(value, "application/json" | "*/*"),
        why: "answers are JSON, or JSON lines where the request is, whatever is accepted",
    },
    Unheeded {
        variable: "SAGEMAKER_PROGRAM",
        asks: |_| true,
        why: "no inference script is run: a model directory has all that its predictions depend on",
    },
];

/// A sentence for each variable that asks for what is not done.
pub(super) fn unheeded(environment: &[(OsString, OsString)]) -> Vec<String> {
    let sentence = |Unheeded { variable, asks, why }: &Unheeded| {
        let value = said_by(environment, variable).filter(|value| asks(value))?;
        let value: String = value.chars().take(LABEL_BYTES_MAX).collect();
        Some(format!("{variable}={value} is of no effect: {why}"))
    };
    UNHEEDED.iter().filter_map(sentence).collect()
}

/// What a variable says, unless that is nothing.
fn said_by<'a>(environment: &'a [(OsString, OsString)], variable: &str) -> Option<Cow<'a, str>> {
    let found = environment.iter().find(|(name, _)| name.to_str() == Some(variable));
    found.map(|(_, value)| value.to_string_lossy()).filter(|value| !value.is_empty())
}

fn as_it_is(text: &str) -> String {
    text.to_owned()
}

/// Bytes of so many mebibytes, at most as many as are ever taken; 0 is the platform's word for no bound. What is no number
/// stays as it is, to be refused with its name.
fn mebibytes(text: &str) -> String {
    match text.trim().parse::<usize>() {
        Ok(0) => BODY_BYTES_MAX.to_string(),
        Ok(count) => count.saturating_mul(MIB).min(BODY_BYTES_MAX).to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Milliseconds of so many seconds, at most as many as any request may take.
fn milliseconds(text: &str) -> String {
    match text.trim().parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1000).min(DEADLINE_MS_MAX).to_string(),
        Err(_) => text.to_owned(),
    }
}

/// What is logged at a level of Python's, which has a number and a name.
fn log_filter(text: &str) -> String {
    let filter = match text.trim().to_ascii_uppercase().as_str() {
        "10" | "DEBUG" => "info,sconce=debug",
        "20" | "INFO" => "info",
        "30" | "WARNING" | "WARN" => "warn",
        "40" | "50" | "ERROR" | "CRITICAL" => "error",
        _ => text,
    };
    filter.to_owned()
}

/// What the platform says. Empty variables say nothing.
pub(super) fn read(environment: &[(OsString, OsString)], mounted: Option<&Path>) -> BTreeMap<Key, Said> {
    let mut said = BTreeMap::new();
    if let Some(folder) = mounted {
        let origin = Origin::Mounted { path: folder.to_owned() };
        let path = folder.to_string_lossy().into_owned();
        said.insert(Key::dotted("models.directory"), text(path, origin.clone()));
        said.insert(Key::dotted("http.host"), text("0.0.0.0".to_owned(), origin));
    }
    for Meaning { variable, key, opens } in MEANINGS {
        let Some(value) = said_by(environment, variable) else { continue };
        let origin = Origin::Environment { variable: variable.to_owned() };
        if let Some((key, meant)) = key {
            said.insert(Key::dotted(key), text(meant(&value), origin.clone()));
        }
        if opens {
            said.insert(Key::dotted("http.host"), text("0.0.0.0".to_owned(), origin));
        }
    }
    said
}

fn text(value: String, origin: Origin) -> Said {
    Said { value: Value::Text(value), origin }
}

/// `[platform]`.
pub(super) fn keys(reader: &mut Reader) -> http::Platform {
    let route = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
        let is_route = text.starts_with('/') && text.len() <= LABEL_BYTES_MAX && text.bytes().all(plain);
        if text.is_empty() { Some(None) } else { is_route.then(|| Some(text.to_owned())) }
    };
    let said = |text: &str| {
        (text.len() <= LABEL_BYTES_MAX).then(|| Some(text.to_owned()).filter(|text| !text.is_empty()))
    };
    let key = |name: &str| Key::new(["platform", name]);
    let strategy = |text: &str| match text.to_ascii_lowercase().replace('_', "").as_str() {
        "multirecord" => Some(false),
        "singlerecord" => Some(true),
        _ => None,
    };
    let expected = "a path such as \"/predict\", or \"\"";
    http::Platform {
        health_route: reader.text(&key("health_route"), expected, route).flatten(),
        predict_route: reader.text(&key("predict_route"), expected, route).flatten(),
        deployed_model_id: reader.text(&key("deployed_model_id"), "a short text", said).flatten(),
        transforms_max: Some(reader.integer(&key("transforms_max"), &(0..=CONNECTIONS_MAX)))
            .filter(|count| *count > 0),
        single_record: reader
            .text(&key("batch_strategy"), "\"MultiRecord\" or \"SingleRecord\"", strategy)
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, read as configuration};

    fn told(variables: &[(&str, &str)], mounted: Option<&str>) -> Vec<String> {
        let environment = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let sources = Sources { environment, mounted: mounted.map(Into::into), ..Sources::default() };
        let effective = configuration(&sources).unwrap().effective;
        let said = effective.into_iter().filter(|effective| effective.origin != Origin::Default);
        said.map(|said| format!("{} = {} ({})", said.key, said.value, said.origin)).collect()
    }

    #[test]
    fn each_platform_is_understood_in_its_own_words() {
        let vertex = [
            ("AIP_HTTP_PORT", "9090"),
            ("AIP_HEALTH_ROUTE", "/v1/endpoints/1/deployedModels/2"),
            ("AIP_PREDICT_ROUTE", "/v1/endpoints/1/deployedModels/2:predict"),
            ("AIP_DEPLOYED_MODEL_ID", "2"),
            ("AIP_MODE", "PREDICTION"),
        ];
        assert_eq!(
            told(&vertex, None),
            [
                "http.host = \"0.0.0.0\" (environment AIP_HTTP_PORT)",
                "http.port = 9090 (environment AIP_HTTP_PORT)",
                "platform.health_route = \"/v1/endpoints/1/deployedModels/2\" (environment AIP_HEALTH_ROUTE)",
                "platform.predict_route = \"/v1/endpoints/1/deployedModels/2:predict\" (environment AIP_PREDICT_ROUTE)",
                "platform.deployed_model_id = \"2\" (environment AIP_DEPLOYED_MODEL_ID)",
            ]
        );
        let sagemaker = [("SAGEMAKER_BIND_TO_PORT", "8081"), ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "6")];
        assert_eq!(
            told(&sagemaker, Some("/opt/ml/model")),
            [
                "models.directory = \"/opt/ml/model\" (platform /opt/ml/model)",
                "http.host = \"0.0.0.0\" (environment SAGEMAKER_BIND_TO_PORT)",
                "http.port = 8081 (environment SAGEMAKER_BIND_TO_PORT)",
                "http.body_bytes_max = 6291456 (environment SAGEMAKER_MAX_PAYLOAD_IN_MB)",
            ]
        );
        let transform = [
            ("SAGEMAKER_BATCH", "true"),
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "0"),
            ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", "4"),
            ("SAGEMAKER_BATCH_STRATEGY", "SINGLE_RECORD"),
            ("SAGEMAKER_MODEL_SERVER_WORKERS", "2"),
            ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "60"),
            ("SAGEMAKER_CONTAINER_LOG_LEVEL", "30"),
        ];
        assert_eq!(
            told(&transform, None),
            [
                "inference.workers = 2 (environment SAGEMAKER_MODEL_SERVER_WORKERS)",
                "http.body_bytes_max = 268435456 (environment SAGEMAKER_MAX_PAYLOAD_IN_MB)",
                "http.deadline_ms_default = 60000 (environment SAGEMAKER_MODEL_SERVER_TIMEOUT)",
                "platform.transforms_max = 4 (environment SAGEMAKER_MAX_CONCURRENT_TRANSFORMS)",
                "platform.batch_strategy = \"SINGLE_RECORD\" (environment SAGEMAKER_BATCH_STRATEGY)",
                "log.filter = \"warn\" (environment SAGEMAKER_CONTAINER_LOG_LEVEL)",
            ]
        );
        let azure = told(&[("AZUREML_MODEL_DIR", "/var/azureml-app/azureml-models/m/1")], None);
        assert_eq!(
            azure[0],
            "models.directory = \"/var/azureml-app/azureml-models/m/1\" (environment AZUREML_MODEL_DIR)"
        );
        let knative = told(&[("PORT", "8012"), ("K_SERVICE", "m")], None);
        assert_eq!(
            knative,
            ["http.host = \"0.0.0.0\" (environment K_SERVICE)", "http.port = 8012 (environment PORT)"]
        );
    }

    #[test]
    fn what_is_asked_for_and_not_done_is_said() {
        let unheeded = |variable: &str, value: &str| unheeded(&[(variable.into(), value.into())]);
        let accept = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT";
        assert_eq!(
            unheeded(accept, "text/csv"),
            [
                "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT=text/csv is of no effect: answers are JSON, or JSON lines where the \
              request is, whatever is accepted"
            ]
        );
        assert!(unheeded(accept, "application/json").is_empty() && unheeded(accept, "").is_empty());
        assert_eq!(unheeded("SAGEMAKER_PROGRAM", "inference.py").len(), 1);
        assert!(unheeded("SAGEMAKER_REGION", "eu-west-1").is_empty());
    }

    #[test]
    fn what_is_said_to_this_server_goes_before_what_is_said_to_any() {
        let port = told(&[("PORT", "1"), ("AIP_HTTP_PORT", ""), ("SCONCE_HTTP__PORT", "2")], None);
        assert_eq!(port, ["http.port = 2 (environment SCONCE_HTTP__PORT)"]);
    }

    #[test]
    fn a_mistake_of_the_platform_is_named_by_its_variable() {
        for (variable, value, expected) in [
            (
                "PORT",
                "tcp://10.0.0.1:80",
                "http.port = \"tcp://10.0.0.1:80\" (environment PORT): expected a whole number",
            ),
            (
                "AIP_PREDICT_ROUTE",
                "predict",
                "platform.predict_route = \"predict\" (environment AIP_PREDICT_ROUTE)",
            ),
            (
                "SAGEMAKER_MAX_PAYLOAD_IN_MB",
                "six",
                "http.body_bytes_max = \"six\" (environment SAGEMAKER_MAX_PAYLOAD",
            ),
        ] {
            let environment = vec![(variable.into(), value.into())];
            let error = configuration(&Sources { environment, ..Sources::default() }).unwrap_err();
            assert!(error.0[0].to_string().starts_with(expected), "{}", error.0[0]);
        }
    }
}
