//! The inference service over gRPC: every method. That its scores are those of every protocol: `one_queue.rs`.

use axum::Router;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::door::{Ask, Served, config};
use crate::support::grpc::inference::infer_parameter::ParameterChoice;
use crate::support::grpc::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use crate::support::grpc::inference::{
    InferParameter, InferTensorContents, ModelConfigRequest, ModelConfigResponse, ModelInferRequest,
    ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse,
    ModelStatisticsRequest, ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest,
    RepositoryIndexResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use crate::support::grpc::{Grpc, input, raw, singles, texts, texts_of};
use crate::support::models;

fn served() -> (Served, Grpc<Router>) {
    let served = Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "sign-digits", 1);
    });
    let client = Grpc::of(&served.door);
    (served, client)
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|score| score.to_bits()).collect()
}

#[tokio::test]
async fn an_answer_has_its_model_its_shape_and_the_id_of_its_request() {
    let (_served, client) = served();
    let request = ModelInferRequest { id: "one".to_owned(), ..texts("sentiment", &["good film film bad"]) };
    let answer = client.infer(request).await.unwrap();
    assert_eq!((answer.model_name.as_str(), answer.model_version.as_str()), ("sentiment", "1"));
    assert_eq!((answer.id.as_str(), &answer.outputs[0].shape), ("one", &vec![1, 2]));
    assert!(answer.outputs.iter().all(|output| output.contents.is_none()), "outputs are raw: {answer:?}");
    let scores = singles(&answer, "scores");
    let best = if scores[1] > scores[0] { "positive" } else { "negative" };
    assert_eq!(texts_of(&answer, "label"), [best]);
}

#[tokio::test]
async fn rows_of_one_request_are_answered_in_their_order() {
    let (_served, client) = served();
    let rows = ["good", "bad film", "film film film", "good good"];
    let all = client.infer(texts("sentiment", &rows)).await.unwrap();
    let mut alone = Vec::new();
    for row in rows {
        alone.extend(singles(&client.infer(texts("sentiment", &[row])).await.unwrap(), "scores"));
    }
    assert_eq!(bits(&singles(&all, "scores")), bits(&alone));
}

#[tokio::test]
async fn only_the_outputs_that_are_asked_for_are_answered() {
    let (_served, client) = served();
    let asked = |names: &[&str]| {
        let output =
            |name: &&str| InferRequestedOutputTensor { name: (*name).to_owned(), ..Default::default() };
        ModelInferRequest { outputs: names.iter().map(output).collect(), ..texts("sentiment", &["good"]) }
    };
    for names in [&["label"][..], &["score", "scores"]] {
        let answer = client.infer(asked(names)).await.unwrap();
        assert_eq!(answer.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), names);
        assert_eq!(answer.raw_output_contents.len(), names.len());
    }
}

