//! From a body to a request: all of it JSON, JSON and then the elements of tensors, or the elements of one input alone.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::body::{InferBody, InputBody, OutputBody};
use crate::http::oip::datatype::Datatype;
use crate::http::oip::errors::invalid;
use crate::http::oip::request::{InferRequest, Inputs, Parameter, Parameters, RequestedOutput};
use crate::http::oip::tensor::{Tensor, elements_of};
use crate::http::problem::{Code, Problem};

/// The header that says how many of the body's bytes are JSON.
pub(super) const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Which outputs are wanted after the JSON, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Binary {
    /// Of outputs that say nothing of it.
    by_default: bool,
    /// Of outputs that do.
    named: BTreeMap<String, bool>,
}

impl Binary {
    /// Whether this output is.
    pub(super) fn wants(&self, output: &str) -> bool {
        self.named.get(output).copied().unwrap_or(self.by_default)
    }
}

/// Reads a request for this version of a model.
///
/// # Errors
/// What is wrong with the body, in Triton's words.
pub(super) fn read(
    (model, version): (&str, &str),
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(InferRequest, Binary), Problem> {
    let json_length = json_length(headers, body.len())?;
    let request = |inputs| InferRequest {
        model: model.to_owned(),
        version: version.to_owned(),
        id: String::new(),
        parameters: Parameters::new(),
        inputs,
        outputs: Vec::new(),
    };
    if json_length == Some(0) {
        let binary = Binary { by_default: true, named: BTreeMap::new() };
        return Ok((request(Inputs::Raw(body.clone())), binary));
    }
    let (json, tail) =
        body.split_at_checked(json_length.unwrap_or(body.len())).unwrap_or((body.as_ref(), &[]));
    let InferBody { id, parameters, inputs, outputs } = InferBody::parse(json)?;
    let mut tail = Tail { rest: body.slice_ref(tail), there: json_length.is_some(), model };
    let tensors = inputs.into_iter().map(|input| tail.tensor(input)).collect::<Result<Vec<_>, _>>()?;
    if !tail.rest.is_empty() {
        return Err(invalid(format!("unexpected additional input data for model '{model}'")));
    }
    let mut binary = Binary {
        by_default: truth(&parameters, "binary_data_output")?.unwrap_or(false),
        named: BTreeMap::new(),
    };
    let outputs = outputs.into_iter().map(|output| output_of(output, &mut binary));
    let outputs = outputs.collect::<Result<Vec<_>, Problem>>()?;
    let parameters = parameters.iter().map(|(name, value)| Ok((name.clone(), parameter(name, value)?)));
    let request = InferRequest {
        id: id.unwrap_or_default(),
        parameters: parameters.collect::<Result<_, Problem>>()?,
        outputs,
        ..request(Inputs::Tensors(tensors))
    };
    Ok((request, binary))
}

/// How much of the body is JSON, as its header says; `None` without the header.
fn json_length(headers: &HeaderMap, body: usize) -> Result<Option<usize>, Problem> {
    let Some(value) = headers.get(JSON_LENGTH) else { return Ok(None) };
    let shown: String = String::from_utf8_lossy(value.as_bytes()).chars().take(40).collect();
    let number = value.to_str().ok().and_then(|text| text.trim().parse::<i64>().ok());
    let Some(number) = number else {
        return Err(invalid(format!("Unable to parse Inference-Header-Content-Length, got: {shown}")));
    };
    match usize::try_from(number) {
        Ok(length) if length <= body => Ok(Some(length)),
        _ => Err(invalid(format!("inference header size should be in range (0, {body}), got: {shown}"))),
    }
}

/// What comes after the JSON: the elements of tensors, one after the other.
struct Tail<'a> {
    rest: Bytes,
    /// Whether the header says where it begins.
    there: bool,
    model: &'a str,
}

