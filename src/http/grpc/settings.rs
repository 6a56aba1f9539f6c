//! Settings for logging and tracing as messages: the protocol's core has them in JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::inference::{LogSettingsRequest, LogSettingsResponse, TraceSettingRequest, TraceSettingResponse};
use super::inference::{log_settings_request as log_asked, log_settings_response as log_said};
use super::inference::{trace_setting_request as trace_asked, trace_setting_response as trace_said};
use crate::http::oip::settings;
use crate::http::problem::Problem;
use crate::http::server::Gateway;

/// Changes what is logged as the request says, and says what is logged from then on.
///
/// # Errors
/// A setting cannot be changed so.
pub(super) fn log(gateway: &Gateway, request: LogSettingsRequest) -> Result<LogSettingsResponse, Problem> {
    use log_asked::setting_value::ParameterChoice as Asked;
    use log_said::setting_value::ParameterChoice as Said;
    let value = |value: log_asked::SettingValue| match value.parameter_choice {
        Some(Asked::BoolParam(value)) => Value::Bool(value),
        Some(Asked::Uint32Param(value)) => Value::from(value),
        Some(Asked::StringParam(value)) => Value::String(value),
        None => Value::Null,
    };
    let wanted: Map<String, Value> =
        request.settings.into_iter().map(|(name, asked)| (name, value(asked))).collect();
    let now =
        if wanted.is_empty() { settings::log_settings() } else { settings::update_log(gateway, &wanted)? };
    let verbose_level = u32::try_from(now.log_verbose_level).unwrap_or(u32::MAX);
    let said = [
        ("log_file", Said::StringParam(now.log_file.to_owned())),
        ("log_info", Said::BoolParam(now.log_info)),
        ("log_warning", Said::BoolParam(now.log_warning)),
        ("log_error", Said::BoolParam(now.log_error)),
        ("log_verbose_level", Said::Uint32Param(verbose_level)),
        ("log_format", Said::StringParam(now.log_format.to_owned())),
    ];
    let settings =
        said.map(|(name, value)| (name.to_owned(), log_said::SettingValue { parameter_choice: Some(value) }));
    Ok(LogSettingsResponse { settings: BTreeMap::from(settings) })
}

/// Says how requests are traced, after it was asked for another way.
///
/// # Errors
/// There is no such model, or no such way.
pub(super) fn trace(
    gateway: &Gateway,
    request: TraceSettingRequest,
) -> Result<TraceSettingResponse, Problem> {
    let TraceSettingRequest { settings: asked, model_name } = request;
    let wanted: Map<String, Value> =
        asked.into_iter().map(|(name, asked)| (name.clone(), trace_value(&name, asked))).collect();
    let now = settings::update_trace(gateway, &model_name, &wanted)?;
    let said = [
        ("trace_level", now.trace_level[0]),
        ("trace_rate", now.trace_rate),
        ("trace_count", now.trace_count),
        ("log_frequency", now.log_frequency),
        ("trace_file", now.trace_file),
        ("trace_mode", now.trace_mode),
    ];
    let settings = said
        .map(|(name, value)| (name.to_owned(), trace_said::SettingValue { value: vec![value.to_owned()] }));
    Ok(TraceSettingResponse { settings: BTreeMap::from(settings) })
}

/// A setting without a value is cleared; a level may have several.
fn trace_value(name: &str, asked: trace_asked::SettingValue) -> Value {
    let mut values = asked.value.into_iter().map(Value::String).peekable();
    match values.peek() {
        None => Value::Null,
        Some(_) if name == "trace_level" => values.collect(),
        Some(_) => values.next().unwrap_or_default(),
    }
}
