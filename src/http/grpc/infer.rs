//! Requests to infer and their answers, as messages.

use std::collections::BTreeMap;
use std::time::Instant;

use super::contents::{shared_memory, tensors};
use super::inference::infer_parameter::ParameterChoice;
use super::inference::model_infer_request::InferRequestedOutputTensor;
use super::inference::model_infer_response::InferOutputTensor;
use super::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use crate::http::oip::errors::invalid;
use crate::http::oip::model::{self, Model};
use crate::http::oip::request::{
    InferRequest, InferResponse, Inputs, Parameter, Parameters, RequestedOutput,
};
use crate::http::oip::tensor::Tensor;
use crate::http::problem::{Code, Problem};
use crate::http::server::Gateway;

/// The one reserved parameter that clients may send: whether a stream says which answer is a request's last.
pub(super) const FINAL_RESPONSE_WANTED: &str = "triton_enable_empty_final_response";

/// Answers a request until the deadline, or earlier where it says so itself.
///
/// # Errors
/// What is wrong with the request, or why it has no answer.
pub(super) async fn answer(
    gateway: &Gateway,
    request: ModelInferRequest,
    deadline: Instant,
) -> Result<ModelInferResponse, Problem> {
    let (model, version) = (request.model_name.clone(), request.model_version.clone());
    let request = match read(request) {
        Ok(request) => request,
        // A model that there is not comes before all that is wrong with its inputs.
        Err(problem) => return Err(Model::find(gateway, &model, &version).err().unwrap_or(problem)),
    };
    match model::infer(gateway, request, deadline).await {
        Ok(response) => Ok(write(response)),
        // The request's own timeout: the call itself has time left.
        Err(problem) if problem.code == Code::DeadlineExceeded && Instant::now() < deadline => {
            Err(Problem::new(Code::NotReady, format!("Request timeout expired: {}", problem.detail)))
        }
        Err(problem) => Err(problem),
    }
}

fn read(request: ModelInferRequest) -> Result<InferRequest, Problem> {
    let inputs = tensors(&request.model_name, request.inputs, request.raw_input_contents)?;
    let outputs = request.outputs.into_iter().map(output).collect::<Result<_, Problem>>()?;
    Ok(InferRequest {
        model: request.model_name,
        version: request.model_version,
        id: request.id,
        parameters: parameters(request.parameters)?,
        inputs: Inputs::Tensors(inputs),
        outputs,
    })
}

fn parameters(given: BTreeMap<String, InferParameter>) -> Result<Parameters, Problem> {
    let mut parameters = Parameters::new();
    for (name, InferParameter { parameter_choice: choice }) in given {
        if name == FINAL_RESPONSE_WANTED {
            continue;
        }
        let value = parameter(&name, choice)?;
        parameters.insert(name, value);
    }
    Ok(parameters)
}

/// The value of a parameter, in a type that it may have.
fn parameter(name: &str, choice: Option<ParameterChoice>) -> Result<Parameter, Problem> {
    use ParameterChoice as Choice;
    let wrong = |expected: &str| {
        let shown: String = name.chars().take(100).collect();
        Err(invalid(format!("invalid value type for '{shown}' parameter, expected {expected}.")))
    };
    match (name, choice) {
        ("sequence_id", Some(Choice::BoolParam(_) | Choice::DoubleParam(_))) => {
            wrong("int64_param or string_param")
        }
        ("sequence_start" | "sequence_end", choice) if !matches!(choice, Some(Choice::BoolParam(_))) => {
            wrong("bool_param")
        }
        ("priority" | "timeout", Some(Choice::Int64Param(value))) if value < 0 => {
            Err(invalid(format!("invalid value for '{name}', expected value >= 0.")))
        }
        ("priority" | "timeout", choice)
            if !matches!(choice, Some(Choice::Int64Param(_) | Choice::Uint64Param(_))) =>
        {
            wrong("int64_param or uint64_param")
        }
        (_, Some(Choice::BoolParam(value))) => Ok(Parameter::Bool(value)),
        (_, Some(Choice::Int64Param(value))) => Ok(Parameter::Int(value)),
        (_, Some(Choice::Uint64Param(value))) => Ok(Parameter::Uint(value)),
        (_, Some(Choice::DoubleParam(value))) => Ok(Parameter::Double(value)),
        (_, Some(Choice::StringParam(value))) => Ok(Parameter::Text(value)),
        (_, None) => wrong("int64_param, bool_param, or string_param"),
    }
}