impl Tail<'_> {
    fn tensor(&mut self, input: InputBody) -> Result<Tensor, Problem> {
        let InputBody { name, datatype, shape, parameters, data } = input;
        let size = whole(&parameters, "binary_data_size")?;
        let shared = parameters.contains_key("shared_memory_region");
        check_one_source(data.is_some(), size.is_some(), shared)?;
        if shared {
            let detail = format!("shared memory is not supported: send the data of input '{name}'");
            return Err(Problem::new(Code::NotSupported, detail));
        }
        let Some(known) = Datatype::named(&datatype) else {
            let names = Datatype::ALL.map(Datatype::as_str).join(", ");
            let shown: String = datatype.chars().take(40).collect();
            return Err(invalid(format!("Unable to parse 'datatype': '{shown}' is none of {names}")));
        };
        let shape = shape.iter().map(|side| i64::try_from(*side)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| invalid("Unable to parse 'shape': a dimension is too large"))?;
        let data = match (size, data) {
            (Some(size), _) => self.take(&name, size)?,
            (None, elements) => {
                let elements = elements.unwrap_or_default();
                check_in_json(&name, known)?;
                let (expected, got) = (elements_of(&shape), elements.count());
                let unread =
                    |why: String| invalid(format!("Unable to parse 'data': {why} for input '{name}'"));
                let data = elements.into_bytes(known).map_err(unread)?;
                if expected != Some(got) {
                    return Err(invalid(format!(
                        "Unable to parse 'data': shape does not match true shape of 'data' field for input '{name}': \
                         it has {got} elements"
                    )));
                }
                data
            }
        };
        let tensor = Tensor { name, datatype: known, shape, data };
        let coded = parameters.get("content_type").and_then(Value::as_str) == Some("base64");
        if coded && known == Datatype::Bytes { decoded(&tensor, self.model) } else { Ok(tensor) }
    }

    /// The next so many bytes.
    fn take(&mut self, name: &str, size: u64) -> Result<Bytes, Problem> {
        if !self.there && size > 0 {
            return Err(invalid(
                "must specify valid 'Infer-Header-Content-Length' in request header and 'binary_data_size' when passing \
                 inputs in binary data format",
            ));
        }
        let there = self.rest.len();
        match usize::try_from(size) {
            Ok(size) if size <= there => Ok(self.rest.split_to(size)),
            _ => {
                let (missing, model) = (size.saturating_sub(there as u64), self.model);
                Err(invalid(format!(
                    "unexpected size for input '{name}', expecting {missing} additional bytes for model '{model}'"
                )))
            }
        }
    }
}

fn check_one_source(data: bool, binary: bool, shared: bool) -> Result<(), Problem> {
    let sources = [(data, "'data'"), (binary, "'binary_data_size'"), (shared, "'shared_memory_region'")];
    let set: Vec<&str> = sources.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    let but = match set.as_slice() {
        [_] => return Ok(()),
        [] => "no field is set".to_owned(),
        several => format!("set {}", several.join(" ")),
    };
    Err(invalid(format!(
        "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', \
         'shared_memory_region' in 'parameters'. But {but}"
    )))
}

fn check_in_json(name: &str, datatype: Datatype) -> Result<(), Problem> {
    match datatype {
        Datatype::Fp16 | Datatype::Bf16 => Err(invalid(format!(
            "receiving {} data via JSON is not supported. Please use the binary data format for input {name}",
            datatype.as_str()
        ))),
        _ => Ok(()),
    }
}

/// The same byte strings out of their base64.
fn decoded(tensor: &Tensor, model: &str) -> Result<Tensor, Problem> {
    let texts = tensor.byte_strings(model)?;
    let decoded = texts.iter().map(|text| STANDARD.decode(text)).collect::<Result<Vec<_>, _>>();
    let decoded = decoded.map_err(|error| {
        invalid(format!("Unable to parse 'data': no base64 in input '{}': {error}", tensor.name))
    })?;
    Ok(Tensor::of_bytes(&tensor.name, tensor.shape.clone(), decoded))
}

