//! gRPC over real sockets: one port for everything, a second where it is wanted, health, reflection, and the drain.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;

use axum::http::{Method, Request, Version};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use sconce::http::serve_at;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::support::client::Client;
use crate::support::door::{Served, config};
use crate::support::grpc::inference::{ModelStreamInferResponse, ServerReadyRequest, ServerReadyResponse};
use crate::support::grpc::{Remote, singles, texts};
use crate::support::models;
use crate::support::server::sconce;

/// A door at two ports, and how to stop it.
struct Listening {
    http: SocketAddr,
    grpc: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), String>>,
    _served: Served,
}

async fn listen() -> Listening {
    let served = Served::with(config(), |folder| {
        models::tiny_text(folder, "sentiment", 1);
    });
    let bind = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listeners = vec![bind().await, bind().await];
    let [http, grpc] = [0, 1].map(|at: usize| listeners[at].local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let gateway = served.gateway.clone();
    let ended =
        tokio::spawn(async move { serve_at(listeners, gateway, async { stopped.await.unwrap() }).await });
    Listening { http, grpc, stop, ended, _served: served }
}

async fn health(client: &Remote, service: &str) -> Result<ServingStatus, tonic::Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = client.call::<_, HealthCheckResponse>("/grpc.health.v1.Health/Check", request).await?;
    Ok(answer.into_inner().status())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_answers_both_and_a_second_does_as_well() {
    let door = listen().await;
    for address in [door.http, door.grpc] {
        let plain = Client::new(address);
        assert_eq!(plain.get("/health/live").await.status, 200);
        let native = plain.post_json("/v1/text/classify", &json!({"input": "good film"})).await.json();
        let answer = Remote::to(address).infer(texts("sentiment", &["good film"])).await.unwrap();
        let best = native["results"][0]["predictions"][0]["score"].to_string().parse::<f32>().unwrap();
        assert_eq!(
            singles(&answer, "score").iter().map(|score| score.to_bits()).collect::<Vec<_>>(),
            [best.to_bits()]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_answered_in_http_2_too() {
    let door = listen().await;
    let client = Legacy::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}/v1/text/classify", door.http))
        .header("content-type", "application/json")
        .body(axum::body::Body::from(json!({"input": "good film"}).to_string()))
        .unwrap();
    let answer = client.request(request).await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, 200));
    door.stop.send(()).unwrap();
    door.ended.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_of_the_server_and_of_each_model() {
    let door = listen().await;
    let client = Remote::to(door.grpc);
    for service in ["", "inference.GRPCInferenceService", "sentiment"] {
        assert_eq!(health(&client, service).await.unwrap(), ServingStatus::Serving, "{service:?}");
    }
    assert_eq!(health(&client, "nothing").await.unwrap_err().code(), Code::NotFound);
    // A method that answers with a stream takes one message as well.
    let watch = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        let path = "/grpc.health.v1.Health/Watch";
        client.stream::<_, HealthCheckResponse>(path, stream::iter([request])).await.unwrap()
    };
    let mut unknown = watch("nothing").await;
    assert_eq!(unknown.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    let mut watched = watch("sentiment").await;
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    door.stop.send(()).unwrap();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(watched.message().await.unwrap().is_none(), "a watch ends with the server");
    drop(unknown);
    door.ended.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_at_the_stop_is_answered() {
    let door = listen().await;
    let address = door.http;
    let client = Legacy::builder(TokioExecutor::new()).http2_only(true).build_http::<axum::body::Body>();
    // The header of the call is sent, its message is not yet.
    let (message, has_message) = oneshot::channel::<Bytes>();
    let (begun, has_begun) = oneshot::channel::<()>();
    let body = async move {
        begun.send(()).unwrap();
        Ok::<_, std::io::Error>(has_message.await.unwrap())
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{address}/inference.GRPCInferenceService/ModelInfer"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(axum::body::Body::from_stream(stream::once(body)))
        .unwrap();
    let answer = tokio::spawn(async move { client.request(request).await });
    has_begun.await.unwrap();
    // One whole call on another connection: the server has seen what was sent before it.
    Remote::to(address).infer(texts("sentiment", &["good"])).await.unwrap();
    door.stop.send(()).unwrap();
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let encoded = texts("sentiment", &["good film"]).encode_to_vec();
    let length = u32::try_from(encoded.len()).unwrap().to_be_bytes();
    message.send([&[0][..], &length, &encoded].concat().into()).unwrap();
    let answer = answer.await.unwrap().unwrap();
    assert!(!answer.headers().contains_key("grpc-status"), "{answer:?}");
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    door.ended.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_without_an_end_do_not_hold_up_the_drain() {
    let door = listen().await;
    let client = Remote::to(door.grpc);
    let path = "/inference.GRPCInferenceService/ModelStreamInfer";
    let requests = stream::iter([texts("sentiment", &["good"])]).chain(stream::pending());
    let mut answers = client.stream::<_, ModelStreamInferResponse>(path, requests).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().error_message, "");
    let mut reflected = reflect(&client, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").await;
    reflected.message().await.unwrap().unwrap();
    door.stop.send(()).unwrap();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().starts_with("Server exiting"), "{status:?}");
    assert!(reflected.message().await.unwrap().is_none());
    door.ended.await.unwrap().unwrap();
    let path = "/inference.GRPCInferenceService/ServerReady";
    client.call::<_, ServerReadyResponse>(path, ServerReadyRequest {}).await.unwrap_err();
}

/// Asks for the services, on a stream that stays open.
async fn reflect(client: &Remote, path: &'static str) -> tonic::Streaming<ServerReflectionResponse> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    client.stream(path, stream::iter([request]).chain(stream::pending())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_tells_the_services_in_both_of_its_versions() {
    let door = listen().await;
    let client = Remote::to(door.http);
    for path in [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        // The messages of both versions are the same.
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        let answer = reflect(&client, path).await.message().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(found)) = answer.message_response else {
            panic!("{path}: {answer:?}")
        };
        let names: Vec<&str> = found.service.iter().map(|service| service.name.as_str()).collect();
        for name in ["inference.GRPCInferenceService", "grpc.health.v1.Health"] {
            assert!(names.contains(&name), "{path}: {names:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_says_where_its_second_port_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = sconce()
        .args(["serve", "--host", "127.0.0.1", "--port", "0", "--set", "http.grpc_port=0", "--models"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let http = lines.next().unwrap().unwrap();
    let grpc = lines.next().unwrap().unwrap();
    let address = grpc.strip_prefix("listening for gRPC on ").map(str::parse::<SocketAddr>);
    let answer = match address {
        Some(Ok(address)) => health(&Remote::to(address), "").await,
        _ => panic!("{http:?}, {grpc:?}"),
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(answer.unwrap(), ServingStatus::NotServing, "there is no model");
}
