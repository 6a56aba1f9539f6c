//! A model's configuration as a message, of what the protocol's core says in JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use super::inference::model_config::SchedulingChoice;
use super::inference::model_version_policy::{PolicyChoice, Specific};
use super::inference::{
    DataType, ModelConfig, ModelDynamicBatching, ModelInput, ModelOutput, ModelTensorReshape,
    ModelTransactionPolicy, ModelVersionPolicy,
};

/// The message.
pub(super) fn message(config: &Value) -> ModelConfig {
    ModelConfig {
        name: text(config, "name"),
        platform: text(config, "platform"),
        backend: text(config, "backend"),
        version_policy: Some(ModelVersionPolicy {
            policy_choice: Some(PolicyChoice::Specific(Specific {
                versions: numbers(config.pointer("/version_policy/specific/versions")),
            })),
        }),
        max_batch_size: config["max_batch_size"]
            .as_i64()
            .and_then(|rows| i32::try_from(rows).ok())
            .unwrap_or(0),
        input: ports(config, "input").map(input).collect(),
        output: ports(config, "output").map(output).collect(),
        scheduling_choice: config.get("dynamic_batching").map(|batching| {
            let level = |name: &str| batching[name].as_u64().unwrap_or(0);
            // No preferred size and no delay: rows are taken as soon as there is room for one.
            SchedulingChoice::DynamicBatching(ModelDynamicBatching {
                priority_levels: level("priority_levels"),
                default_priority_level: level("default_priority_level"),
                ..ModelDynamicBatching::default()
            })
        }),
        model_transaction_policy: Some(ModelTransactionPolicy { decoupled: false }),
        instance_group: Vec::new(),
        parameters: BTreeMap::new(),
    }
}

fn ports<'a>(config: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    config[name].as_array().into_iter().flatten()
}

fn input(port: &Value) -> ModelInput {
    ModelInput {
        name: text(port, "name"),
        data_type: data_type(port),
        dims: numbers(port.get("dims")),
        reshape: reshape(port),
        optional: port["optional"].as_bool().unwrap_or(false),
        ..ModelInput::default()
    }
}

fn output(port: &Value) -> ModelOutput {
    ModelOutput {
        name: text(port, "name"),
        data_type: data_type(port),
        dims: numbers(port.get("dims")),
        reshape: reshape(port),
        label_filename: text(port, "label_filename"),
    }
}

fn text(of: &Value, name: &str) -> String {
    of[name].as_str().unwrap_or_default().to_owned()
}

fn numbers(list: Option<&Value>) -> Vec<i64> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_i64).collect()
}

fn data_type(port: &Value) -> i32 {
    let known = port["data_type"].as_str().and_then(DataType::from_str_name);
    known.unwrap_or(DataType::TypeInvalid).into()
}

fn reshape(port: &Value) -> Option<ModelTensorReshape> {
    let reshape = port.get("reshape")?;
    Some(ModelTensorReshape { shape: numbers(reshape.get("shape")) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_the_same_as_over_rest() {
        let config = message(&json!({
            "name": "m", "platform": "p", "backend": "b", "max_batch_size": 8,
            "version_policy": {"specific": {"versions": [1, 3]}},
            "input": [{"name": "text", "data_type": "TYPE_STRING", "dims": [1], "optional": true}],
            "output": [
                {"name": "scores", "data_type": "TYPE_FP32", "dims": [2]},
                {"name": "score", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}},
            ],
            "dynamic_batching": {"priority_levels": 5, "default_priority_level": 3},
        }));
        assert_eq!((config.name.as_str(), config.platform.as_str(), config.max_batch_size), ("m", "p", 8));
        let Some(PolicyChoice::Specific(policy)) = config.version_policy.unwrap().policy_choice else {
            panic!()
        };
        assert_eq!(policy.versions, [1, 3]);
        assert_eq!(config.input[0].data_type(), DataType::TypeString);
        assert!(config.input[0].optional && config.input[0].reshape.is_none());
        assert_eq!(config.output[0].dims, [2]);
        assert_eq!(config.output[1].reshape, Some(ModelTensorReshape::default()));
        assert!(config.scheduling_choice.is_some());
    }
}