fn output(output: InferRequestedOutputTensor) -> Result<RequestedOutput, Problem> {
    let InferRequestedOutputTensor { name, parameters } = output;
    if parameters.contains_key("shared_memory_region") {
        return Err(shared_memory());
    }
    let classes = match parameters.get("classification").map(|parameter| &parameter.parameter_choice) {
        None => 0,
        Some(Some(ParameterChoice::Int64Param(classes))) => usize::try_from(*classes)
            .ok()
            .filter(|classes| *classes > 0)
            .ok_or_else(|| invalid("invalid value for 'classification' parameter, expected >= 0"))?,
        Some(_) => {
            return Err(invalid("invalid value type for 'classification' parameter, expected int64_param"));
        }
    };
    Ok(RequestedOutput { name, classes })
}

fn write(response: InferResponse) -> ModelInferResponse {
    let InferResponse { model, version, id, outputs } = response;
    let mut raw = Vec::with_capacity(outputs.len());
    let mut described = Vec::with_capacity(outputs.len());
    for Tensor { name, datatype, shape, data } in outputs {
        raw.push(data);
        let datatype = datatype.as_str().to_owned();
        described.push(InferOutputTensor {
            name,
            datatype,
            shape,
            parameters: BTreeMap::new(),
            contents: None,
        });
    }
    ModelInferResponse {
        model_name: model,
        model_version: version,
        id,
        parameters: BTreeMap::new(),
        outputs: described,
        raw_output_contents: raw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(choice: ParameterChoice) -> InferParameter {
        InferParameter { parameter_choice: Some(choice) }
    }

    #[test]
    fn parameters_are_read_by_their_type() {
        use ParameterChoice as Choice;
        let given = BTreeMap::from([
            ("a".to_owned(), value(Choice::BoolParam(true))),
            ("b".to_owned(), value(Choice::DoubleParam(0.5))),
            ("timeout".to_owned(), value(Choice::Int64Param(5))),
            (FINAL_RESPONSE_WANTED.to_owned(), value(Choice::BoolParam(true))),
        ]);
        let expected = Parameters::from([
            ("a".to_owned(), Parameter::Bool(true)),
            ("b".to_owned(), Parameter::Double(0.5)),
            ("timeout".to_owned(), Parameter::Int(5)),
        ]);
        assert_eq!(parameters(given).unwrap(), expected);
        let cases = [
            ("timeout", Some(Choice::StringParam("5".to_owned())), "expected int64_param or uint64_param."),
            ("priority", Some(Choice::Int64Param(-1)), "invalid value for 'priority', expected value >= 0."),
            ("sequence_start", Some(Choice::Int64Param(1)), "expected bool_param."),
            ("sequence_id", Some(Choice::BoolParam(true)), "expected int64_param or string_param."),
            ("other", None, "invalid value type for 'other' parameter"),
        ];
        for (name, choice, expected) in cases {
            let detail = parameter(name, choice).unwrap_err().detail;
            assert!(detail.contains(expected), "{name}: {detail}");
        }
    }

    #[test]
    fn an_output_is_wanted_as_numbers_or_as_classes() {
        use ParameterChoice as Choice;
        let asked = |name: &str, choice| {
            let parameters = BTreeMap::from([(name.to_owned(), value(choice))]);
            output(InferRequestedOutputTensor { name: "scores".to_owned(), parameters })
        };
        assert_eq!(asked("classification", Choice::Int64Param(3)).unwrap().classes, 3);
        assert_eq!(asked("binary_data", Choice::BoolParam(true)).unwrap().classes, 0);
        for choice in [Choice::Int64Param(0), Choice::Int64Param(-1), Choice::BoolParam(true)] {
            asked("classification", choice).unwrap_err();
        }
        let shared = asked("shared_memory_region", Choice::StringParam("r".to_owned())).unwrap_err();
        assert_eq!(shared.code, Code::NotSupported);
    }
}
