//! The `config` of a request to load a model: what of it is honoured for that load, and what is refused by its name.

use serde_json::{Map, Value};

use super::errors::invalid;
use crate::http::problem::Problem;
use crate::limits::{QUEUE_ROWS_MAX, REQUEST_INPUTS_MAX, WORKERS_MAX};
use crate::pipeline::Changes;

/// What may be changed, for messages.
const SUPPORTED: &str = "max_batch_size, the count of one instance_group, and \
                         dynamic_batching.default_queue_policy.max_queue_size";

/// Reads a model configuration in JSON. A member that says what the present configuration says changes nothing, so that
/// a configuration that was read may be sent back with its changes.
///
/// # Errors
/// It is no JSON, or says what is not supported or not possible.
pub(super) fn read(model: &str, config: &str, present: &Value) -> Result<Changes, Problem> {
    let refused = |why: String| invalid(format!("failed to load '{model}', {why}"));
    let members: Map<String, Value> = serde_json::from_str(config)
        .map_err(|error| refused(format!("its config is no JSON object: {error}")))?;
    let mut changes = Changes::default();
    for (name, value) in members {
        let done = match name.as_str() {
            _ if present.get(&name) == Some(&value) => Ok(()),
            "max_batch_size" => {
                number(&value, 1..=REQUEST_INPUTS_MAX).map(|rows| changes.rows_max = Some(rows))
            }
            "instance_group" => workers(&value).map(|workers| changes.workers = Some(workers)),
            "dynamic_batching" => {
                let before = present.get(&name).unwrap_or(&Value::Null);
                queue(&value, before).map(|rows| changes.queue_rows_max = rows)
            }
            _ => Err(format!("is not supported: supported are {SUPPORTED}")),
        };
        let shown: String = name.chars().take(40).collect();
        done.map_err(|why| refused(format!("'{shown}' of its config {why}")))?;
    }
    match (changes.queue_rows_max, changes.rows_max.unwrap_or(REQUEST_INPUTS_MAX)) {
        (Some(waiting), rows) if waiting < rows => Err(refused(format!(
            "max_queue_size {waiting} of its config is less than the {rows} rows of a request"
        ))),
        _ => Ok(changes),
    }
}

fn number(value: &Value, range: std::ops::RangeInclusive<usize>) -> Result<usize, String> {
    let number = match value {
        Value::Number(number) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        // As protobuf's JSON has 64-bit numbers.
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let expected = || format!("is none of {} to {}", range.start(), range.end());
    number.filter(|number| range.contains(number)).ok_or_else(expected)
}

/// The workers of the only group.
fn workers(value: &Value) -> Result<usize, String> {
    let Some([Value::Object(group)]) = value.as_array().map(Vec::as_slice) else {
        return Err("is no list of one group".to_owned());
    };
    let other = group.iter().find(|(name, value)| match name.as_str() {
        "count" | "name" => false,
        "kind" => !matches!(value.as_str(), Some("KIND_AUTO" | "KIND_CPU")),
        _ => true,
    });
    if let Some((name, _)) = other {
        let name: String = name.chars().take(40).collect();
        return Err(format!("has '{name}', which is not supported: supported is count, of KIND_CPU"));
    }
    number(group.get("count").unwrap_or(&Value::Null), 1..=WORKERS_MAX)
        .map_err(|why| format!("has a count that {why}"))
}

/// Rows that may wait; `None` for 0, which is as the settings say.
fn queue(value: &Value, present: &Value) -> Result<Option<usize>, String> {
    let Value::Object(members) = value else { return Err("is no object".to_owned()) };
    let mut rows = None;
    for (name, value) in members {
        if present.get(name) == Some(value) {
            continue;
        }
        let policy = value.as_object().filter(|_| name == "default_queue_policy");
        let size = policy.filter(|policy| policy.len() == 1).and_then(|policy| policy.get("max_queue_size"));
        let Some(size) = size else {
            let name: String = name.chars().take(40).collect();
            return Err(format!(
                "has '{name}', which is not supported: supported is default_queue_policy.max_queue_size"
            ));
        };
        let size =
            number(size, 0..=QUEUE_ROWS_MAX).map_err(|why| format!("has a max_queue_size that {why}"))?;
        rows = (size > 0).then_some(size);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn present() -> Value {
        json!({"name": "m", "max_batch_size": 256, "input": [], "dynamic_batching": {"max_queue_delay_microseconds": 0}})
    }

    #[test]
    fn what_is_supported_is_read_and_what_is_as_before_changes_nothing() {
        let read = |config: &Value| read("m", &config.to_string(), &present()).unwrap();
        assert_eq!(read(&present()), Changes::default());
        let changed = json!({
            "name": "m", "input": [], "max_batch_size": "8", "instance_group": [{"count": 2, "kind": "KIND_CPU"}],
            "dynamic_batching": {"max_queue_delay_microseconds": 0, "default_queue_policy": {"max_queue_size": 64}},
        });
        let expected = Changes { rows_max: Some(8), workers: Some(2), queue_rows_max: Some(64) };
        assert_eq!(read(&changed), expected);
        let unbounded = json!({"dynamic_batching": {"default_queue_policy": {"max_queue_size": 0}}});
        assert_eq!(read(&unbounded), Changes::default());
    }

    #[test]
    fn what_is_not_supported_or_not_possible_is_named() {
        for (config, expected) in [
            ("wrong", "its config is no JSON object"),
            (
                r#"{"input": [1]}"#,
                "'input' of its config is not supported: supported are max_batch_size, the count",
            ),
            (r#"{"max_batch_size": 0}"#, "'max_batch_size' of its config is none of 1 to 256"),
            (r#"{"instance_group": []}"#, "'instance_group' of its config is no list of one group"),
            (
                r#"{"instance_group": [{"count": 1, "gpus": [0]}]}"#,
                "'instance_group' of its config has 'gpus'",
            ),
            (r#"{"instance_group": [{}]}"#, "'instance_group' of its config has a count that is none of 1"),
            (
                r#"{"dynamic_batching": {"preferred_batch_size": [4]}}"#,
                "'dynamic_batching' of its config has 'preferred_batch_size', which is not supported",
            ),
            (
                r#"{"max_batch_size": 8, "dynamic_batching": {"default_queue_policy": {"max_queue_size": 7}}}"#,
                "max_queue_size 7 of its config is less than the 8 rows of a request",
            ),
        ] {
            let detail = read("m", config, &present()).unwrap_err().detail;
            assert!(detail.starts_with(&format!("failed to load 'm', {expected}")), "{config}: {detail}");
        }
    }
}
