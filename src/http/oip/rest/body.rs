//! The JSON of an inference request, as it is written, before it means anything.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::elements::Elements;
use crate::http::oip::errors::invalid;
use crate::http::problem::Problem;

/// A request to infer.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OipInferRequest)]
pub(super) struct InferBody {
    /// What the answer repeats.
    #[schema(example = "42", nullable = false)]
    #[serde(default, deserialize_with = "present")]
    pub(super) id: Option<String>,
    /// Parameters of the request: `priority` (1, which goes first, to 5; otherwise 3), `timeout` (µs),
    /// `binary_data_output`; others are of no effect.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(super) parameters: Map<String, Value>,
    /// The inputs.
    pub(super) inputs: Vec<InputBody>,
    /// The outputs that are wanted; without it all.
    #[serde(default)]
    pub(super) outputs: Vec<OutputBody>,
}

/// An input tensor.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OipInputTensor)]
pub(super) struct InputBody {
    /// Its name.
    #[schema(example = "text")]
    pub(super) name: String,
    /// What its elements are: `BOOL`, `UINT8` … `INT64`, `FP32`, `FP64` or `BYTES`.
    #[schema(example = "BYTES")]
    pub(super) datatype: String,
    /// The sizes of its dimensions, the batch first.
    #[schema(example = json!([1]))]
    pub(super) shape: Vec<u64>,
    /// `binary_data_size`: how many bytes after the JSON are its elements, in place of `data`. `content_type` `base64`:
    /// `data` is text that is the base64 of byte strings.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(super) parameters: Map<String, Value>,
    /// Its elements, row by row, nested as the shape is or flat.
    #[schema(value_type = Option<Vec<Value>>, nullable = false, example = json!(["a gripping, funny and deeply moving film"]))]
    #[serde(default, deserialize_with = "present")]
    pub(super) data: Option<Elements>,
}

/// An output that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OipRequestedOutput)]
pub(super) struct OutputBody {
    /// Its name.
    #[schema(example = "scores")]
    pub(super) name: String,
    /// `binary_data`: its elements come after the JSON. `classification`: the best so many classes as
    /// `value:index:label` in place of the numbers.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(super) parameters: Map<String, Value>,
}

/// What is there is of its type: `null` is not the same as nothing.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl InferBody {
    /// Reads the JSON.
    ///
    /// # Errors
    /// It is none, or a member is missing or not what it should be: in Triton's words.
    pub(super) fn parse(json: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(json).map_err(|error| {
            if error.is_data() {
                // Once more, to learn where: what is right is not slowed down by it.
                let deserializer = &mut serde_json::Deserializer::from_slice(json);
                match serde_path_to_error::deserialize::<_, Self>(deserializer) {
                    Err(error) => invalid(format!("Unable to parse '{}': {}", place(&error), error.inner())),
                    Ok(_) => invalid(error.to_string()),
                }
            } else {
                invalid(format!("failed to parse the request JSON buffer: {error}"))
            }
        })
    }
}

/// The member that is at fault: the one that is missing, or the innermost that is named.
fn place(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let said = error.inner().to_string();
    if let Some((name, _)) = said.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
        return name.to_owned();
    }
    let mut named = error.path().iter().filter_map(|segment| match segment {
        serde_path_to_error::Segment::Map { key } => Some(key.clone()),
        _ => None,
    });
    named.next_back().unwrap_or_else(|| "inputs".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_as_triton_does() {
        let input = |rest: &str| format!(r#"{{"inputs": [{{{rest}}}]}}"#);
        let cases = [
            ("{}".to_owned(), "inputs"),
            (r#"{"inputs": 1}"#.to_owned(), "inputs"),
            (input(""), "name"),
            (input(r#""name": 1"#), "name"),
            (input(r#""name": "x""#), "datatype"),
            (input(r#""name": "x", "datatype": null"#), "datatype"),
            (input(r#""name": "x", "datatype": "INT8""#), "shape"),
            (input(r#""name": "x", "datatype": "INT8", "shape": [-1]"#), "shape"),
            (input(r#""name": "x", "datatype": "INT8", "shape": [1.5]"#), "shape"),
            (r#"{"inputs": [], "outputs": {}}"#.to_owned(), "outputs"),
            (r#"{"inputs": [], "outputs": [{}]}"#.to_owned(), "name"),
            (r#"{"inputs": [], "id": 7}"#.to_owned(), "id"),
            (r#"{"inputs": [], "id": null}"#.to_owned(), "id"),
            (r#"{"inputs": [], "parameters": 7}"#.to_owned(), "parameters"),
        ];
        for (json, member) in cases {
            let detail = InferBody::parse(json.as_bytes()).unwrap_err().detail;
            assert!(detail.starts_with(&format!("Unable to parse '{member}': ")), "{json}: {detail}");
        }
        for json in ["", "{", "nonsense"] {
            let detail = InferBody::parse(json.as_bytes()).unwrap_err().detail;
            assert!(detail.starts_with("failed to parse the request JSON buffer: "), "{json}: {detail}");
        }
        let deep = "[".repeat(200);
        InferBody::parse(format!(r#"{{"inputs": [], "x": {deep}"#).as_bytes()).unwrap_err();
        InferBody::parse(br#"{"inputs": [], "unknown": {"is": "tolerated"}}"#).unwrap();
    }
}