fn output_of(output: OutputBody, binary: &mut Binary) -> Result<RequestedOutput, Problem> {
    let OutputBody { name, parameters } = output;
    if parameters.contains_key("shared_memory_region") {
        let detail = format!("shared memory is not supported: take the data of output '{name}'");
        return Err(Problem::new(Code::NotSupported, detail));
    }
    if let Some(wanted) = truth(&parameters, "binary_data")? {
        binary.named.insert(name.clone(), wanted);
    }
    let classes = whole(&parameters, "classification")?.unwrap_or(0);
    Ok(RequestedOutput { name, classes: usize::try_from(classes).unwrap_or(usize::MAX) })
}

fn truth(parameters: &Map<String, Value>, name: &str) -> Result<Option<bool>, Problem> {
    let read = |value: &Value| {
        value.as_bool().ok_or_else(|| invalid(format!("Unable to parse '{name}': expected true or false")))
    };
    parameters.get(name).map(read).transpose()
}

fn whole(parameters: &Map<String, Value>, name: &str) -> Result<Option<u64>, Problem> {
    let read = |value: &Value| {
        value
            .as_u64()
            .ok_or_else(|| invalid(format!("Unable to parse '{name}': expected an unsigned integer")))
    };
    parameters.get(name).map(read).transpose()
}

