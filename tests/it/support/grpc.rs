//! A gRPC client of the inference service, over a socket or straight into a router.

use std::net::SocketAddr;

use axum::Router;
use axum::http::uri::PathAndQuery;
use bytes::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::{IntoRequest, IntoStreamingRequest, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// What the generated code encodes with. The services in it are not run here: the server's own decoder stays there.
mod codec {
    pub(super) use tonic_prost::ProstCodec as Bounded;
}

/// The messages, from the same generated code as the server's.
#[rustfmt::skip]
#[allow(dead_code, clippy::all, clippy::pedantic, unused_qualifications, reason = "a generator wrote it, for the server")]
#[path = "../../../src/http/grpc/inference.rs"]
pub mod inference;

use inference::model_infer_request::InferInputTensor;
use inference::{InferTensorContents, ModelInferRequest, ModelInferResponse};

/// A client. Clones share the connection.
#[derive(Clone)]
pub struct Grpc<T> {
    transport: T,
    origin: axum::http::Uri,
}

/// A client over a socket, with one HTTP/2 connection.
pub type Remote = Grpc<Client<HttpConnector, Body>>;

impl Remote {
    pub fn to(address: SocketAddr) -> Self {
        let transport = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        Self { transport, origin: format!("http://{address}").parse().unwrap() }
    }
}

/// A client of a router, without a socket.
impl Grpc<Router> {
    pub fn of(router: &Router) -> Self {
        Self { transport: router.clone(), origin: "http://sconce".parse().unwrap() }
    }
}

impl<T> Grpc<T>
where
    T: GrpcService<Body> + Clone,
    T::ResponseBody: axum::body::HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as axum::body::HttpBody>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn client(&self) -> tonic::client::Grpc<T> {
        tonic::client::Grpc::with_origin(self.transport.clone(), self.origin.clone())
            .max_decoding_message_size(usize::MAX)
    }

    /// One message to a method by its whole path, one back.
    pub async fn call<M, R>(
        &self,
        path: &'static str,
        message: impl IntoRequest<M>,
    ) -> Result<Response<R>, Status>
    where
        M: prost::Message + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let mut client = self.client();
        client.ready().await.map_err(|_| Status::unavailable("the transport is not ready"))?;
        client.unary(message.into_request(), PathAndQuery::from_static(path), ProstCodec::default()).await
    }

    /// The same with a stream of messages both ways.
    pub async fn stream<M, R>(
        &self,
        path: &'static str,
        messages: impl IntoStreamingRequest<Message = M>,
    ) -> Result<Streaming<R>, Status>
    where
        M: prost::Message + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let mut client = self.client();
        client.ready().await.map_err(|_| Status::unavailable("the transport is not ready"))?;
        let path = PathAndQuery::from_static(path);
        let answers = client.streaming(messages.into_streaming_request(), path, ProstCodec::default());
        answers.await.map(Response::into_inner)
    }

    /// Infers.
    pub async fn infer(
        &self,
        request: impl IntoRequest<ModelInferRequest>,
    ) -> Result<ModelInferResponse, Status> {
        let answer = self.call("/inference.GRPCInferenceService/ModelInfer", request).await;
        answer.map(Response::into_inner)
    }
}

/// A request with these texts as typed contents.
pub fn texts(model: &str, texts: &[&str]) -> ModelInferRequest {
    let contents = InferTensorContents {
        bytes_contents: texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect(),
        ..InferTensorContents::default()
    };
    let input = InferInputTensor { contents: Some(contents), ..input("text", "BYTES", &[texts.len(), 1]) };
    ModelInferRequest { model_name: model.to_owned(), inputs: vec![input], ..ModelInferRequest::default() }
}

/// A request with one raw input.
pub fn raw(model: &str, input: InferInputTensor, data: impl Into<Bytes>) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![input],
        raw_input_contents: vec![data.into()],
        ..ModelInferRequest::default()
    }
}

/// An input without its elements.
pub fn input(name: &str, datatype: &str, shape: &[usize]) -> InferInputTensor {
    InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.iter().map(|side| i64::try_from(*side).unwrap()).collect(),
        ..InferInputTensor::default()
    }
}

/// Byte strings as they are raw.
pub fn strings<T: AsRef<[u8]>>(elements: &[T]) -> Bytes {
    let mut data = Vec::new();
    for element in elements {
        let element = element.as_ref();
        data.extend_from_slice(&u32::try_from(element.len()).unwrap().to_le_bytes());
        data.extend_from_slice(element);
    }
    data.into()
}

/// The singles of an output.
pub fn singles(answer: &ModelInferResponse, output: &str) -> Vec<f32> {
    let data = raw_output(answer, output);
    data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The byte strings of an output.
pub fn texts_of(answer: &ModelInferResponse, output: &str) -> Vec<String> {
    let mut data = &raw_output(answer, output)[..];
    let mut found = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let (text, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        found.push(String::from_utf8(text.to_vec()).unwrap());
        data = rest;
    }
    found
}

fn raw_output<'a>(answer: &'a ModelInferResponse, output: &str) -> &'a Bytes {
    assert_eq!(answer.outputs.len(), answer.raw_output_contents.len(), "{answer:?}");
    let at = answer.outputs.iter().position(|found| found.name == output);
    &answer.raw_output_contents[at.unwrap_or_else(|| panic!("no output {output}: {answer:?}"))]
}

/// A request whose header has this line, too.
pub fn with_header<M>(message: M, name: &'static str, value: &'static str) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(name, value.parse().unwrap());
    request
}
