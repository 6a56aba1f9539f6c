//! Settings that requests may read and change: logging, and tracing, which there is none of.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::errors::invalid;
use super::model::Model;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;
use crate::telemetry::{Verbosity, set_verbosity, verbosity};

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the protocol's names")]
pub(in crate::http) struct LogSettings {
    /// Always empty: the log is on standard error.
    pub(in crate::http) log_file: &'static str,
    /// What goes on.
    pub(in crate::http) log_info: bool,
    /// What may be wrong.
    pub(in crate::http) log_warning: bool,
    /// What is wrong.
    pub(in crate::http) log_error: bool,
    /// 0: nothing more; 1: what the server does; 2 and more: every step of it.
    pub(in crate::http) log_verbose_level: u64,
    /// `default`.
    pub(in crate::http) log_format: &'static str,
}

/// What is logged now.
pub(in crate::http) fn log_settings() -> LogSettings {
    let Verbosity { info, warning, error, verbose_level } = verbosity();
    LogSettings {
        log_file: "",
        log_info: info,
        log_warning: warning,
        log_error: error,
        log_verbose_level: verbose_level,
        log_format: "default",
    }
}

/// Changes what is logged, and returns what is logged from then on. `null` changes nothing.
///
/// # Errors
/// A setting is none, of another type, or cannot be changed by a request; changing is not allowed.
pub(in crate::http) fn update_log(
    gateway: &Gateway,
    settings: &Map<String, Value>,
) -> Result<LogSettings, Problem> {
    let mut wanted = verbosity();
    if gateway.control.is_none() && settings.values().any(|value| !value.is_null()) {
        return Err(fixed("log settings can not be updated: http.model_control is false"));
    }
    for (name, value) in settings.iter().filter(|(_, value)| !value.is_null()) {
        let truth = || {
            value
                .as_bool()
                .ok_or_else(|| invalid(format!("Unable to parse '{name}': expected true or false")))
        };
        match name.as_str() {
            "log_info" => wanted.info = truth()?,
            "log_warning" => wanted.warning = truth()?,
            "log_error" => wanted.error = truth()?,
            "log_verbose_level" => {
                wanted.verbose_level = value.as_u64().ok_or_else(|| {
                    invalid("Unable to parse 'log_verbose_level': expected an unsigned integer")
                })?;
            }
            "log_format" if value == "default" => {}
            "log_file" => return Err(fixed("log file location can not be updated through network protocol")),
            "log_format" => return Err(fixed("log format can not be updated through network protocol")),
            _ => {
                let shown: String = name.chars().take(40).collect();
                return Err(invalid(format!("unexpected log setting '{shown}'")));
            }
        }
    }
    set_verbosity(wanted).map_err(|why| Problem::new(Code::NotSupported, why))?;
    Ok(log_settings())
}

fn fixed(why: &str) -> Problem {
    Problem::new(Code::NotSupported, why)
}

/// How requests are traced: not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct TraceSettings {
    /// `OFF`.
    #[schema(value_type = Vec<String>)]
    pub(in crate::http) trace_level: [&'static str; 1],
    /// One request in so many.
    pub(in crate::http) trace_rate: &'static str,
    /// How many requests; -1 without end.
    pub(in crate::http) trace_count: &'static str,
    /// After how many traces they are written.
    pub(in crate::http) log_frequency: &'static str,
    /// Where they are written: nowhere.
    pub(in crate::http) trace_file: &'static str,
    /// `triton`.
    pub(in crate::http) trace_mode: &'static str,
}

/// How requests are traced, of the server or (not empty) of a model.
///
/// # Errors
/// There is no such model.
pub(in crate::http) fn trace_settings(gateway: &Gateway, model: &str) -> Result<TraceSettings, Problem> {
    if !model.is_empty() {
        Model::find(gateway, model, "")?;
    }
    Ok(TraceSettings {
        trace_level: ["OFF"],
        trace_rate: "1000",
        trace_count: "-1",
        log_frequency: "0",
        trace_file: "",
        trace_mode: "triton",
    })
}

/// Changes nothing: asking for no traces is granted, asking for some is not.
///
/// # Errors
/// There is no such model, or tracing is to be switched on.
pub(in crate::http) fn update_trace(
    gateway: &Gateway,
    model: &str,
    settings: &Map<String, Value>,
) -> Result<TraceSettings, Problem> {
    let current = trace_settings(gateway, model)?;
    if settings.get("trace_file").is_some_and(|file| !file.is_null()) {
        return Err(fixed("trace file location can not be updated through network protocol"));
    }
    let off = |level: &Value| level.is_null() || *level == serde_json::json!(["OFF"]);
    if settings.get("trace_level").is_some_and(|level| !off(level)) {
        return Err(Problem::new(Code::NotReady, "the server does not support tracing"));
    }
    Ok(current)
}