#[tokio::test]
async fn server_and_models_say_what_they_are() {
    let (served, client) = served();
    let path = "/inference.GRPCInferenceService/ServerLive";
    let live: ServerLiveResponse = client.call(path, ServerLiveRequest {}).await.unwrap().into_inner();
    assert!(live.live);
    let path = "/inference.GRPCInferenceService/ServerReady";
    let ready: ServerReadyResponse = client.call(path, ServerReadyRequest {}).await.unwrap().into_inner();
    assert!(ready.ready);
    let path = "/inference.GRPCInferenceService/ModelReady";
    for version in ["", "1"] {
        let request = ModelReadyRequest { name: "sentiment".to_owned(), version: version.to_owned() };
        let ready: ModelReadyResponse = client.call(path, request).await.unwrap().into_inner();
        assert!(ready.ready, "{version}");
    }

    let path = "/inference.GRPCInferenceService/ServerMetadata";
    let metadata: ServerMetadataResponse =
        client.call(path, ServerMetadataRequest {}).await.unwrap().into_inner();
    let rest = Ask::get("/v2").of(&served.door).await.json();
    assert_eq!(json!(metadata.name), rest["name"]);
    assert_eq!(json!(metadata.version), rest["version"]);
    assert_eq!(json!(metadata.extensions), rest["extensions"]);

    let path = "/inference.GRPCInferenceService/ModelMetadata";
    let request = ModelMetadataRequest { name: "sentiment".to_owned(), version: String::new() };
    let model: ModelMetadataResponse = client.call(path, request).await.unwrap().into_inner();
    let rest = Ask::get("/v2/models/sentiment").of(&served.door).await.json();
    assert_eq!((json!(model.name), json!(model.platform)), (rest["name"].clone(), rest["platform"].clone()));
    assert_eq!(json!(model.versions), rest["versions"]);
    for (found, rest) in [(model.inputs, &rest["inputs"]), (model.outputs, &rest["outputs"])] {
        let found: Vec<Value> = found
            .iter()
            .map(|tensor| json!({"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}))
            .collect();
        assert_eq!(&json!(found), rest);
    }
}

#[tokio::test]
async fn configuration_statistics_and_index_are_those_of_rest() {
    let (served, client) = served();
    client.infer(texts("sentiment", &["good", "bad"])).await.unwrap();

    let path = "/inference.GRPCInferenceService/ModelConfig";
    let request = ModelConfigRequest { name: "sentiment".to_owned(), version: "1".to_owned() };
    let config: ModelConfigResponse = client.call(path, request).await.unwrap().into_inner();
    let config = config.config.unwrap();
    let rest = Ask::get("/v2/models/sentiment/config").of(&served.door).await.json();
    assert_eq!(json!(config.max_batch_size), rest["max_batch_size"]);
    assert_eq!(config.input.len(), rest["input"].as_array().unwrap().len());
    for (input, rest) in config.input.iter().zip(rest["input"].as_array().unwrap()) {
        assert_eq!(json!(input.data_type().as_str_name()), rest["data_type"], "{}", input.name);
        assert_eq!(json!(input.dims), rest["dims"], "{}", input.name);
    }

    let path = "/inference.GRPCInferenceService/ModelStatistics";
    let request = ModelStatisticsRequest { name: "sentiment".to_owned(), version: String::new() };
    let found: ModelStatisticsResponse = client.call(path, request).await.unwrap().into_inner();
    let [model] = &found.model_stats[..] else { panic!("{found:?}") };
    assert_eq!(model.inference_stats.as_ref().unwrap().success.unwrap().count, 1);
    // The golden sample went through the same queue when the version was loaded.
    assert!(model.inference_count >= 2, "{model:?}");
    assert!(model.last_inference > 0, "{model:?}");
    let every: ModelStatisticsResponse =
        client.call(path, ModelStatisticsRequest::default()).await.unwrap().into_inner();
    assert_eq!(every.model_stats.len(), 2);

    let path = "/inference.GRPCInferenceService/RepositoryIndex";
    let index: RepositoryIndexResponse =
        client.call(path, RepositoryIndexRequest::default()).await.unwrap().into_inner();
    let rest = Ask::json("/v2/repository/index", &json!({})).of(&served.door).await.json();
    let found: Vec<Value> = index
        .models
        .iter()
        .map(|model| {
            json!({"name": model.name, "version": model.version, "state": model.state, "reason": model.reason})
        })
        .collect();
    assert_eq!(json!(found), rest);
}

#[tokio::test]
async fn a_stream_answers_in_order_and_goes_on_after_an_error() {
    let (_served, client) = served();
    let numbered = |id: usize, request| ModelInferRequest { id: id.to_string(), ..request };
    let final_wanted = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    let mut asks = texts("sentiment", &["good film"]);
    asks.parameters.insert("triton_enable_empty_final_response".to_owned(), final_wanted);
    let requests = vec![
        numbered(0, texts("sentiment", &["good", "bad"])),
        numbered(1, texts("nothing", &["good"])),
        numbered(2, asks),
    ];
    let path = "/inference.GRPCInferenceService/ModelStreamInfer";
    let mut answers = client.stream(path, stream::iter(requests)).await.unwrap();
    let mut found: Vec<ModelStreamInferResponse> = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        found.push(answer);
    }
    let ids: Vec<&str> =
        found.iter().map(|found| found.infer_response.as_ref().unwrap().id.as_str()).collect();
    assert_eq!(ids, ["0", "1", "2"]);
    let errors: Vec<&str> = found.iter().map(|found| found.error_message.as_str()).collect();
    assert_eq!(errors, ["", "Request for unknown model: 'nothing' is not found", ""]);
    let first = found[0].infer_response.as_ref().unwrap();
    let alone = client.infer(texts("sentiment", &["good", "bad"])).await.unwrap();
    assert_eq!(bits(&singles(first, "scores")), bits(&singles(&alone, "scores")));
    assert!(first.parameters.is_empty(), "{first:?}");
    let last = found[2].infer_response.as_ref().unwrap();
    assert!(last.parameters.contains_key("triton_final_response"), "{last:?}");
}

#[tokio::test]
async fn a_stream_ends_with_its_first_error_where_that_is_wanted() {
    let (_served, client) = served();
    let requests = [texts("nothing", &["good"]), texts("sentiment", &["good"])];
    let mut request = tonic::Request::new(stream::iter(requests));
    request.metadata_mut().insert("triton_grpc_error", "true".parse().unwrap());
    let path = "/inference.GRPCInferenceService/ModelStreamInfer";
    let mut answers = client.stream::<_, ModelStreamInferResponse>(path, request).await.unwrap();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn token_ids_and_typed_numbers_are_taken_too() {
    let (_served, client) = served();
    let contents = InferTensorContents { int64_contents: vec![2, 3, 4], ..InferTensorContents::default() };
    let typed = InferInputTensor { contents: Some(contents), ..input("input_ids", "INT64", &[1, 3]) };
    let typed = ModelInferRequest {
        model_name: "sentiment".to_owned(),
        inputs: vec![typed],
        ..ModelInferRequest::default()
    };
    let bytes: Bytes = [2_i64, 3, 4].iter().flat_map(|id| id.to_le_bytes()).collect();
    let as_raw = raw("sentiment", input("input_ids", "INT64", &[1, 3]), bytes);
    let (typed, as_raw) = (client.infer(typed).await.unwrap(), client.infer(as_raw).await.unwrap());
    assert_eq!(bits(&singles(&typed, "scores")), bits(&singles(&as_raw, "scores")));
}
