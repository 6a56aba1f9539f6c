//! From an answer to a body: JSON, and after it the elements of the outputs that are wanted as bytes.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::read::{Binary, JSON_LENGTH};
use crate::http::oip::datatype::Datatype;
use crate::http::oip::errors::invalid;
use crate::http::oip::request::InferResponse;
use crate::http::oip::tensor::Tensor;
use crate::http::problem::{Code, Problem};

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OipInferResponse)]
pub(super) struct AnswerBody<'a> {
    /// The model that answered.
    #[schema(example = "sentiment")]
    model_name: &'a str,
    /// Its version.
    #[schema(example = "1")]
    model_version: &'a str,
    /// The id of the request, if it has one.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(required = false, example = "42")]
    id: &'a str,
    /// The outputs.
    outputs: Vec<OutputTensor<'a>>,
}

/// An output tensor.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OipOutputTensor)]
pub(super) struct OutputTensor<'a> {
    /// Its name.
    #[schema(example = "scores")]
    name: &'a str,
    /// What its elements are.
    #[schema(example = "FP32")]
    datatype: &'static str,
    /// The sizes of its dimensions, the batch first.
    #[schema(example = json!([1, 2]))]
    shape: &'a [i64],
    /// `binary_data_size`: how many bytes after the JSON are its elements, in place of `data`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object, required = false)]
    parameters: Map<String, Value>,
    /// Its elements, row by row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Value>>)]
    data: Option<Data<'a>>,
}

/// The elements of a tensor as JSON.
#[derive(Debug)]
struct Data<'a>(&'a Tensor);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(tensor) = self;
        macro_rules! numbers {
            ($type:ty) => {
                serializer.collect_seq(tensor.chunks().map(<$type>::from_le_bytes))
            };
        }
        match tensor.datatype {
            Datatype::Bool => serializer.collect_seq(tensor.data.iter().map(|byte| *byte != 0)),
            Datatype::Uint8 => numbers!(u8),
            Datatype::Uint16 => numbers!(u16),
            Datatype::Uint32 => numbers!(u32),
            Datatype::Uint64 => numbers!(u64),
            Datatype::Int8 => numbers!(i8),
            Datatype::Int16 => numbers!(i16),
            Datatype::Int32 => numbers!(i32),
            Datatype::Int64 => numbers!(i64),
            Datatype::Fp32 => numbers!(f32),
            Datatype::Fp64 => numbers!(f64),
            // Refused before they come here.
            Datatype::Fp16 | Datatype::Bf16 => serializer.serialize_none(),
            Datatype::Bytes => {
                let texts = tensor.byte_strings("").unwrap_or_default();
                let mut elements = serializer.serialize_seq(Some(texts.len()))?;
                for text in texts {
                    elements.serialize_element(&String::from_utf8_lossy(&text))?;
                }
                elements.end()
            }
        }
    }
}

/// The answer as a response.
///
/// # Errors
/// An output that has no form in JSON is not wanted as bytes.
pub(super) fn write(response: &InferResponse, binary: &Binary) -> Result<Response, Problem> {
    let mut tail = BytesMut::new();
    let mut outputs = Vec::with_capacity(response.outputs.len());
    let mut framed = false;
    for tensor in &response.outputs {
        let as_bytes = binary.wants(&tensor.name);
        let mut parameters = Map::new();
        if as_bytes {
            framed = true;
            parameters.insert("binary_data_size".to_owned(), json!(tensor.data.len()));
            tail.extend_from_slice(&tensor.data);
        } else {
            check_in_json(tensor)?;
        }
        outputs.push(OutputTensor {
            name: &tensor.name,
            datatype: tensor.datatype.as_str(),
            shape: &tensor.shape,
            parameters,
            data: (!as_bytes).then_some(Data(tensor)),
        });
    }
    let answer = AnswerBody {
        model_name: &response.model,
        model_version: &response.version,
        id: &response.id,
        outputs,
    };
    if !framed {
        return Ok(Json(answer).into_response());
    }
    let json = serde_json::to_vec(&answer)
        .map_err(|error| Problem::new(Code::Internal, format!("writing the answer: {error}")))?;
    let length = HeaderValue::from(json.len());
    let mut response = [json.as_slice(), &tail].concat().into_response();
    response.headers_mut().insert(JSON_LENGTH, length);
    let content_type = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

fn check_in_json(tensor: &Tensor) -> Result<(), Problem> {
    match tensor.datatype {
        Datatype::Fp16 | Datatype::Bf16 => Err(invalid(format!(
            "sending {} data via JSON is not supported. Please use the binary data format for output",
            tensor.datatype.as_str()
        ))),
        _ => Ok(()),
    }
}