/// A parameter's value; those that the protocol reserves for objects are none that we read.
fn parameter(name: &str, value: &Value) -> Result<Parameter, Problem> {
    Ok(match value {
        Value::Bool(truth) => Parameter::Bool(*truth),
        Value::String(text) => Parameter::Text(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Parameter::Int(number),
            (None, Some(number)) => Parameter::Uint(number),
            (None, None) => Parameter::Double(number.as_f64().unwrap_or_default()),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => {
            let name: String = name.chars().take(100).collect();
            return Err(invalid(format!(
                "parameter '{name}' has invalid type. It should be either 'int', 'bool', or 'string'."
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str, tail: &[u8], length: Option<&str>) -> Result<(InferRequest, Binary), Problem> {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(JSON_LENGTH, length.parse().unwrap());
        }
        read(("m", "1"), &headers, &[json.as_bytes(), tail].concat().into())
    }

    fn tensors(request: InferRequest) -> Vec<Tensor> {
        match request.inputs {
            Inputs::Tensors(tensors) => tensors,
            Inputs::Raw(body) => panic!("raw: {body:?}"),
        }
    }

    #[test]
    fn json_and_bytes_are_mixed() {
        let json = r#"{"id": "7", "parameters": {"binary_data_output": true, "x": 1.5}, "inputs": [
            {"name": "a", "datatype": "UINT32", "shape": [2, 2], "parameters": {"binary_data_size": 16}},
            {"name": "b", "datatype": "INT8", "shape": [1], "data": [7]},
            {"name": "c", "datatype": "BOOL", "shape": [3], "parameters": {"binary_data_size": 3}}],
            "outputs": [{"name": "y"}, {"name": "z", "parameters": {"binary_data": false, "classification": 2}}]}"#;
        let tail: Vec<u8> = (0..19).collect();
        let (request, binary) = asked(json, &tail, Some(&json.len().to_string())).unwrap();
        assert_eq!((request.id.as_str(), request.parameters["x"].clone()), ("7", Parameter::Double(1.5)));
        assert_eq!([binary.wants("y"), binary.wants("z"), binary.wants("else")], [true, false, true]);
        assert_eq!(request.outputs[1], RequestedOutput { name: "z".to_owned(), classes: 2 });
        let tensors = tensors(request);
        let data: Vec<&[u8]> = tensors.iter().map(|tensor| &*tensor.data).collect();
        assert_eq!(data, [&tail[..16], &[7], &tail[16..]]);
    }

    #[test]
    fn a_body_of_no_json_is_a_raw_input() {
        let (request, binary) = asked("", b"a text", Some("0")).unwrap();
        assert_eq!(request.inputs, Inputs::Raw(Bytes::from_static(b"a text")));
        assert!(binary.wants("scores"));
        assert!(asked("", b"", None).is_err(), "an empty body without the header is no raw request");
    }

    fn input(more: &str) -> String {
        format!(r#"{{"inputs": [{{"name": "x", "shape": [2], {more}}}]}}"#)
    }

    #[test]
    fn bytes_that_do_not_fit_are_refused_in_the_words_of_triton() {
        let of_size = |size: u32| {
            input(&format!(r#""datatype": "INT8", "parameters": {{"binary_data_size": {size}}}"#))
        };
        let cases: [(u32, &[u8], bool, &str); 3] = [
            (2, b"", false, "must specify valid 'Infer-Header-Content-Length' in request header and"),
            (3, b"a", true, "unexpected size for input 'x', expecting 2 additional bytes for model 'm'"),
            (1, b"ab", true, "unexpected additional input data for model 'm'"),
        ];
        for (size, tail, header, expected) in cases {
            let json = of_size(size);
            let length = header.then(|| json.len().to_string());
            let detail = asked(&json, tail, length.as_deref()).unwrap_err().detail;
            assert!(detail.contains(expected), "{json}: {detail}");
        }
    }

    #[test]
    fn json_that_does_not_fit_is_refused_in_the_words_of_triton() {
        let both = r#""datatype": "INT8", "data": [1, 2], "parameters": {"binary_data_size": 2}"#;
        let shared = r#""datatype": "INT8", "parameters": {"shared_memory_region": "r"}"#;
        let half =
            "receiving FP16 data via JSON is not supported. Please use the binary data format for input x";
        let inputs = [
            (r#""datatype": "INT8""#, "'parameters'. But no field is set"),
            (both, "'parameters'. But set 'data' 'binary_data_size'"),
            (r#""datatype": "INT8", "data": [1]"#, "shape does not match true shape of 'data' field"),
            (r#""datatype": "INT8", "data": [1, 2, 3]"#, "shape does not match true shape of 'data' field"),
            (r#""datatype": "INT8", "data": [1, 300]"#, "Unable to parse 'data': 300 is out of range"),
            (r#""datatype": "FP16", "data": [1, 2]"#, half),
            (r#""datatype": "INT9", "data": [1, 2]"#, "Unable to parse 'datatype': 'INT9'"),
            (shared, "shared memory is not supported"),
        ];
        let inputs = inputs.map(|(more, expected)| (input(more), expected));
        let parameters =
            [(r#""x": {}"#, "parameter 'x' has invalid type."), (r#""binary_data_output": 1"#, "Unable to")];
        let parameters = parameters
            .map(|(said, expected)| (format!(r#"{{"inputs": [], "parameters": {{{said}}}}}"#), expected));
        for (json, expected) in inputs.into_iter().chain(parameters) {
            let detail = asked(&json, b"", None).unwrap_err().detail;
            assert!(detail.contains(expected), "{json}: {detail}");
        }
    }

    #[test]
    fn the_length_of_the_json_is_within_the_body() {
        for (length, expected) in [
            ("3", "inference header size should be in range (0, 2), got: 3"),
            ("-1", "inference header size should be in range (0, 2), got: -1"),
            ("x", "Unable to parse Inference-Header-Content-Length, got: x"),
            ("", "Unable to parse Inference-Header-Content-Length, got: "),
        ] {
            assert_eq!(asked("{}", b"", Some(length)).unwrap_err().detail, expected);
        }
    }

    #[test]
    fn pictures_go_through_json_as_base64() {
        let json = r#"{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["/wA="],
            "parameters": {"content_type": "base64"}}]}"#;
        let (request, _) = asked(json, b"", None).unwrap();
        assert_eq!(tensors(request)[0].byte_strings("m").unwrap(), [&[255, 0][..]]);
        assert!(asked(&json.replace("/wA=", "?"), b"", None).unwrap_err().detail.contains("no base64"));
    }
}
